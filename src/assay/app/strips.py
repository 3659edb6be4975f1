"""A strip: one interval drawn in a cell of a table. Positions are percentages: a cell may have any width."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from assay.core.statistics import Interval

_MARGIN = 4.0  # per cent kept free at both ends, for the dots
_REACH = 25.0  # typical half-widths from the leader to the end of the scale, so that intervals stay visible


@dataclass(frozen=True)
class Strip:
    """Where an interval lies: the dot, and the ends of the whisker (None without an interval).

    `off` is -1 or 1 when the mean is beyond the left or the right end of the scale, else 0.
    """

    dot: float
    ends: tuple[float, float] | None
    off: int


@dataclass(frozen=True)
class Axis:
    """The common scale of a column of strips, from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def around(cls, anchor: float, intervals: Sequence[Interval]) -> "Axis":
        """The axis that shows `anchor` and those of `intervals` that are not very far from it."""
        values = [anchor, *(value for found in intervals for value in found if math.isfinite(value))]
        low, high = min(values), max(values)
        widths = [found.high - found.mean for found in intervals if math.isfinite(found.high)]
        reach = _REACH * statistics.median(widths) if widths else 0.0
        if reach > 0:
            low, high = max(low, anchor - reach), min(high, anchor + reach)
        if low == high:
            margin = abs(anchor) * 0.01 or 0.01
            low, high = low - margin, high + margin
        return cls(low, high)

    def place(self, value: float) -> float:
        """The position of `value` in per cent of the width; values off the scale lie at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(_MARGIN + share * (100 - 2 * _MARGIN), 2)

    def strip(self, found: Interval) -> Strip:
        """How an interval is drawn on this axis."""
        known = math.isfinite(found.low)
        ends = (self.place(found.low), self.place(found.high)) if known else None
        return Strip(self.place(found.mean), ends, (found.mean > self.high) - (found.mean < self.low))

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Two to five round numbers on the axis, each with its position."""
        rough = (self.high - self.low) / 3
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(factor for factor in (1, 2, 5, 10) if rough <= factor * power * (1 + 1e-9))
        step = step if 2 * step <= self.high - self.low else step / 2
        digits = next(digits for digits in range(20) if math.isclose(round(step, digits), step, rel_tol=1e-6))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        numbers = [index * step for index in range(first, last + 1)]
        return [(self.place(number), f"{number:.{digits}f}") for number in numbers]
