"""The metrics of the tabular wing, each defined once; all take row weights."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]

_CLIP = 1e-15
_BINS = 15


def auc(scores: Floats, positive: NDArray[np.bool_], weight: Floats | None = None) -> float:
    """The (weighted) probability that a positive row scores above a negative one, ties counting half.

    Args:
        scores: of shape (rows,), any real numbers.
        positive: whether each row is positive.
        weight: of each row, not negative.

    Returns:
        A number in [0, 1]; NaN when there is no positive or no negative row, or a score is NaN.
    """
    weight = np.ones(len(scores)) if weight is None else weight
    if np.isnan(scores).any():
        return float("nan")
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.concatenate([[0], 1 + np.flatnonzero(ordered[1:] != ordered[:-1])])
    up = np.add.reduceat(np.where(positive, weight, 0.0)[order], starts)
    down = np.add.reduceat(np.where(positive, 0.0, weight)[order], starts)
    total = up.sum() * down.sum()
    below = np.cumsum(down) - down  # Negatives with a smaller score than the group's.
    return float((up * (below + down / 2)).sum() / total) if total > 0 else float("nan")


def mean_auc(probabilities: Floats, labels: Codes, weight: Floats | None = None) -> float:
    """The AUC for two classes (of the second), else the mean one-versus-rest AUC weighted by prevalence.

    Args:
        probabilities: of shape (rows, classes).
        labels: class codes in [0, classes).
        weight: of each row.
    """
    classes = probabilities.shape[1]
    if classes == 2:
        return auc(probabilities[:, 1], labels == 1, weight)
    weight = np.ones(len(labels)) if weight is None else weight
    prevalence = np.bincount(labels, weights=weight, minlength=classes)
    present = np.flatnonzero(prevalence)
    each = np.array([auc(probabilities[:, k], labels == k, weight) for k in present])
    return float(each @ prevalence[present] / prevalence.sum())


def log_loss(probabilities: Floats, labels: Codes, weight: Floats | None = None) -> float:
    """The mean of -ln p(true class), in nats, with probabilities clipped to [1e-15, 1]."""
    true = probabilities[np.arange(len(labels)), labels]
    return float(np.average(-np.log(np.clip(true, _CLIP, 1.0)), weights=weight))


def num_clipped(probabilities: Floats, labels: Codes) -> int:
    """How many rows `log_loss` had to clip: those whose true class was called (all but) impossible."""
    return int((probabilities[np.arange(len(labels)), labels] < _CLIP).sum())


def accuracy(probabilities: Floats, labels: Codes, weight: Floats | None = None) -> float:
    """The share of rows whose most probable class (the first among equals) is the true one."""
    return float(np.average(probabilities.argmax(axis=1) == labels, weights=weight))


def balanced_accuracy(probabilities: Floats, labels: Codes, weight: Floats | None = None) -> float:
    """The mean over the classes present of the share of their rows that are predicted right."""
    weight = np.ones(len(labels)) if weight is None else weight
    hit = np.where(probabilities.argmax(axis=1) == labels, weight, 0.0)
    size = np.bincount(labels, weights=weight)
    right = np.bincount(labels, weights=hit, minlength=len(size))
    return float(np.mean(right[size > 0] / size[size > 0]))


def calibration_error(probabilities: Floats, labels: Codes, weight: Floats | None = None) -> float:
    """The mean absolute gap between predicted probability and frequency, over 15 bins of equal mass.

    For two classes of the second class's probability, else of the most probable class's. Rows with one
    probability stay in one bin.
    """
    if probabilities.shape[1] == 2:
        predicted, happened = probabilities[:, 1], labels == 1
    else:
        predicted, happened = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    weight = np.ones(len(labels)) if weight is None else weight
    order = np.argsort(predicted, kind="stable")
    predicted, happened, weight = predicted[order], happened[order], weight[order]
    middle = np.cumsum(weight) - weight / 2
    bins = np.minimum((middle / weight.sum() * _BINS).astype(int), _BINS - 1)
    firsts = np.flatnonzero(np.diff(predicted, prepend=-1.0) != 0)
    bins = bins[firsts][np.cumsum(np.isin(np.arange(len(bins)), firsts)) - 1]
    mass = np.bincount(bins, weights=weight, minlength=_BINS)
    gap = np.bincount(bins, weights=weight * (predicted - happened), minlength=_BINS)
    return float(np.abs(gap[mass > 0]).sum() / mass.sum())


def rmse(predictions: Floats, target: Floats, weight: Floats | None = None) -> float:
    """The root of the mean squared error, in the target's unit."""
    return float(np.sqrt(np.average((predictions - target) ** 2, weights=weight)))


def mean_absolute_error(predictions: Floats, target: Floats, weight: Floats | None = None) -> float:
    """The mean absolute error, in the target's unit."""
    return float(np.average(np.abs(predictions - target), weights=weight))


def r2(predictions: Floats, target: Floats, weight: Floats | None = None) -> float:
    """1 - squared error / that of the mean; for a constant target 1 if met exactly, else 0."""
    weight = np.ones(len(target)) if weight is None else weight
    error = weight @ (predictions - target) ** 2
    spread = weight @ (target - np.average(target, weights=weight)) ** 2
    return float(1 - error / spread) if spread > 0 else float(error == 0)
