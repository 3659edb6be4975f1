"""Robbins-Monro: a root from noisy values alone, by steps that shrink neither too fast nor too slowly.

The steps must add up to infinity, to get anywhere, and their squares must not, for noise to die out. The
function must rise, by a slope that is bounded away from zero and from infinity.

Reference:
    Robbins, Monro. "A Stochastic Approximation Method". Annals of Mathematical Statistics 22(3), 1951.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, section 6.2.
    Implements: w <- w - a_k (g(w) + noise) with a_k = c / k^power.
    Departs: step sizes that break a condition are refused; a run that leaves all bounds raises `Diverged`.
    Verified: the noise-free sequence for tanh(w - 1) from 3, to its six decimals; the asymptotic standard
        deviation c sd / sqrt((2 c g' - 1) k) within sampling error.
"""

from dataclasses import dataclass

from assay.core.run import Run
from assay.estimation.estimate import Estimate
from assay.estimation.experiment import Experiment
from assay.estimation.schedules import Schedule
from assay.estimation.stochastic_approximation import approximate


@dataclass(frozen=True, kw_only=True)
class RobbinsMonro:
    """Steps c / k^power.

    Args:
        c: the first step, above 0. With power 1 it should exceed 1 / (2 g') at the root: below, the error
            falls more slowly than 1 / sqrt(k).
        power: in (1/2, 1].

    Raises:
        ValueError: the steps break a condition of the theorem; the message names it.
    """

    c: float = 1.0
    power: float = 1.0

    def __post_init__(self) -> None:
        convergent(Schedule(self.c, self.power))

    def fit(self, data: Experiment, *, run: Run | None = None) -> Estimate:
        """The last iterates.

        Raises:
            Diverged: a run left all bounds.
        """
        run = run or Run()
        return approximate(data, run=run, schedule=Schedule(self.c, self.power))


def convergent(schedule: Schedule) -> Schedule:
    """`schedule`, if its steps fulfil the conditions of Robbins and Monro.

    Raises:
        ValueError: they do not; the message names the condition.
    """
    if violated := schedule.violations():
        raise ValueError(f"{violated[0]}; expected a power in (1/2, 1], got {schedule.power:g}")
    return schedule
