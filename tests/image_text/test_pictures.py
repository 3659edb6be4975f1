import numpy as np
import pytest
import torch

from assay.image_text import pictures
from assay.image_text.pictures import Pictures, as_input, moved
from assay.image_text.processor import CLIP_MEAN, CLIP_STD, normalised


def test_pictures_are_the_same_whether_kept_or_decoded_when_drawn(pairs, monkeypatch):
    kept = Pictures(pairs, 8)
    monkeypatch.setattr(pictures, "_HELD", 0)
    drawn = Pictures(pairs, 8)
    indices = np.array([5, 0, 23])
    assert np.array_equal(kept(indices), drawn(indices))
    assert kept(indices).shape == (3, 8, 8, 3)
    assert len(kept) == len(drawn) == 24


def test_inputs_are_those_of_the_processor(pairs):
    images = pairs.images(range(3), 16)
    found = as_input(images, CLIP_MEAN, CLIP_STD)
    assert found.is_contiguous(memory_format=torch.channels_last)
    wanted = np.stack([normalised(image, CLIP_MEAN, CLIP_STD) for image in images])
    assert np.abs(found.numpy() - wanted).max() < 1e-5


def test_nothing_moves_without_strength():
    x = torch.randn(2, 3, 8, 8)
    assert moved(x, np.random.default_rng(0), strength=0) is x


def test_images_move_each_in_its_own_way_and_alike_for_one_seed():
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).expand(4, 3, 16, 16)
    one = moved(x, np.random.default_rng(1), strength=1)
    assert torch.equal(one, moved(x, np.random.default_rng(1), strength=1))
    assert not torch.equal(one, moved(x, np.random.default_rng(2), strength=1))
    assert (one[0] - one[1]).abs().max() > 0.1
    assert torch.isfinite(one).all()


def test_little_strength_changes_little():
    x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert (moved(x, np.random.default_rng(0), strength=1e-4) - x).abs().max() < 5e-3


def test_what_comes_in_from_outside_is_the_corners_colour():
    x = torch.full((64, 1, 16, 16), 0.7)
    x[:, :, 4:12, 4:12] = 0.1
    out = moved(x, np.random.default_rng(0), strength=1)
    assert out[:, :, 0, 0].min() == pytest.approx(0.7, abs=1e-5)
    assert out.max() < 0.7001
