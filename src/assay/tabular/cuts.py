"""Where to cut a column into bins: its distinct values, their weights, cuts of equal mass between them."""

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
        """The counts of both parts together: in any order the same, as whole numbers are added exactly."""
        values, where = np.unique(np.concatenate([self.values, other.values]), return_inverse=True)
        weights = np.concatenate([self.weights, other.weights])
        return ValueCounts(values, np.bincount(where, weights, minlength=len(values)).astype(np.float64))


def exact_weights(weights: np.ndarray) -> np.ndarray:
    """Weights rounded up to multiples of a power of two such that their sums are exact in any order.

    What is added to each is less than one part in 2^50 of the largest weight times the number of rows; whole
    numbers stay as they are.

    Args:
        weights: float64[rows], finite, not negative.
    """
    exponent = 52 - int(np.frexp(weights.max(initial=0.0))[1]) - len(weights).bit_length()
    return np.ldexp(np.ceil(np.ldexp(weights, exponent)), -exponent)


def equal_mass(weights: np.ndarray, max_bins: int | None) -> np.ndarray:
    """The index at which each bin starts when values of these weights are cut into at most `max_bins` bins.

    A value that outweighs a fair share has a bin of its own. The others share the remaining bins equally,
    each in the bin into which the middle of its mass falls. The cuts depend on sums of weights alone.

    Args:
        weights: float64[values], positive, of the distinct values in ascending order.
        max_bins: at least 1; None gives every value its own bin.
    """
    if max_bins is None or len(weights) <= max_bins:
        return np.arange(max(1, len(weights)))
    ends = np.cumsum(weights)
    heavy, num_shares = np.empty(0, np.int64), max_bins
    while len(more := _heavier_than_share(weights, ends, heavy, num_shares)):
        heavy = np.sort(np.concatenate([heavy, more]))
        num_shares = max_bins - len(heavy)
    while num_shares > 0:
        starts = _starts(weights, ends, heavy, num_shares)
        if len(starts) <= max_bins:
            return starts
        num_shares -= len(starts) - max_bins  # a heavy value inside a share has cut it in two
    # The runs between the heavy values alone outnumber the bins: then heavy values get neighbours.
    return _starts(weights, ends, heavy[:0], max_bins)


def _share_edges(
    weights: np.ndarray, ends: np.ndarray, heavy: np.ndarray, num_shares: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """The inner edges of equal shares of all but the heavy values, as masses in `ends`.

    Returns the edges, the value whose mass holds each edge, and the size of a share.
    """
    passed = np.concatenate(
        [[0.0], np.cumsum(weights[heavy])]
    )  # heavy mass before and after each heavy value
    share = (ends[-1] - passed[-1]) / num_shares
    edges = share * np.arange(1, num_shares)
    edges += passed[np.searchsorted(ends[heavy] - passed[1:], edges, side="right")]
    holders = np.searchsorted(ends[:-1], edges, side="right")
    return edges, holders, share


def _heavier_than_share(
    weights: np.ndarray, ends: np.ndarray, heavy: np.ndarray, num_shares: int
) -> np.ndarray:
    """The values that outweigh a share and are not heavy yet; such a value holds an edge of a share."""
    _, holders, share = _share_edges(weights, ends, heavy, num_shares)
    holders = np.setdiff1d(holders, heavy)
    return holders[weights[holders] > share]


def _starts(weights: np.ndarray, ends: np.ndarray, heavy: np.ndarray, num_shares: int) -> np.ndarray:
    """Where bins start that are equal shares of the other values, and one for every heavy value."""
    edges, holders, _ = _share_edges(weights, ends, heavy, num_shares)
    starts = holders + (ends[holders] - weights[holders] / 2 < edges)  # after it, if its middle lies before
    starts = np.unique(np.concatenate([[0], starts, heavy, heavy + 1]))
    return starts[: np.searchsorted(starts, len(weights))]


def midpoints(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Thresholds in [below, above): the midpoint, or `below` itself where float64 has nothing between."""
    middle = below / 2
    middle += above / 2  # the sum of both could overflow
    return np.where((middle >= below) & (middle < above), middle, below)
