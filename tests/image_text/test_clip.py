import numpy as np
import pytest
import torch

from assay.core.budget import Budget
from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.data.table import ContractError
from assay.image_text.clip import CLIP

pytest.importorskip("tokenizers")


def names(pairs):
    return [pairs.texts(i)[0] for i in range(12)]


def test_learns_what_belongs_together(pairs, small, run):
    model = CLIP(**{**small, "examples": 960}).fit(pairs, run=run)
    scores = model.scores(pairs, names(pairs))
    assert (scores.argmax(axis=1) == np.arange(24) % 12).mean() > 0.9
    losses = [value for _, value in model.history.curve("loss")]
    assert losses[-1] < losses[0] / 2
    assert [moment.examples for moment in model.moments] == [168, 324, 480, 648, 804, 960]


def test_starts_at_the_papers_scale_and_keeps_it_below_100(pairs, small, run):
    fast = {**small, "examples": 12, "adam_learning_rate": 50.0}
    model = CLIP(**fast).fit(pairs, run=run)
    assert model.history.records[0].values["scale"] == pytest.approx(1 / 0.07, rel=1e-5)
    assert 0 <= model.module.logit_scale.item() <= np.log(100) + 1e-6


def test_twins_are_not_each_others_negatives(pairs, small, run):
    """Each thing is in a batch of all pairs twice: without groups no loss below log 2 is possible."""
    model = CLIP(**{**small, "batch_size": 24, "examples": 1920}).fit(pairs, run=run)
    assert model.history.records[-1].values["loss"] < 0.5 * np.log(2)


def test_a_seed_decides_everything_and_global_state_is_left_alone(pairs, small):
    before = torch.get_rng_state()
    few = {**small, "examples": 48}
    one = CLIP(**few).fit(pairs, run=Run(seed=1))
    two = CLIP(**few).fit(pairs, run=Run(seed=1))
    other = CLIP(**few).fit(pairs, run=Run(seed=2))
    texts = names(pairs)
    assert np.array_equal(one.scores(pairs, texts), two.scores(pairs, texts))
    assert not np.array_equal(one.scores(pairs, texts), other.scores(pairs, texts))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_budget_takes_the_place_of_examples(pairs, small):
    model = CLIP(**small).fit(pairs, run=Run(budget=Budget(3, "steps")))
    assert len(model.history.records) == 3


def test_micro_batches_give_the_same_training(pairs, small, little_vit, run):
    vit = {**small, "image": little_vit, "examples": 60}
    whole, parts = (CLIP(**vit, micro_batch=size).fit(pairs, run=run) for size in (None, 5))
    losses = [[value for _, value in model.history.curve("loss")] for model in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len(losses[0]) == 5
    with pytest.raises(ValueError, match="without batch normalisation"):
        CLIP(**small, micro_batch=5).fit(pairs, run=run)


def test_augmented_pictures_are_other_pictures(pairs, small, run):
    few = {**small, "examples": 48}
    plain, changed = (CLIP(**few, augment=a).fit(pairs, run=run) for a in (False, True))
    assert not np.array_equal(plain.scores(pairs, ["red bar"]), changed.scores(pairs, ["red bar"]))


@pytest.mark.parametrize("text", ["transformer", "minilm"])
def test_text_towers_are_arguments(text, pairs, small, run):
    from assay.data.fetch import FetchError

    try:
        model = CLIP(**{**small, "text": text, "examples": 12}).fit(pairs, run=run)
    except FetchError as error:
        pytest.skip(str(error))
    assert model.encode_text(["red bar", "blue"]).shape == (2, 16)


def test_what_cannot_be_is_refused(pairs, small, run):
    with pytest.raises(ValueError, match="expected batch_size above 0, got 0"):
        CLIP(batch_size=0)
    with pytest.raises(ValueError, match="expected image to be resnet"):
        CLIP(image="no")
    with pytest.raises(ContractError, match="at least 2 pairs"):
        CLIP(**small).fit(pairs.take([0]), run=run)
    with pytest.raises(ValueError, match="pair 12 has no text in zh"):
        CLIP(**small, languages="zh").fit(pairs, run=run)


def test_one_language_alone_can_be_learnt(pairs, small, run):
    chinese = pairs.take(slice(0, 12))
    model = CLIP(**{**small, "languages": "zh", "examples": 240}).fit(chinese, run=run)
    assert isinstance(model.gallery, Pairs)
    assert model.scores(chinese, ["红色方形"]).shape == (12, 1)
