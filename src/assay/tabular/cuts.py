"""Where to cut a column into bins: its distinct values, their weights, and cuts of equal mass between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ValueCounts:
    """The distinct values of a column and the weight of each; parts of a column merge by adding weights.

    Args:
        values: float64, ascending, finite.
        weights: float64, the positive weight of each value; the number of rows where rows have no weights.
    """

    values: np.ndarray
    weights: np.ndarray

    def merge(self, other: ValueCounts) -> ValueCounts:
        """The counts of both parts together, exact and therefore in any order for whole-numbered weights."""
        values, where = np.unique(np.concatenate([self.values, other.values]), return_inverse=True)
        weights = np.concatenate([self.weights, other.weights])
        return ValueCounts(values, np.bincount(where, weights, minlength=len(values)))


def exact_weights(weights: np.ndarray) -> np.ndarray:
    """Weights rounded up to multiples of a power of two such that their sums are exact in any order.

    At most one part in 2^52 of the largest possible sum is added to each; whole numbers stay as they are.

    Args:
        weights: float64[rows], finite, not negative.
    """
    exponent = 52 - int(np.frexp(weights.max(initial=0.0))[1]) - len(weights).bit_length()
    return np.ldexp(np.ceil(np.ldexp(weights, exponent)), -exponent)


def equal_mass(weights: np.ndarray, max_bins: int | None) -> np.ndarray:
    """The index at which each bin starts when values of these weights are cut into at most `max_bins` bins.

    A value that outweighs a fair share has a bin of its own; the others share the remaining bins equally, each
    in the bin into which the middle of its mass falls. The cuts depend on sums of weights alone.

    Args:
        weights: float64[values], positive, of the distinct values in ascending order.
        max_bins: at least 1; None gives every value its own bin.
    """
    if max_bins is None or len(weights) <= max_bins:
        return np.arange(max(1, len(weights)))
    heavy = np.zeros(len(weights), bool)
    light, num_light = weights, max_bins
    while (outweighs := light > light.sum() / num_light).any():
        heavy |= outweighs
        light, num_light = np.where(heavy, 0.0, weights), max_bins - np.count_nonzero(heavy)
    while num_light > 0:
        starts = _shares(light, num_light, heavy)
        if len(starts) <= max_bins:
            return starts
        num_light -= len(starts) - max_bins  # a heavy value inside a share has split it in two
    # The runs between the heavy values alone outnumber the bins: then heavy values have neighbours.
    return _shares(weights, max_bins, np.zeros_like(heavy))


def _shares(weights: np.ndarray, num_bins: int, alone: np.ndarray) -> np.ndarray:
    """Starts of `num_bins` bins of equal mass, and of one more for every value that is `alone`."""
    middle = np.cumsum(weights) - weights / 2
    share = np.floor(middle * (num_bins / weights.sum()))
    return np.flatnonzero(np.concatenate([[True], (np.diff(share) > 0) | alone[1:] | alone[:-1]]))


def midpoints(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Thresholds in [below, above) in float64: the midpoint, or `below` itself where no number lies between."""
    middle = below / 2 + above / 2  # the sum could overflow
    return np.where((middle >= below) & (middle < above), middle, below)
