"""The weighted quantile sketch: rank bounds for a few of a column's values, within a guaranteed error.

Parts of a column are summarised apart and merged; pruning keeps a summary small. However merges and prunes
are nested, the rank of any value is known within the sum of what the prunes on its way have added.

Reference:
    Chen, Guestrin. "XGBoost: A Scalable Tree Boosting System". KDD 2016. arXiv:1603.02754v3
    Implements: Sec. 3.3, Eq. (8) and (9); Appendix A: extended functions, Eq. (16) to (18), error, Eq. (22)
        and (23), initial summary, Eq. (24), merge, Eq. (25) to (28), query, Alg. 4, prune, Sec. A.4.
    Departs: cuts are eight times finer than Eq. (9) asks of them, so that bins are nearly of equal mass; a
        column with at most `max_bins` distinct values is cut between all of them.
    Omits: sketches that are kept from one tree to the next.
    Verified: rank bounds against exact ranks after random trees of merges and prunes, on adversarial weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np

from assay.data.table import Table
from assay.tabular.binning import count_values

BLOCK_ROWS = 1 << 16  # rows that are summarised exactly before anything is pruned
FINER = 8  # error of the sketch behind cuts, as a fraction of a bin


@dataclass(frozen=True, eq=False)
class Summary:
    """Bounds on the ranks of some values; a rank is the weight of all rows below a value.

    Args:
        values: float64, ascending.
        rank_min: the least weight that rows below each value can have, r- in the paper.
        rank_max: the greatest weight that rows up to each value can have, r+.
        weights: the least weight that rows of just this value can have, omega.
    """

    values: np.ndarray
    rank_min: np.ndarray
    rank_max: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray | None = None) -> Summary:
        """The exact summary of rows; those with a missing value or a weight of zero do not count."""
        distinct, mass = count_values(values, weights)
        ends = np.cumsum(mass)
        return cls(distinct, ends - mass, ends, mass)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def total(self) -> float:
        """The weight of all rows."""
        return float(self.rank_max[-1]) if len(self) else 0.0

    @property
    def error(self) -> float:
        """Epsilon: the greatest gap between the bounds on a rank over the total weight, Eq. (22), (23)."""
        if not len(self):
            return 0.0
        at_values = self.rank_max - self.rank_min - self.weights
        between = (self.rank_max - self.weights)[1:] - (self.rank_min + self.weights)[:-1]
        return max(at_values.max(), between.max(initial=0.0)) / self.total

    def bounds(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rank_min, rank_max and weight of any values: the extended functions, Eq. (16) to (18)."""
        after = np.searchsorted(self.values, values, side="left")
        known = np.zeros(len(values), bool)
        known[after < len(self)] = self.values[after[after < len(self)]] == values[after < len(self)]
        rank_min = np.append(0.0, self.rank_min + self.weights)[after]
        rank_max = np.append(self.rank_max - self.weights, self.total)[after]
        weights = np.zeros(len(values))
        rank_min[known], rank_max[known] = self.rank_min[after[known]], self.rank_max[after[known]]
        weights[known] = self.weights[after[known]]
        return rank_min, rank_max, weights

    def merge(self, other: Summary) -> Summary:
        """The summary of both parts together, as exact as the less exact one, Eq. (25) to (28)."""
        values = np.union1d(self.values, other.values)
        sums = (ours + theirs for ours, theirs in zip(self.bounds(values), other.bounds(values), strict=True))
        return Summary(values, *sums)

    def query(self, ranks: np.ndarray) -> np.ndarray:
        """The index of the value whose rank is nearest to each of `ranks`, Alg. 4."""
        middles = (self.rank_min + self.rank_max) / 2
        below = np.clip(np.searchsorted(middles, ranks, side="right") - 1, 0, len(self) - 1)
        above = np.minimum(below + 1, len(self) - 1)
        first = self.rank_min[below] + self.weights[below]
        second = self.rank_max[above] - self.weights[above]
        return np.where((2 * ranks < first + second) | (ranks < middles[0]), below, above)

    def prune(self, size: int) -> Summary:
        """At most `size` + 1 of the values; that adds at most 1 / `size` to the error, Theorem A.2."""
        if len(self) <= size + 1:
            return self
        kept = np.unique(self.query(self.total * (np.arange(size + 1) / size)))
        return Summary(self.values[kept], self.rank_min[kept], self.rank_max[kept], self.weights[kept])


def sketch(values: np.ndarray, weights: np.ndarray | None, error: float) -> Summary:
    """A summary of a column within `error`, from blocks of rows merged in a balanced tree.

    Args:
        values: float64[rows]; NaN is left out.
        weights: float64[rows], not negative; None weighs every row 1.
        error: greatest gap between the bounds on a rank, as a fraction of the total weight; above 0.
    """
    edges = [*range(0, len(values), BLOCK_ROWS), len(values)]
    parts = [
        Summary.of(values[start:end], None if weights is None else weights[start:end])
        for start, end in pairwise(edges)
    ]
    levels = max(1, (len(parts) - 1).bit_length())
    while len(parts) > 1:
        paired = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [reduce(Summary.merge, pair).prune(int(np.ceil(levels / error))) for pair in paired]
    return parts[0] if parts else Summary.of(values)


def propose_cuts(table: Table, weights: np.ndarray | None, max_bins: int) -> list[np.ndarray]:
    """Cut points of every column, between which rows weigh about equally much; for `Bins.from_cuts`.

    Args:
        table: the training rows.
        weights: float64[rows], not negative, in XGBoost's approximate method the hessian; None weighs every
            row 1.
        max_bins: bins of a column, at least 2.

    Returns:
        For each column the candidates of Eq. (9), ascending, values of the column itself: ``x <= cut`` falls
        below. Empty for categories.
    """
    return [
        np.empty(0)
        if column.kind == "category"
        else _cuts(sketch(column.values, weights, 1 / (FINER * max_bins)), max_bins)
        for column in table.columns
    ]


def _cuts(summary: Summary, max_bins: int) -> np.ndarray:
    if len(summary) <= max_bins:
        return summary.values[:-1]
    ranks = summary.total * (np.arange(1, max_bins) / max_bins)
    cuts = np.unique(summary.query(ranks))
    return summary.values[cuts[cuts < len(summary) - 1]]
