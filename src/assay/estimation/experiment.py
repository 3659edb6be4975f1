"""An experiment: what a method is given. An oracle to ask, a start, and how many samples it may take."""

import math
from dataclasses import dataclass

import numpy as np

from assay.core.run import Run
from assay.estimation.oracles import Mean, Oracle, Quantile
from assay.estimation.populations import Column, Population
from assay.estimation.schedules import Values


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """Noisy observations that may be made, in several independent runs at once.

    Args:
        oracle: what is asked.
        start: where every run begins; None to begin at a sample of its own, which is not counted.
        samples: how many each run may take where no budget says so.
        runs: independent repetitions, the leading axis of everything.
        scale: a distance typical of w, by which methods tell far from near.
        interval: ends between which the root is known to lie, or None.

    Raises:
        ValueError: a number is out of its range, or the start has another shape than the oracle's w.
    """

    oracle: Oracle
    start: Values | float | None = None
    samples: int = 10_000
    runs: int = 1
    scale: float = 1.0
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("samples", "runs"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale must be above 0 and finite, got {self.scale}")
        if self.start is None and self.population is None:
            raise ValueError("expected a start: only samples of a population can stand in for one")
        if self.start is not None:
            object.__setattr__(self, "start", np.asarray(self.start, np.float64))
            if np.shape(self.start) != self.oracle.shape:
                raise ValueError(
                    f"expected a start of shape {self.oracle.shape}, got shape {np.shape(self.start)}"
                )
        if self.interval is not None and not self.interval[0] < self.interval[1]:
            raise ValueError(f"an interval needs a low end below its high end, got {self.interval}")

    @property
    def population(self) -> Population | None:
        """Where samples come from, if the oracle has any."""
        return self.oracle.population if isinstance(self.oracle, (Mean, Quantile)) else None

    @property
    def rows(self) -> int | None:
        """The size of a finite population, or None."""
        return len(self.population.values) if isinstance(self.population, Column) else None

    def first(self, run: Run) -> Values:
        """w_1 of every run, float64[runs, *shape]."""
        if self.start is not None:
            return np.broadcast_to(self.start, (self.runs, *self.oracle.shape)).copy()
        assert self.population is not None
        return self.population.draw(1, self.runs, run.rng("start"))[0]
