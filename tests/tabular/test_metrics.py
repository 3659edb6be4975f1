import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.tabular import metrics

ROWS = st.integers(2, 30)


def problem(rows, seed, classes=2, ties=True):
    rng = np.random.default_rng(seed)
    raw = rng.random((rows, classes))
    raw = np.round(raw, 1) + 0.05 if ties else raw
    labels = rng.integers(0, classes, rows)
    labels[:classes] = np.arange(classes)[:rows]
    return raw / raw.sum(axis=1, keepdims=True), labels, rng.integers(0, 3, rows) + rng.random()


def naive_auc(scores, positive, weight):
    above = total = 0.0
    for s, w in zip(scores[positive], weight[positive], strict=True):
        for t, v in zip(scores[~positive], weight[~positive], strict=True):
            above += w * v * (1.0 if s > t else 0.5 if s == t else 0.0)
            total += w * v
    return above / total


@given(ROWS, st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_auc_is_the_count_over_pairs(rows, seed):
    probabilities, labels, weight = problem(rows, seed)
    expected = naive_auc(probabilities[:, 1], labels == 1, weight)
    assert metrics.auc(probabilities[:, 1], labels == 1, weight) == pytest.approx(expected, abs=1e-10)
    order = np.random.default_rng(seed).permutation(rows)
    shuffled = metrics.auc(4 * probabilities[order, 1], (labels == 1)[order], weight[order])
    assert shuffled == pytest.approx(expected, abs=1e-10)  # Any increasing map, any order.
    assert metrics.auc(-probabilities[:, 1], labels == 1, weight) == pytest.approx(1 - expected, abs=1e-10)


def test_auc_without_an_answer_is_nan():
    scores = np.array([0.1, 0.2])
    assert math.isnan(metrics.auc(scores, np.array([True, True])))
    assert math.isnan(metrics.auc(np.array([0.1, np.nan]), np.array([True, False])))
    assert metrics.auc(np.array([-np.inf, 1.0]), np.array([False, True])) == 1
    assert metrics.auc(np.array([-np.inf, -np.inf]), np.array([False, True])) == 0.5


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_equal_scikit_learns(classes, weighted):
    sk = pytest.importorskip("sklearn.metrics")
    probabilities, labels, weight = problem(200, 7, classes, ties=False)
    weight = weight if weighted else None
    choice = probabilities.argmax(axis=1)
    options = {"sample_weight": weight}
    binary = classes == 2
    pairs = [
        (metrics.log_loss, sk.log_loss(labels, probabilities, **options)),
        (metrics.accuracy, sk.accuracy_score(labels, choice, **options)),
        (metrics.balanced_accuracy, sk.balanced_accuracy_score(labels, choice, **options)),
        (
            metrics.mean_auc,
            sk.roc_auc_score(labels, probabilities[:, 1], **options)
            if binary
            else sk.roc_auc_score(labels == 0, probabilities[:, 0], **options) * 0
            + _prevalence_mean(sk, probabilities, labels, weight),
        ),
    ]
    for metric, expected in pairs:
        assert metric(probabilities, labels, weight) == pytest.approx(expected, abs=1e-10), metric.__name__
    target, guess = probabilities[:, 0] * 50, probabilities[:, 1] * 50
    for metric, expected in [
        (metrics.rmse, sk.mean_squared_error(target, guess, **options) ** 0.5),
        (metrics.mean_absolute_error, sk.mean_absolute_error(target, guess, **options)),
        (metrics.r2, sk.r2_score(target, guess, **options)),
    ]:
        assert metric(guess, target, weight) == pytest.approx(expected, abs=1e-10), metric.__name__


def _prevalence_mean(sk, probabilities, labels, weight):
    weight = np.ones(len(labels)) if weight is None else weight
    total = 0.0
    for k in range(probabilities.shape[1]):
        share = weight[labels == k].sum() / weight.sum()
        total += share * sk.roc_auc_score(labels == k, probabilities[:, k], sample_weight=weight)
    return total


def test_log_loss_clips_and_counts():
    probabilities, labels = np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([1, 0])
    assert metrics.log_loss(probabilities, labels) == pytest.approx((-math.log(1e-15) + math.log(2)) / 2)
    assert metrics.num_clipped(probabilities, labels) == 1


def test_calibration_error_by_hand():
    # 30 rows say 0.2 and 40 % happen, 30 say 0.8 and 80 % happen: (0.2 + 0) / 2.
    predicted = np.repeat([0.2, 0.8], 30)
    labels = np.concatenate([np.repeat([1, 0], [12, 18]), np.repeat([1, 0], [24, 6])])
    probabilities = np.stack([1 - predicted, predicted], axis=1)
    assert metrics.calibration_error(probabilities, labels) == pytest.approx(0.1)
    assert metrics.calibration_error(probabilities, labels, np.full(60, 3.0)) == pytest.approx(0.1)


def test_calibration_error_of_honest_probabilities_vanishes_with_rows():
    rng = np.random.default_rng(0)
    predicted = rng.random(200_000)
    labels = (rng.random(200_000) < predicted).astype(int)
    assert metrics.calibration_error(np.stack([1 - predicted, predicted], axis=1), labels) < 0.005


def test_calibration_of_many_classes_is_that_of_the_choice():
    probabilities = np.tile([0.6, 0.3, 0.1], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    assert metrics.calibration_error(probabilities, labels) == pytest.approx(0.0, abs=1e-12)


def test_r2_of_a_constant_target():
    target = np.full(3, 2.0)
    assert metrics.r2(target, target) == 1
    assert metrics.r2(target + 1, target) == 0


def test_integer_weight_is_a_repeated_row():
    probabilities, labels, _ = problem(40, 3, 3)
    weight = np.random.default_rng(1).integers(1, 4, 40)
    repeated = np.repeat(np.arange(40), weight)
    for metric in (metrics.mean_auc, metrics.log_loss, metrics.accuracy, metrics.balanced_accuracy):
        expected = metric(probabilities[repeated], labels[repeated])
        assert metric(probabilities, labels, weight.astype(float)) == pytest.approx(expected, abs=1e-12)
