import math

import numpy as np
import pytest
import torch

from assay.core.budget import Budget
from assay.core.run import Run
from assay.image_text.catlip import CatLIP, NounClassifier, multi_label_loss, start_bias
from assay.train.seeding import seeded

pytest.importorskip("tokenizers")


def wide(value):
    return torch.tensor(value, dtype=torch.float64)


def test_the_loss_is_that_of_loops():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 7, generator=rng, dtype=torch.float64)
    targets = torch.rand(4, 7, generator=rng) < 0.3
    total = 0.0
    for row, marks in zip(logits.tolist(), targets.tolist(), strict=True):
        for z, y in zip(row, marks, strict=True):
            p = 1 / (1 + math.exp(-z))
            total -= math.log(p) if y else math.log(1 - p)
    assert multi_label_loss(logits, targets).item() == pytest.approx(total / 4, abs=1e-12)


def test_every_class_starts_as_likely_as_it_is():
    shares = np.array([0.5, 0.01, 0.0, 1.0])
    assert torch.allclose(start_bias(shares).sigmoid()[:2], torch.tensor([0.5, 0.01]))
    logits = start_bias(np.full(1000, 0.002)).expand(8, 1000)
    quiet = torch.zeros(8, 1000, dtype=torch.bool)
    assert multi_label_loss(logits, quiet) < 0.01 * 1000 * math.log(2)


def test_positive_features_cannot_answer_the_common_part_of_the_gradient_by_shrinking():
    """At first nearly every class should be less likely everywhere; features' length is no way there."""
    rng = torch.Generator().manual_seed(0)
    classifier = NounClassifier(32, np.full(50, 0.3)).double()
    assert torch.allclose(classifier(torch.rand(3, 32, generator=rng).double()).sigmoid().mean(), wide(0.3))
    with torch.no_grad():
        classifier.weight.copy_(-torch.rand(50, 32, generator=rng))  # Rows that lower every logit.
    x = torch.rand(4, 32, generator=rng, dtype=torch.float64).requires_grad_()
    multi_label_loss(classifier(x), torch.zeros(4, 50)).backward()
    assert x.grad.abs().max() > 1e-3
    for direction in (torch.ones_like(x), x.detach()):  # Neither an equal share of all nor a scale helps.
        assert (x.grad * direction).sum(dim=1).abs().max() < 1e-3 * x.grad.norm()
    wanted = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(classifier(x), wanted @ classifier.weight.T + classifier.bias, atol=1e-12)


def test_a_tower_with_positive_features_learns(known):
    losses = [value for _, value in known.history.curve("loss")]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


@pytest.fixture(scope="module")
def known(pairs, small):
    method = CatLIP(**small, pretraining=2880, pretraining_batch_size=12)
    with seeded(Run()):
        return method.pretrain(pairs, Run())


def test_the_tower_learns_the_nouns(known, pairs, small):
    assert known.names[:2] == ["bar", "square"] or set(known.names[:3]) == {"bar", "square", "stripe"}
    x = (torch.from_numpy(pairs.images(size=16)).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.inference_mode():
        logits = known.classifier(known.tower.embed(x))
    colours = [known.names.index(name) for name in ("red", "green", "blue", "black")]
    found = logits[:, colours].argmax(dim=1).tolist()
    assert np.mean([found[i] == i // 3 % 4 for i in range(24)]) > 0.9
    assert known.without == 0
    assert known.history.records[-1].values["loss"] < known.history.records[0].values["loss"]


def test_a_new_classifier_starts_from_rows_by_name(known):
    weight, bias, missing = known.rows(["blue", "unicorn", "bar"])
    assert missing == ["unicorn"]
    row = known.names.index("blue")
    assert torch.equal(weight[0], known.classifier.weight[row])
    assert bias[0] == known.classifier.bias[row]
    assert not weight[1].any()
    assert bias[1] == pytest.approx(known.classifier.bias.mean().item())


def test_fits_both_parts(pairs, small, run):
    method = CatLIP(**small, pretraining=480, pretraining_batch_size=12, views=1)
    model = method.fit(pairs, run=run)
    scores = model.scores(pairs, [pairs.texts(i)[0] for i in range(12)])
    assert (scores.argmax(axis=1) == np.arange(24) % 12).mean() > 0.6
    assert model.facts["pairs without a class"] == 0
    assert model.facts["classes"] > 7


def test_a_budget_is_spent_on_both_parts(pairs, small):
    method = CatLIP(**small, pretraining_batch_size=12)
    model = method.fit(pairs, run=Run(budget=Budget(6, "steps")))
    assert len(model.history.records) == 3  # The nouns had the other three.


def nothing(caption):
    return []


def test_captions_that_name_nothing_are_refused(pairs, small, run):
    with pytest.raises(ValueError, match="expected captions that name something"):
        CatLIP(**small, nouns=nothing).fit(pairs, run=run)
