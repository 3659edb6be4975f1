"""Constant step: every observation moves the estimate by the same share, w <- w - alpha (g(w) + noise).

For a mean this is the exponentially weighted mean w <- w - alpha (w - x). It follows a target that drifts; it
never settles on one that does not, but keeps the variance alpha / (2 - alpha) of a sample's.

Reference:
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, sections 6.1 and 6.3.
    Implements: the iteration of Robbins and Monro with a_k = alpha, which breaks sum a_k^2 < inf.
    Verified: against a plain loop, 1e-12; stationary variance alpha / (2 - alpha) and bias (1 - alpha)^k
        within their sampling errors.
"""

from dataclasses import dataclass

from assay.core.run import Run
from assay.estimation.estimate import Estimate
from assay.estimation.experiment import Experiment
from assay.estimation.schedules import constant
from assay.estimation.stochastic_approximation import approximate


@dataclass(frozen=True, kw_only=True)
class ConstantStep:
    """Steps of constant size.

    Args:
        alpha: the step size, in (0, 2): beyond, not even a mean is stable.

    Raises:
        ValueError: alpha is out of its range.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 2:
            raise ValueError(f"alpha must be in (0, 2), got {self.alpha}")

    def fit(self, data: Experiment, *, run: Run | None = None) -> Estimate:
        """The last iterates; their notes say which condition such steps break."""
        run = run or Run()
        return approximate(data, run=run, schedule=constant(self.alpha))
