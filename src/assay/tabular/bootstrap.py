"""Bootstrap samples that depend on what the rows hold, not on their order.

Rows are put in an order that their content decides, and drawn from there. So the same seed draws the same
sample from shuffled rows, and from a row of weight 2 as from that row written twice.

Reference:
    Efron. "Bootstrap Methods: Another Look at the Jackknife". Annals of Statistics 7(1), 1979.
    Implements: Section 2, sampling with replacement from the empirical distribution.
    Verified: frequencies against the weights, equality under shuffled and repeated rows.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assay.data.table import Table


@dataclass(frozen=True, eq=False)
class Population:
    """Rows to draw from, each as often as its weight says.

    Args:
        num_rows: all rows, those of weight zero included.
        rows: row numbers in an order; where weights are whole numbers, each as often as it counts.
        cumulative: of the weights of `rows`, if weights are not whole numbers.
    """

    num_rows: int
    rows: NDArray[np.int64]
    cumulative: NDArray[np.float64] | None

    @classmethod
    def of(cls, order: NDArray[np.int64], weight: NDArray[np.float64] | None) -> Self:
        """Returns the rows in the order given, see `content_order`, with their weights, None for ones."""
        if weight is None:
            return cls(len(order), order, None)
        weight = weight[order]
        if np.array_equal(weight, np.floor(weight)) and weight.sum() < 2**31:
            return cls(len(order), np.repeat(order, weight.astype(np.int64)), None)
        return cls(len(order), order[weight > 0], np.cumsum(weight[weight > 0]))

    def __len__(self) -> int:
        """The rows a sample has by itself: repeated rows count, other weights do not."""
        return len(self.rows)

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Returns how often each row is in a sample of `size` rows with replacement."""
        if self.cumulative is None:
            drawn = rng.integers(len(self.rows), size=size)
        else:
            drawn = np.searchsorted(self.cumulative, rng.random(size) * self.cumulative[-1], side="right")
        return np.bincount(self.rows[drawn], minlength=self.num_rows)

    def draw_distinct(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Returns how often each row is in a sample of `size` rows without replacement."""
        shares = (
            None if self.cumulative is None else np.diff(self.cumulative, prepend=0) / self.cumulative[-1]
        )
        drawn = rng.choice(len(self.rows), size=size, replace=False, p=shares)
        return np.bincount(self.rows[drawn], minlength=self.num_rows)


def content_order(table: Table, target: NDArray[Any]) -> NDArray[np.int64]:
    """Returns the row numbers in an order that only the rows' content decides; equal rows are neighbours."""
    mixed = np.zeros(
        len(target), np.uint64
    )  # 64 bits of each row, by multiply and xor-shift over its values.
    for values in (*(column.values for column in table.columns), target):
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values + 0.0)  # One NaN and one zero.
            word = values.view(np.uint64)
        else:
            word = values.astype(np.int64).view(np.uint64)
        mixed ^= word
        mixed *= np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
        mixed ^= mixed >> np.uint64(32)
    return stable_order(mixed)


def stable_order(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Returns what a stable argsort does; NumPy's other one has vectors, and few of these words are equal."""
    order = np.argsort(words)
    found = words[order]
    tied = found[1:] == found[:-1]
    if tied.any():
        run = np.concatenate([[0], np.cumsum(~tied)])
        within = np.flatnonzero(np.concatenate([[False], tied]) | np.concatenate([tied, [False]]))
        order[within] = order[within][np.lexsort((order[within], run[within]))]
    return order
