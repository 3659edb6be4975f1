"""Truncated Robbins-Monro: a run that leaves its bounds begins again at its start, within wider bounds.

It needs no interval: bounds grow as often as they are hit, by the time they hold the root the steps are short
enough to stay inside, and so they are hit only finitely often.

Reference:
    Chen, Guo, Gao. "Convergence and Robustness of the Robbins-Monro Algorithm Truncated at Randomly Varying
    Bounds". Stochastic Processes and their Applications 27, 1988.
    Implements: the algorithm with bounds M_j = radius 2^j around the start; step sizes go on shrinking
        through every truncation.
    Departs: each variable of each run has bounds of its own.
    Verified: against a plain loop, 1e-12; w^3 - 5 from 0, where the method without bounds explodes.
"""

from dataclasses import dataclass

import numpy as np

from assay.core.run import Run
from assay.estimation.estimate import Estimate
from assay.estimation.experiment import Experiment
from assay.estimation.robbins_monro import convergent
from assay.estimation.schedules import Schedule, Values
from assay.estimation.stochastic_approximation import Confine, approximate


@dataclass(frozen=True, kw_only=True)
class TruncatedRobbinsMonro:
    """Steps c / k^power within bounds that double whenever they are hit.

    Args:
        c: the first step, above 0.
        power: in (1/2, 1].
        radius: the first bound, as a distance from the start in scales of the experiment; above 0.

    Raises:
        ValueError: the steps break a condition of Robbins and Monro, or the radius is not above 0.
    """

    c: float = 1.0
    power: float = 1.0
    radius: float = 10.0

    def __post_init__(self) -> None:
        convergent(Schedule(self.c, self.power))
        if not self.radius > 0:
            raise ValueError(f"radius must be above 0, got {self.radius}")

    def fit(self, data: Experiment, *, run: Run | None = None) -> Estimate:
        """The last iterates."""
        run = run or Run()

        def truncate(start: Values) -> Confine:
            bounds = np.full_like(start, self.radius * data.scale)

            def confine(w: Values, k: int) -> Values:
                outside = np.abs(w - start) > bounds
                if not outside.any():
                    return w
                bounds[outside] *= 2
                return np.where(outside, start, w)

            return confine

        return approximate(data, run=run, schedule=Schedule(self.c, self.power), confine=truncate)
