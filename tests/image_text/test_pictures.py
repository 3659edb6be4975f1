import numpy as np
import pytest
import torch

from assay.data.pairs import Pairs
from assay.data.pictures import PictureError
from assay.image_text import pictures
from assay.image_text.pictures import Originals, Pictures, as_input, at_once
from assay.image_text.processor import CLIP_MEAN, CLIP_STD, normalised


def test_pictures_are_the_same_whether_kept_or_decoded_when_drawn(pairs, monkeypatch):
    kept = Pictures(pairs, 8)
    monkeypatch.setattr(pictures, "_HELD", 0)
    drawn = Pictures(pairs, 8)
    indices = np.array([5, 0, 23])
    assert np.array_equal(kept(indices), drawn(indices))
    assert kept(indices).shape == (3, 8, 8, 3)
    assert len(kept) == len(drawn) == 24


def test_originals_keep_their_sizes_and_are_kept_while_there_is_room(tmp_path):
    sizes = [(5, 9), (8, 3), (4, 4)]
    made = [np.random.default_rng(i).integers(0, 256, (*size, 3), np.uint8) for i, size in enumerate(sizes)]
    some = Pairs.of(made, ["a", "b", "c"], name="some")
    for held in (0, 5 * 9 * 3 + 4 * 4 * 3, 1 << 20):
        originals = Originals(some, held)
        for _ in range(2):
            for place, picture in zip((2, 0, 1), originals(np.array([2, 0, 1])), strict=True):
                assert np.array_equal(picture, made[place])
        kept = sum(picture.nbytes for picture in originals._held.values())
        assert kept == min(held, sum(picture.nbytes for picture in made))
    with pytest.raises(PictureError, match="some, pair 0"):
        Originals(Pairs.of([b"no picture"], ["a"], name="some"))([0])


def test_inputs_are_those_of_the_processor(pairs):
    images = pairs.images(range(3), 16)
    found = as_input(images, CLIP_MEAN, CLIP_STD)
    assert found.is_contiguous(memory_format=torch.channels_last)
    wanted = np.stack([normalised(image, CLIP_MEAN, CLIP_STD) for image in images])
    assert np.abs(found.numpy() - wanted).max() < 1e-5


def test_fewer_large_pictures_are_shown_at_a_time():
    assert [at_once(size) for size in (32, 128, 224, 1024)] == [256, 16, 5, 1]
