"""The arms differ in what the claim is about and in nothing else."""

import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.data.fetch import FetchError
from assay.data.labelled import LabelledImages
from assay.images.experiments import WithoutPositions, WithoutShift, pairs_of
from assay.images.from_scratch import SwinClassifier, ViTClassifier
from assay.images.task import task
from assay.train.seeding import seeded

SIDE, PATCH = 28, 7


@pytest.fixture(scope="module")
def clothes():
    try:
        return task.load("fashion-mnist", scale="smoke").pool
    except FetchError as error:
        pytest.skip(str(error))


def network(method, data):
    with seeded(Run(seed=3)):
        return method().network(data).double().eval()


def shuffled(images):
    """The patches of every image in another order."""
    count = SIDE // PATCH
    patches = images.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).flatten(2, 3)
    patches = patches[:, :, torch.randperm(count * count, generator=torch.Generator().manual_seed(0))]
    return patches.unflatten(2, (count, count)).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def test_without_positions_the_order_of_patches_is_lost(clothes):
    images = torch.rand(2, 1, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for method, same in ((WithoutPositions, True), (ViTClassifier, False)):
            net = network(method, clothes)
            assert torch.allclose(net(images), net(shuffled(images)), atol=1e-12) == same


def test_positions_stay_away_in_training(clothes):
    model = WithoutPositions(examples=64, batch_size=16).fit(clothes, run=Run())
    table = model.network.position_embeddings
    assert not table.any()
    kept = dict(network(ViTClassifier, clothes).named_parameters())
    for name, parameter in network(WithoutPositions, clothes).named_parameters():
        assert torch.equal(parameter, kept[name]) != (name == "position_embeddings")


def test_without_shift_no_window_hears_of_another(clothes):
    data = pairs_of(clothes, 4, np.random.default_rng(0))
    image = torch.rand(1, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    other = image.clone()
    other[..., 16:] = torch.rand(16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for method, apart in ((WithoutShift, True), (SwinClassifier, False)):
        with seeded(Run(seed=3)):
            net = method(depths=(4,), num_heads=(2,)).network(data).double().eval()
        with torch.no_grad():
            one, two = net.pyramid(image)[-1], net.pyramid(other)[-1]
        assert torch.equal(one[:, :, :4], two[:, :, :4]) == apart
        assert not torch.equal(one[:, :, 4:], two[:, :, 4:])


def test_pairs_are_of_one_kind_half_of_the_time():
    images = np.zeros((6, 28, 28), np.uint8)
    kinds = ("trouser", "dress", "bag", "ankle boot")
    labels = np.array([0, 0, 1, 2, 3, 3])
    for image, label in zip(images, labels, strict=True):
        image[:] = 50 * (label + 1)
    pairs = pairs_of(LabelledImages(images, labels, kinds), 300, np.random.default_rng(0))
    middle = pairs.images[:, 8, [8, 24]]
    assert set(middle.ravel()) == {50, 150, 200}  # No dress.
    assert np.array_equal(middle[:, 0] == middle[:, 1], pairs.labels == 1)
    assert (pairs.labels == 1).sum() == 150
    assert not pairs.images[:, 16:].any()
