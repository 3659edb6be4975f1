"""Where samples come from: a column of numbers, a coin, a square."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assay.estimation.schedules import Values

Order = Literal["random", "shuffled", "given"]


class Population(ABC):
    """Something to draw samples from. `shape` is that of one sample; () for a plain number."""

    shape: tuple[int, ...] = ()

    @abstractmethod
    def draw(self, count: int, runs: int, rng: np.random.Generator) -> Values:
        """The next `count` samples of each run, float64[count, runs, *shape].

        How many are asked for at a time makes no difference to what the samples are.
        """

    def begin(self, samples: int, runs: int, rng: np.random.Generator) -> "Population":
        """What one fit draws from, when it will draw so many samples of each run."""
        return self


@dataclass(frozen=True)
class Coin(Population):
    """A fair coin, +1 or -1."""

    def draw(self, count: int, runs: int, rng: np.random.Generator) -> Values:
        """Flips."""
        return 2.0 * rng.integers(0, 2, (count, runs)) - 1.0


@dataclass(frozen=True)
class Square(Population):
    """Points spread evenly over a square around the origin.

    Args:
        side: its length.
    """

    side: float = 20.0
    shape = (2,)

    def draw(self, count: int, runs: int, rng: np.random.Generator) -> Values:
        """Points."""
        return self.side * (rng.random((count, runs, 2)) - 0.5)


@dataclass(frozen=True, eq=False)
class Column(Population):
    """The numbers of a column, a finite population.

    Args:
        values: float64, at least two different ones.
        order: "random" draws rows independently; "shuffled" draws them without putting them back, until all
            have been drawn, then anew; "given" takes them as they stand in the column, again and again.
    """

    values: Values
    order: Order = "random"

    def draw(self, count: int, runs: int, rng: np.random.Generator) -> Values:
        """Values of independently drawn rows, whatever the order; `begin` gives what keeps to an order."""
        return self.values[rng.integers(0, len(self.values), (count, runs))]

    def begin(self, samples: int, runs: int, rng: np.random.Generator) -> Population:
        """What draws in the column's order, from its beginning."""
        if self.order == "random":
            return self
        if self.order == "given":
            rows = np.arange(min(samples, len(self.values)))[:, None]
            return _Rows(self.values, rows)
        return _Rows(self.values, _shuffled(len(self.values), samples, runs, rng))

    def mean(self) -> float:
        """The mean of all rows, correctly rounded."""
        return math.fsum(self.values) / len(self.values)

    def deviation(self) -> float:
        """The standard deviation of all rows as a population, sqrt(sum (x - mean)^2 / n)."""
        return float(np.sqrt(np.mean((self.values - self.mean()) ** 2)))

    def quantile(self, q: float) -> float:
        """The smallest value that a share of at least q of the rows does not exceed."""
        return float(np.quantile(self.values, q, method="inverted_cdf"))

    def density(self, q: float) -> float:
        """The density around the q-quantile, a difference quotient over at most n^(-1/5) of the rows."""
        half = min(0.5 * len(self.values) ** -0.2, 0.25 * q, 0.25 * (1 - q))
        low, high = q - half, q + half
        width = float(np.subtract(*np.quantile(self.values, [high, low])))
        return (high - low) / width if width > 0 else math.inf


class _Rows(Population):
    """A column read row by row, in an order of its own for each run."""

    def __init__(self, values: Values, rows: NDArray[np.int64]) -> None:
        self._values, self._rows, self._read = values, rows, 0

    def draw(self, count: int, runs: int, rng: np.random.Generator) -> Values:
        at = np.arange(self._read, self._read + count) % len(self._rows)
        self._read += count
        rows = self._rows[at]
        return self._values[np.broadcast_to(rows, (count, runs))]


def _shuffled(length: int, samples: int, runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Row numbers of shape (samples, runs); each stretch of `length` of a run holds every row once."""
    rows = np.empty((samples, runs), np.int64)
    for run in range(runs):
        for start in range(0, samples, length):
            taken = min(length, samples - start)
            rows[start : start + taken, run] = rng.choice(length, taken, replace=False)
    return rows
