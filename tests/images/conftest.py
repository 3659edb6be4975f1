"""Small pictures whose class is plain to see."""

import numpy as np
import pytest

from assay.data.labelled import LabelledImages


def drawn(count, *, side=12, colour=False, seed=0, name="shapes"):
    """Rows, columns or a square, at random places, with noise."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, side, side, 3) if colour else (count, side, side)).astype(np.uint8)
    labels = rng.permutation(np.arange(count) % 3)
    for image, label in zip(images, labels, strict=True):
        first = rng.integers(0, side // 3)
        if label == 0:
            image[first::3] += 180
        elif label == 1:
            image[:, first::3] += 180
        else:
            image[first : first + side // 2, first : first + side // 2] += 180
    return LabelledImages(images, labels.astype(np.int64), ("rows", "columns", "square"), name)


@pytest.fixture(scope="session")
def shapes():
    """200 grey pictures."""
    return drawn(200)


@pytest.fixture(scope="session")
def others():
    """60 more."""
    return drawn(60, seed=1)


@pytest.fixture(scope="session")
def coloured():
    """60 pictures in colour, of 40 pixels."""
    return drawn(60, side=40, colour=True)
