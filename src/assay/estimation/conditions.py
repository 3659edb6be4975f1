"""Looks at an oracle from near and far: do the conditions hold under which the iteration finds the root?

A function is only seen through noise, so a condition is judged by the slopes between points at growing
distance, and violated only where the noise does not explain it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from assay.data.table import ContractError
from assay.estimation.oracles import Oracle
from assay.estimation.schedules import Schedule

_DISTANCES = (1.0, 10.0, 100.0)  # from the centre, in scales
_INSIDE = 7  # points within an interval
_OBSERVATIONS = 4000
_SURE = 4.0  # standard errors
_FACTOR = 3.0  # A slope that changes by more than this over a tenfold distance is not bounded.
_NOISE_FACTOR = 10.0  # Nor is noise that is so many times larger far away.


@dataclass(frozen=True)
class Look:
    """What was seen at one w.

    Args:
        at: w.
        mean: of the observations.
        deviation: their standard deviation.
        error: the standard error of the mean.
    """

    at: float
    mean: float
    deviation: float
    error: float

    @property
    def sign(self) -> int:
        """+1 or -1 where the function is surely above or below zero, else 0."""
        return int(np.sign(self.mean)) if abs(self.mean) > _SURE * self.error else 0


@dataclass(frozen=True)
class Condition:
    """One condition of convergence: whether it holds, as far as can be seen, and why."""

    name: str
    holds: bool
    why: str


def look(oracle: Oracle, at: float, count: int, rng: np.random.Generator) -> Look | None:
    """The look of `count` observations at w = `at`; None where the oracle gives no finite numbers."""
    try:
        with np.errstate(all="ignore"):
            seen = oracle.observe(np.full(count, at, np.float64), rng)
    except (ArithmeticError, ValueError):  # Not defined there.
        return None
    if not np.isfinite(seen).all():
        return None
    deviation = float(seen.std(ddof=1))
    return Look(float(at), float(seen.mean()), deviation, deviation / np.sqrt(count))


def looks(
    oracle: Oracle,
    centre: float,
    *,
    scale: float = 1.0,
    interval: tuple[float, float] | None = None,
    count: int = _OBSERVATIONS,
    rng: np.random.Generator,
) -> tuple[Look, ...]:
    """Looks at points around `centre`, in ascending order: near, far and very far, or within an interval."""
    if interval is not None:
        points = np.linspace(*interval, _INSIDE)
    else:
        points = centre + scale * np.array([*(-d for d in reversed(_DISTANCES)), 0.0, *_DISTANCES])
    found = (look(oracle, float(at), count, rng) for at in points)
    return tuple(seen for seen in found if seen is not None)


def check_rises(seen: Sequence[Look], name: str) -> None:
    """Makes sure that the function does not fall from above zero to below it.

    Raises:
        ContractError: it does: its sign has to be turned.
    """
    for low, high in pairwise(look for look in seen if look.sign):
        if low.sign > 0 > high.sign:
            raise ContractError(
                f"{name}: expected a function that rises through its root, but it falls from "
                f"{low.mean:.4g} at w = {low.at:g} to {high.mean:.4g} at w = {high.at:g}; return its negative"
            )


def conditions(
    seen: Sequence[Look], schedule: Schedule | None = None, *, confined: bool = False
) -> tuple[Condition, ...]:
    """The conditions (a) to (c) of Robbins and Monro, as far as looks and step sizes tell.

    That the noise has mean zero wherever the iteration goes, the rest of (c), cannot be seen from outside.

    Args:
        seen: looks at three points or more, in ascending order, outwards from the middle one.
        schedule: the step sizes; None to say nothing about (b).
        confined: whether the looks span an interval that the estimate will not leave; no slope in it is
            unbounded.

    Raises:
        ValueError: there are fewer than three looks.
    """
    if len(seen) < 3:
        raise ValueError(f"expected looks at three points or more, got {len(seen)}")
    found = [*_slopes(seen, confined), _noise(seen)]
    if schedule is not None:
        violated = schedule.violations()
        why = "; ".join(violated) or f"sum a_k is infinite and sum a_k^2 finite for steps {schedule}"
        found.insert(2, Condition("(b) step sizes", not violated, why))
    return tuple(found)


@dataclass(frozen=True)
class _Slope:
    value: float
    error: float


def _slopes(seen: Sequence[Look], confined: bool) -> tuple[Condition, Condition]:
    slopes = [
        _Slope((b.mean - a.mean) / (b.at - a.at), float(np.hypot(a.error, b.error)) / (b.at - a.at))
        for a, b in pairwise(seen)
    ]
    middle = len(slopes) // 2
    outwards = (slopes[:middle][::-1], slopes[middle:])
    steps = [pair for side in outwards for pair in pairwise(side)]
    text = "slopes from low to high w: " + ", ".join(f"{slope.value:.3g}" for slope in slopes)
    grows = not confined and any(
        far.value - _FACTOR * near.value > _SURE * _error(far, near) for near, far in steps
    )
    fades = any(near.value - _FACTOR * far.value > _SURE * _error(near, far) for near, far in steps)
    falls = any(slope.value < -_SURE * slope.error for slope in slopes)
    below = (
        "it falls somewhere; "
        if falls
        else "far away it is almost flat, so the way is long; "
        if fades
        else ""
    )
    above = "the slope grows with the distance, so long steps explode; " if grows else ""
    return (
        Condition("(a) slope at least c1 > 0", not (falls or fades), below + text),
        Condition("(a) slope at most c2", not grows, above + text),
    )


def _error(first: _Slope, second: _Slope) -> float:
    return float(np.hypot(first.error, _FACTOR * second.error))


def _noise(seen: Sequence[Look]) -> Condition:
    deviations = [look.deviation for look in seen]
    middle = deviations[len(seen) // 2]
    grows = max(deviations[0], deviations[-1]) > _NOISE_FACTOR * middle > 0
    why = "the noise grows with the distance; " if grows else ""
    why += "standard deviation of the noise from low to high w: " + ", ".join(f"{d:.3g}" for d in deviations)
    return Condition("(c) noise of bounded variance", not grows, why)
