import contextlib

import numpy as np
import pytest
import torch

from assay.core.budget import Budget
from assay.core.run import Run
from assay.image_text.catlip import CatLIP
from assay.image_text.contrast import LOG_SCALE_OF_SOFTMAX, softmax_loss
from assay.image_text.dfn import DFN
from assay.image_text.flip import FLIP
from assay.image_text.processor import HALF, normalised
from assay.image_text.towers import PretrainedConfig
from assay.image_text.training import ClampedMoments, TwoTowers
from assay.train.seeding import seeded

pytest.importorskip("tokenizers")


def trained(pairs, settings, run, **changes):
    """A module trained by hand through the shared fit, with its history and moments."""
    method = TwoTowers(**settings)
    with seeded(run):
        module, tokenizer = method.towers(pairs, run, log_scale=LOG_SCALE_OF_SOFTMAX)

        def loss(images, texts, groups):
            return softmax_loss(images, texts, module.logit_scale, groups=groups)

        history, moments = method.contrast(
            module, tokenizer, pairs, method.inputs(pairs), loss, run, **changes
        )
    return module, history, moments


def test_so_many_examples_are_seen(pairs, small, run):
    _, history, moments = trained(pairs, {**small, "examples": 100}, run)
    assert len(history.records) == 9  # Of twelve pairs each.
    assert history.examples == 108
    assert moments[-1].examples == 108
    _, history, _ = trained(pairs, small, run, examples=24)
    assert len(history.records) == 2


def test_the_fraction_done_follows_the_budget(pairs, small):
    for run, expected in (
        (Run(), [0.0, 0.25, 0.5, 0.75]),
        (Run(budget=Budget(5, "steps")), [0.0, 0.2, 0.4, 0.6, 0.8]),
        (Run(budget=Budget(36, "examples")), [0.0, 1 / 3, 2 / 3]),
    ):
        seen = []
        method = TwoTowers(**{**small, "examples": 48})
        with seeded(run):
            module, tokenizer = method.towers(pairs, run, log_scale=1.0)

            def encode(images, done, seen=seen, module=module):
                seen.append(done)
                return module.encode_image(images)

            method.contrast(
                module,
                tokenizer,
                pairs,
                method.inputs(pairs),
                lambda images, texts, groups: softmax_loss(images, texts, torch.zeros(())),
                run,
                encode_image=encode,
            )
        assert seen == pytest.approx(expected)


def test_inputs_are_normalised_pictures_and_other_ones_if_augmented(pairs, small):
    plain = TwoTowers(**small, augment=False).inputs(pairs)
    indices = np.array([3, 0])
    x = plain(indices, np.random.default_rng(0))
    wanted = np.stack([normalised(image, HALF, HALF) for image in pairs.images(indices, 16)])
    assert np.abs(x.numpy() - wanted).max() < 1e-5
    assert torch.equal(x, plain(indices, np.random.default_rng(1)))
    changed = TwoTowers(**small, augment=True).inputs(pairs)
    one, two = (changed(indices, np.random.default_rng(seed)) for seed in (0, 1))
    assert not torch.equal(one, two)
    assert torch.equal(one, changed(indices, np.random.default_rng(0)))


def test_the_texts_of_the_training_decide_the_vocabulary(pairs, small, run):
    method = TwoTowers(**small, languages="en")
    module, tokenizer = method.towers(pairs, run, log_scale=1.0)
    assert module.text_model.config.vocab_size == tokenizer.vocab_size <= 300
    assert tokenizer.rules.length == method.length
    assert method.spoken == ("en",)


def test_a_model_is_kept_six_times_with_its_scale_in_range(pairs, small, run):
    module, _, moments = trained(pairs, {**small, "examples": 144}, run)
    assert [moment.examples for moment in moments] == [24, 48, 72, 96, 120, 144]
    with torch.no_grad():
        module.logit_scale.fill_(9.0)
    ClampedMoments(module, run, steps=1, batch_size=1, epoch=1)()
    assert module.logit_scale.item() < 5


