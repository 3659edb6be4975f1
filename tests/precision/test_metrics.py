import numpy as np
import pytest
import torch

from assay.precision.metrics import Outcome, accuracy, cross_entropy


def test_cross_entropy_is_torchs_also_of_large_logits():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20, 5)) * 300, rng.integers(0, 5, 20)
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    assert cross_entropy(logits, labels) == pytest.approx(expected.item(), rel=1e-12)
    assert cross_entropy(np.zeros((3, 4)), np.array([0, 1, 2])) == pytest.approx(np.log(4))


def test_accuracy_by_hand():
    logits = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [5.0, 4.0]])
    assert accuracy(logits, np.array([1, 0, 0, 0])) == 0.75


def test_outcomes_are_equal_by_value():
    one = Outcome(np.ones((2, 3)), 0.1, 0.2, 0.0)
    assert one == Outcome(np.ones((2, 3)), 0.1, 0.2, 0.0)
    assert one != Outcome(np.zeros((2, 3)), 0.1, 0.2, 0.0)
    assert one != Outcome(np.ones((2, 3)), 0.1, 0.3, 0.0)
    assert one != "one"
    assert np.array_equal(one, Outcome(np.ones((2, 3)), 0.1, 0.2, 0.0))
