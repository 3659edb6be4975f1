"""Training: what images go through, what a run decides, and the networks kept on the way."""

import contextlib
import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from assay.core.budget import Budget
from assay.core.run import Run
from assay.images.metrics import top_k_accuracy
from assay.images.resnet import ResNet, ResNetConfig
from assay.images.training import NetworkMethod, augmented


@dataclass(frozen=True, kw_only=True)
class Small(NetworkMethod):
    """A ResNet of a few channels."""

    examples: int = 600
    batch_size: int = 20

    def network(self, data):
        channels = 1 if data.images.ndim == 3 else 3
        config = ResNetConfig.cifar(8, width=4, num_channels=channels, num_classes=len(data.classes))
        return ResNet(config)


@pytest.fixture(autouse=True)
def _own_random_numbers():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        yield


# Augmentation


@pytest.mark.parametrize("shape", [(64, 5, 7), (64, 5, 7, 3)])
@pytest.mark.parametrize(("shift", "flip"), [(0, True), (2, False), (1, True)])
def test_every_image_is_one_of_its_shifts_and_mirror_images(shape, shift, flip):
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    found = augmented(images, shift=shift, flip=flip)
    assert found.dtype == torch.uint8
    seen = set()
    for before, after in zip(images, found, strict=True):
        edge = ((shift, shift), (shift, shift), *((0, 0),) * (before.ndim - 2))
        padded = np.pad(before.numpy(), edge, mode="edge")
        ways = itertools.product(range(2 * shift + 1), range(2 * shift + 1), (False, True))
        fits = []
        for down, right, mirrored in ways:
            view = padded[down : down + 5, right : right + 7]
            if np.array_equal(view[:, ::-1] if mirrored else view, after):
                fits.append((down, right, mirrored))
        assert fits
        seen.add(fits[0])
    assert len({s[:2] for s in seen}) > (1 if shift else 0)
    assert {s[2] for s in seen} == ({False, True} if flip else {False})


def test_nothing_to_do_leaves_images_as_they_are():
    images = torch.randint(0, 256, (4, 5, 5), dtype=torch.uint8)
    assert augmented(images, shift=0, flip=False) is images


# Training


def test_learns(shapes, others):
    model = Small(examples=1500).fit(shapes, run=Run())
    assert top_k_accuracy(model.log_probs(others.images), others.labels) > 0.8


def test_follows_the_seed_and_nothing_else(shapes, others):
    state = torch.get_rng_state()
    one = Small().fit(shapes, run=Run(seed=1)).log_probs(others.images)
    assert torch.equal(torch.get_rng_state(), state)
    torch.random.default_generator.manual_seed(5)
    two = Small().fit(shapes, run=Run(seed=1)).log_probs(others.images)
    three = Small().fit(shapes, run=Run(seed=2)).log_probs(others.images)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_the_network_is_kept_eight_times_and_the_last_is_the_result(shapes, others):
    model = Small().fit(shapes, run=Run())
    assert [moment.examples for moment in model.history] == [80, 160, 240, 300, 380, 460, 540, 600]
    last = model.at(model.history[-1]).log_probs(others.images)
    assert np.array_equal(last, model.log_probs(others.images))
    assert not np.array_equal(model.at(model.history[0]).log_probs(others.images), last)


@pytest.mark.parametrize(("budget", "seen"), [("10steps", 200), ("100examples", 100), ("1epochs", 200)])
def test_a_budget_takes_the_place_of_the_examples(shapes, budget, seen):
    model = Small().fit(shapes, run=Run(budget=Budget.parse(budget)))
    assert model.history[-1].examples == seen


def test_few_images_make_smaller_batches(shapes):
    model = Small(examples=50).fit(shapes.take(slice(5)), run=Run())
    assert model.history[-1].examples == 50
    with pytest.raises(ValueError, match="shapes: expected at least 2 images to learn from, got 1"):
        Small().fit(shapes.take(slice(1)), run=Run())


def test_the_log_has_loss_and_accuracy(shapes, tmp_path):
    run = Run(folder=tmp_path)
    Small().fit(shapes, run=run)
    run.close()
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert len(lines) == 30
    assert '"loss"' in lines[0]
    assert '"accuracy"' in lines[0]


def test_cut_off_in_the_middle_it_goes_on_to_the_same_network(shapes, others, tmp_path):
    class Cut(Exception):
        pass

    def cut(fraction, text):
        if fraction > 0.6:
            raise Cut

    def fitted(progress=lambda fraction, text: None):
        run = Run(seed=4, folder=tmp_path, checkpoint_every=4, progress=progress)
        with contextlib.closing(run):
            return Small(shift=1).fit(shapes, run=run)

    whole = Small(shift=1).fit(shapes, run=Run(seed=4))
    with pytest.raises(Cut):
        fitted(cut)
    resumed = fitted()
    assert np.array_equal(whole.log_probs(others.images), resumed.log_probs(others.images))
    for one, two in zip(whole.history, resumed.history, strict=True):
        assert one.examples == two.examples
        for name, weight in one.weights.items():
            assert torch.equal(weight, two.weights[name])


def test_half_precision_trains_too(shapes, others):
    model = Small(examples=1500).fit(shapes, run=Run(precision="bf16"))
    assert isinstance(model.network, nn.Module)
    assert next(model.network.parameters()).dtype == torch.float32
    assert top_k_accuracy(model.log_probs(others.images), others.labels) > 0.7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples": 0}, "expected examples above 0, got 0"),
        ({"batch_size": 0}, "expected batch_size above 0"),
        ({"learning_rate": float("nan")}, "expected learning_rate above 0, got nan"),
        ({"weight_decay": -1.0}, "expected weight_decay of at least 0, got -1.0"),
        ({"shift": -1}, "expected shift of at least 0, got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Small(**changes)