def test_large_models_keep_no_moments(pairs, small, run, monkeypatch):
    monkeypatch.setattr("assay.image_text.training._MOST_WEIGHTS", 10)
    assert trained(pairs, {**small, "examples": 24}, run)[2] == []


def test_sizes_and_colours_are_the_towers(small):
    assert TwoTowers().side == 32
    assert TwoTowers(image="efficientnet-lite0").side == 128
    assert TwoTowers(image=PretrainedConfig(), size=64).processor.size == 64
    assert TwoTowers().processor.mean == HALF
    assert TwoTowers(image="efficientnet-lite0").processor.mean != HALF
    assert TwoTowers(**small).processor.size == 16


def test_the_image_tower_can_have_rates_of_its_own(pairs, small, run):
    method = TwoTowers(**small, image_rate=0.25)
    module, _ = method.towers(pairs, run, log_scale=1.0)
    rates = {id(p): (g["lr"], g["muon"]) for g in method.optimizer(module).param_groups for p in g["params"]}
    assert rates.keys() == {id(p) for p in module.parameters()}
    for name, parameter in module.named_parameters():
        rate, by_muon = rates[id(parameter)]
        whole = method.learning_rate if by_muon else method.adam_learning_rate
        assert rate == whole * (0.25 if name.startswith("vision_model.") else 1), name
    module.lock()
    trained = [p for g in method.optimizer(module).param_groups for p in g["params"]]
    assert not {id(p) for p in module.vision_model.parameters()} & {id(p) for p in trained}


@pytest.mark.parametrize(
    "name", ["dim", "length", "examples", "learning_rate", "adam_learning_rate", "image_rate"]
)
def test_what_must_be_above_zero_is_named(name):
    with pytest.raises(ValueError, match=f"expected {name} above 0, got 0"):
        TwoTowers(**{name: 0})


@pytest.mark.parametrize("tags", [-0.1, 1.5])
def test_a_share_of_tags_is_a_share(tags):
    with pytest.raises(ValueError, match=rf"expected tags in \[0, 1\], got {tags}"):
        TwoTowers(tags=tags)


def test_two_precisions_train_to_nearly_the_same(pairs, small):
    losses = []
    for precision in ("fp32", "bf16"):
        _, history, _ = trained(pairs, {**small, "examples": 60, "augment": False}, Run(precision=precision))
        losses.append([value for _, value in history.curve("loss")])
    assert losses[0][0] == pytest.approx(losses[1][0], rel=0.05)
    assert losses[0] != losses[1]


class Cut(Exception):
    """What ends a training in the middle."""


@pytest.mark.parametrize("method", [FLIP, CatLIP, DFN])
def test_cut_off_in_any_of_its_parts_a_fit_goes_on_to_the_same_model(
    pairs, small, little_vit, tmp_path, method
):
    settings = {**small, "augment": True, "examples": 60} | {
        FLIP: {"image": little_vit},
        CatLIP: {"pretraining": 60, "pretraining_batch_size": 12, "views": 1},
        DFN: {"filter_examples": 60, "clean": 0.6},
    }[method]
    calls = 0

    def cut(fraction, text):
        nonlocal calls
        calls += 1
        if calls in (4, 12):
            raise Cut

    def fitted(folder=None):
        run = Run(seed=4, folder=folder, checkpoint_every=2, progress=cut if folder else lambda *_: None)
        with contextlib.closing(run):
            return method(**settings).fit(pairs, run=run)

    whole = fitted()
    for _ in range(2 if method is not FLIP else 1):
        with pytest.raises(Cut):
            fitted(tmp_path)
    resumed = fitted(tmp_path)
    expected = whole.module.state_dict()
    for name, weight in resumed.module.state_dict().items():
        assert torch.equal(weight, expected[name]), name
    assert [m.examples for m in resumed.moments] == [m.examples for m in whole.moments]
