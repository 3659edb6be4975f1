"""Step sizes a_k = c / k^p, and the two conditions on them that convergence needs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]
"""An array of floats, in practice float64."""


@dataclass(frozen=True)
class Schedule:
    """The step sizes a_k = c / k^power, with k counted from 1.

    Args:
        c: the first step, above 0.
        power: how fast steps shrink, at least 0; 0 keeps them, 1 is the harmonic sequence.

    Raises:
        ValueError: a value is out of its range.
    """

    c: float
    power: float

    def __post_init__(self) -> None:
        if not 0 < self.c < float("inf"):
            raise ValueError(f"c must be above 0 and finite, got {self.c}")
        if not 0 <= self.power < float("inf"):
            raise ValueError(f"power must be at least 0 and finite, got {self.power}")

    def __call__(self, k: int | NDArray[np.int64]) -> float | Values:
        """The step size of step k, or of every step in an array.

        Raises:
            ValueError: k is below 1.
        """
        if k < 1 if isinstance(k, int) else (k < 1).any():
            raise ValueError(f"steps are counted from 1, got step {np.min(k)}")
        return self.c / k**self.power

    @property
    def sum_diverges(self) -> bool:
        """Whether sum a_k is infinite: the estimate can get anywhere, from wherever it starts."""
        return self.power <= 1

    @property
    def square_summable(self) -> bool:
        """Whether sum a_k^2 is finite: noise is averaged out in the end."""
        return self.power > 0.5

    def violations(self) -> tuple[str, ...]:
        """The conditions of Robbins and Monro (1951) that these steps break, and what follows from it."""
        found = []
        if not self.sum_diverges:
            found.append(f"sum a_k is finite for steps {self}: the estimate may stop short of the root")
        if not self.square_summable:
            found.append(f"sum a_k^2 is infinite for steps {self}: noise is never averaged out")
        return tuple(found)

    def __str__(self) -> str:
        return f"{self.c:g}" if self.power == 0 else f"{self.c:g} / k^{self.power:g}"


def harmonic(c: float = 1.0) -> Schedule:
    """a_k = c / k; with c = 1 every sample so far has the same weight."""
    return Schedule(c, 1.0)


def power(c: float, p: float) -> Schedule:
    """a_k = c / k^p; both conditions hold for 1/2 < p <= 1."""
    return Schedule(c, p)


def constant(a: float) -> Schedule:
    """a_k = a: follows what drifts, and never settles."""
    return Schedule(a, 0.0)
