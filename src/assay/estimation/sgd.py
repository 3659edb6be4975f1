"""Stochastic gradient descent: a step against the gradient of one sample's loss.

The gradient of f(w, x) at one sample is the gradient of the expected loss with noise, and the minimum is the
root of that gradient: this is the iteration of Robbins and Monro. With f = (w - x)^2 / 2 and steps 1 / k it
is the incremental mean.

Reference:
    Robbins, Monro. "A Stochastic Approximation Method". Annals of Mathematical Statistics 22(3), 1951.
    Bottou, Curtis, Nocedal. "Optimization Methods for Large-Scale Machine Learning". SIAM Review 60(2), 2018.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, section 6.4.
    Implements: w <- w - a_k grad f(w, x_k) with a_k = c / k^power.
    Verified: on the same samples, bit for bit against torch's arithmetic, and to 1e-13 against
        torch.optim.SGD, whose fused multiply-add rounds once less.
"""

from dataclasses import dataclass

from assay.core.run import Run
from assay.estimation.estimate import Estimate
from assay.estimation.experiment import Experiment
from assay.estimation.schedules import Schedule
from assay.estimation.stochastic_approximation import approximate


@dataclass(frozen=True, kw_only=True)
class SGD:
    """One gradient a step.

    Args:
        c: the first learning rate, above 0.
        power: how fast it falls, c / k^power, at least 0. What does not lead to convergence is noted in the
            estimate, and not refused.

    Raises:
        ValueError: a value is out of its range.
    """

    c: float = 1.0
    power: float = 1.0

    def __post_init__(self) -> None:
        Schedule(self.c, self.power)

    def fit(self, data: Experiment, *, run: Run | None = None) -> Estimate:
        """The last iterates.

        Raises:
            Diverged: a run left all bounds.
        """
        run = run or Run()
        return approximate(data, run=run, schedule=Schedule(self.c, self.power))
