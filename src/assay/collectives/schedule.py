"""Schedules: who sends what to whom, step by step, as tables of all ranks at once.

One table is the truth for both ends of a transfer, for the ranks that execute it, for the count of bytes and
steps, and for the cost model that simulates thousands of ranks. Elements are counted, not bytes.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]


class Step(NamedTuple):
    """Transfers that happen at the same time; row i is one of them.

    In a step a rank sends what it held before the step. What arrives is added to what is there (combined by
    the operation) if `reduce`, and replaces it otherwise.
    """

    source: Ints
    target: Ints
    start: Ints
    stop: Ints
    reduce: bool

    @property
    def sizes(self) -> Ints:
        """Elements of each transfer."""
        return self.stop - self.start


Schedule = tuple[Step, ...]


def step(source: ArrayLike, target: ArrayLike, start: ArrayLike, stop: ArrayLike, *, reduce: bool) -> Step:
    """A step from arrays, or from numbers that stand for all rows."""
    columns = [np.atleast_1d(np.asarray(column, np.int64)) for column in (source, target, start, stop)]
    source, target, start, stop = np.broadcast_arrays(*columns)
    return Step(source, target, start, stop, reduce)


def chunk_bounds(length: int, chunks: int) -> Ints:
    """Where chunks begin and end, int64[chunks + 1]: floor(length / chunks) elements, the first few one more.

    Raises:
        ValueError: fewer than one chunk, or a negative length.
    """
    if chunks < 1 or length < 0:
        raise ValueError(f"expected at least one chunk of a length from 0 up, got {chunks} of {length}")
    index = np.arange(chunks + 1, dtype=np.int64)
    return index * (length // chunks) + np.minimum(index, length % chunks)


def rotated(schedule: Iterable[Step], root: int, ranks: int) -> Schedule:
    """The schedule with every rank r renamed to r + root, so that what rank 0 did `root` does."""
    return tuple(
        s._replace(source=(s.source + root) % ranks, target=(s.target + root) % ranks) for s in schedule
    )


def elements_sent(schedule: Iterable[Step], ranks: int) -> Ints:
    """How many elements each rank sends, int64[ranks]."""
    total = np.zeros(ranks, np.int64)
    for s in schedule:
        np.add.at(total, s.source, s.sizes)
    return total


def steps_taken(schedule: Iterable[Step], ranks: int) -> Ints:
    """In how many steps each rank sends or receives anything, empty transfers included; int64[ranks]."""
    total = np.zeros(ranks, np.int64)
    for s in schedule:
        total[np.union1d(s.source, s.target)] += 1
    return total


def sum_order(schedule: Schedule, ranks: int, element: int, rank: int = 0) -> str:
    """How the sum of one element comes about on `rank`, such as "((0 + 1) + 2)"."""
    held = [str(r) for r in range(ranks)]
    for s in schedule:
        before = list(held)
        for source, target, start, stop in zip(s.source, s.target, s.start, s.stop, strict=True):
            if start <= element < stop:
                held[target] = f"({before[source]} + {held[target]})" if s.reduce else before[source]
    return held[rank]
