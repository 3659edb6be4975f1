"""The metrics against loops over single numbers, ties and values that are no numbers included."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from assay.images.metrics import confusion, log_loss, ranks, top_k_accuracy


def drawn(seed=0, rows=200, classes=7, ties=True):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, classes))
    return (scores.round(0) if ties else scores), rng.integers(0, classes, rows)


@pytest.mark.parametrize("ties", [True, False])
def test_ranks_are_places_in_the_sorted_list(ties):
    scores, labels = drawn(ties=ties)
    for row, label, rank in zip(scores, labels, ranks(scores, labels), strict=True):
        order = sorted(range(len(row)), key=lambda c: (-row[c], c))  # Of equal ones the lower number first.
        assert order.index(label) == rank


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_is_sklearns_without_ties(k):
    scores, labels = drawn(ties=False)
    expected = sklearn.top_k_accuracy_score(labels, scores, k=k, labels=range(7))
    assert top_k_accuracy(scores, labels, k) == pytest.approx(expected, abs=1e-15)


def test_constant_scores_have_the_accuracy_of_class_0():
    labels = np.array([0, 0, 1, 2, 2])
    assert top_k_accuracy(np.zeros((5, 3)), labels) == pytest.approx(2 / 5)
    assert top_k_accuracy(np.zeros((5, 3)), labels, 2) == pytest.approx(3 / 5)
    assert top_k_accuracy(np.zeros((5, 3)), labels, 3) == 1


def test_what_is_no_number_is_never_right():
    scores = np.array([[0.0, np.nan], [1.0, 0.0]])
    assert top_k_accuracy(scores, np.array([0, 0])) == 0.5
    assert np.isnan(log_loss(scores, np.array([1, 0])))


def test_log_loss_is_sklearns():
    scores, labels = drawn(ties=False)
    log_probs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    expected = sklearn.log_loss(labels, np.exp(log_probs), labels=range(7))
    assert log_loss(log_probs, labels) == pytest.approx(expected, rel=1e-12)


def test_confusion_is_sklearns():
    scores, labels = drawn(ties=False)
    expected = sklearn.confusion_matrix(labels, scores.argmax(1), labels=range(7))
    assert np.array_equal(confusion(scores, labels), expected)
