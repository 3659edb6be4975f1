"""Nearest neighbours by loops over single pictures, and what is kept."""

import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.images.classifier import ImageClassifier
from assay.images.metrics import top_k_accuracy
from assay.images.pixel_neighbours import PixelNeighbours, votes


def looped(train, test, neighbours, temperature):
    flat = train.images.reshape(len(train), -1) / 255
    mean, std = flat.mean(), flat.std()
    known = [(row - mean) / std for row in flat]
    found = []
    for image in test.images:
        x = (image.ravel() / 255 - mean) / std
        near = sorted(
            (
                (x @ k / np.linalg.norm(x) / np.linalg.norm(k), label)
                for k, label in zip(known, train.labels, strict=True)
            ),
            key=lambda pair: -pair[0],
        )[:neighbours]
        weight = [np.exp(s / temperature) for s, _ in near]
        shared = np.mean(weight)
        row = np.full(len(train.classes), shared / len(train.classes))
        for w, (_, label) in zip(weight, near, strict=True):
            row[label] += w
        found.append(row / (sum(weight) + shared))
    return np.array(found)


@pytest.mark.parametrize(("neighbours", "temperature"), [(1, 0.07), (20, 0.07), (5, 0.5), (1000, 1.0)])
def test_equals_loops(shapes, others, neighbours, temperature):
    test = others.take(slice(10))
    model = PixelNeighbours(neighbours=neighbours, temperature=temperature).fit(shapes, run=Run())
    probs = np.exp(model.log_probs(test.images))
    np.testing.assert_allclose(probs, looped(shapes, test, neighbours, temperature), atol=1e-5)


def test_votes_by_hand_with_ties():
    similarity = torch.tensor([[0.5, 0.5, 0.1], [0.0, 0.0, 1.0]])
    found = votes(similarity, torch.tensor([0, 1, 1]), classes=2, neighbours=2, temperature=0.1)
    assert torch.allclose(found[0], torch.tensor([0.5, 0.5]))
    small = float(np.exp(-10))
    shared = (1 + small) / 2
    wanted = (1 + shared / 2) / (1 + small + shared)
    assert float(found[1, 1]) == pytest.approx(wanted, rel=0.1)  # Which of the equal ones votes is open.


def test_no_class_is_impossible_and_all_sum_to_one(shapes, others):
    model = PixelNeighbours(neighbours=1).fit(shapes, run=Run())
    log_probs = model.log_probs(others.images)
    assert np.isfinite(log_probs).all()
    np.testing.assert_allclose(np.exp(log_probs).sum(1), 1, atol=1e-6)
    assert top_k_accuracy(log_probs, others.labels) > 0.6


def test_a_picture_that_is_known_is_found(coloured):
    model = PixelNeighbours(neighbours=1).fit(coloured, run=Run())
    assert model.predict(coloured) == [coloured.classes[i] for i in coloured.labels]


def test_is_saved_and_loaded(shapes, others, tmp_path):
    model = PixelNeighbours(neighbours=3).fit(shapes, run=Run())
    model.save(tmp_path)
    again = ImageClassifier.load(tmp_path)
    assert np.array_equal(again.log_probs(others.images), model.log_probs(others.images))
    assert model.log_probs(others.images[:0]).shape == (0, 3)


def test_what_makes_no_sense_is_refused(shapes):
    for changes in ({"neighbours": 0}, {"temperature": 0.0}):
        with pytest.raises(ValueError, match="neighbours of at least 1 and a temperature above 0"):
            PixelNeighbours(**changes)
    with pytest.raises(ValueError, match="shapes: expected at least 1 image to compare with, got none"):
        PixelNeighbours().fit(shapes.take(slice(0)), run=Run())
