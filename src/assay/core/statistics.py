"""Intervals over seeds: Student's t on values and on paired differences."""

import math
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95
_MOST_SEEDS = 10_000


class Interval(NamedTuple):
    """A mean and the bounds of its confidence interval; the bounds are NaN for a single value."""

    mean: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the whole interval lies on one side of `value`; False when there is no interval."""
        return self.low > value or self.high < value


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The mean of `values` with its two-sided Student t interval, mean +- t(n - 1) s / sqrt(n).

    Args:
        values: one value per seed, at least one.
        confidence: probability that the interval covers the mean of normal values, in (0, 1).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, math.nan, math.nan)
    half = student_t(count - 1, confidence) * _deviation(values, mean) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half)


def paired(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The interval of `first - second`, value by value; both are ordered by the same seeds."""
    if len(first) != len(second):
        raise ValueError(f"paired values need equal counts, got {len(first)} and {len(second)}")
    return interval([a - b for a, b in zip(first, second, strict=True)], confidence)


def more_seeds_to_settle(differences: Sequence[float], confidence: float = CONFIDENCE) -> int | None:
    """How many more seeds would probably move the interval of `differences` off zero.

    The estimate takes mean and standard deviation as they are now. 0 when zero is already outside, None when
    there is no estimate: one seed only, no difference at all, or more than ten thousand seeds.
    """
    count = len(differences)
    if count < 2:
        return None
    mean = math.fsum(differences) / count
    spread = _deviation(differences, mean)
    if mean == 0:
        return None

    def settled(n: int) -> bool:
        return student_t(n - 1, confidence) * spread / math.sqrt(n) < abs(mean)

    if settled(count):
        return 0
    if not settled(_MOST_SEEDS):
        return None
    low, high = count, _MOST_SEEDS  # settled() is monotone in n: bisect for the first n that settles.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high - count


def student_t(degrees: int, confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit  # Imported here: SciPy costs a tenth of a second at start.

    return float(stdtrit(degrees, (1 + confidence) / 2))


def _deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
