import json

import numpy as np
import pytest

from assay.data.labelled import LabelledImages
from assay.data.table import ContractError
from assay.precision.problem import Problem


def images(count=12, classes=("a", "b"), shape=(3, 2)):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % len(classes)
    return LabelledImages(
        rng.integers(0, 256, (count, *shape), np.uint8), labels.astype(np.int64), classes, "some"
    )


def test_rows_are_pixels_between_zero_and_one():
    problem = Problem(images(), 3)
    rows = problem.rows()
    assert rows.dtype == np.float32
    assert np.array_equal(rows, problem.images.images.reshape(12, 6).astype(np.float32) / 255)
    assert Problem(images(shape=(3, 2, 3))).rows().shape == (12, 18)


def test_parts_keep_positions():
    part = Problem(images(), 3).take(np.array([1, 3, 5, 7]))
    assert (len(part), part.positions, part.name) == (4, 3, "some")
    assert part.images.labels.tolist() == [1, 1, 1, 1]


def test_fingerprint_is_of_images_and_positions():
    assert Problem(images(), 3).fingerprint() == Problem(images(), 3).fingerprint()
    prints = {Problem(images(), 3), Problem(images(), 4), Problem(images(count=13), 3)}
    assert len({problem.fingerprint() for problem in prints}) == 3


def test_saved_and_opened(tmp_path):
    problem = Problem(images(), 7)
    problem.save(tmp_path)
    again = Problem.open(tmp_path)
    assert again.fingerprint() == problem.fingerprint()
    assert again.describe() == problem.describe()


def test_description_is_json_and_says_what_the_positions_do():
    description = Problem(images(), 1000).describe()
    assert json.loads(json.dumps(description)) == description
    assert description["positions"] == 1000
    assert "averaged over 1,000 positions" in description["note"]


@pytest.mark.parametrize("positions", [0, -3, 1.5, True, "many"])
def test_positions_are_whole_numbers(positions):
    with pytest.raises(ContractError, match="positions: expected a whole number from 1 up"):
        Problem(images(), positions)


@pytest.mark.parametrize("few", [{"count": 3}, {"classes": ("a",)}])
def test_too_few_images_or_classes(few):
    with pytest.raises(ContractError, match="some: expected at least 4 images and 2 classes"):
        Problem(images(**few))
