"""Full-batch gradient descent: every step is against the mean gradient of all samples.

All samples are taken at once and looked at again in every step, so nothing is noisy any more and the steps
need not shrink: what is left is the error of the samples themselves. With f = (w - x)^2 / 2 and steps of 1
it has arrived at their mean after the first one.

Reference:
    Cauchy. "Méthode générale pour la résolution des systèmes d'équations simultanées". Comptes rendus 25,
    1847.
    Armijo. "Minimization of Functions Having Lipschitz Continuous First Partial Derivatives". Pacific Journal
    of Mathematics 16(1), 1966 (steps that are halved).
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, section 6.4.
    Implements: w <- w - alpha (1 / n) sum_i grad f(w, x_i), the same n samples in every step.
    Departs: a step after which a run's gradient points back with more than half its length is taken back, and
        the run's steps are half as long from then on. An oracle is shown the same samples again by giving its
        generator the same state again.
    Verified: against the mean of all samples after one step, 1e-12; against the quantile of the samples and
        the root of w^3 - 5 with the samples' noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.core.run import Run
from assay.estimation.estimate import Estimate
from assay.estimation.experiment import Experiment
from assay.estimation.oracles import mean_observation
from assay.estimation.recorder import Recorder
from assay.estimation.schedules import Values, constant
from assay.estimation.stochastic_approximation import BOUND, guard


@dataclass(frozen=True, kw_only=True)
class FullBatch:
    """All samples in every step.

    Args:
        alpha: the step size to begin with, above 0.
        steps: how often the samples are gone through at most, at least 1.
        tolerance: a step shorter than so many scales of the experiment is the last; 0 takes all steps.

    Raises:
        ValueError: a value is out of its range.
    """

    alpha: float = 1.0
    steps: int = 100
    tolerance: float = 1e-9

    def __post_init__(self) -> None:
        constant(self.alpha)
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance must be at least 0, got {self.tolerance}")

    def fit(self, data: Experiment, *, run: Run | None = None) -> Estimate:
        """The estimates after the last step.

        Raises:
            Diverged: a run left all bounds.
            ValueError: the oracle cannot show the same samples again.
        """
        run = run or Run()
        if not data.oracle.replayable:
            raise ValueError(
                "full-batch looks at the same samples again, which a function without an argument rng "
                "cannot show; expected a function of w and rng"
            )
        w = data.first(run)
        recorder = Recorder(data, run, w)
        keep_in = guard(w, BOUND * data.scale)

        def gradient(w: Values) -> Values:
            rng = run.rng("samples")
            oracle = data.oracle.begin(recorder.allowed, data.runs, rng)
            return mean_observation(oracle, w, recorder.allowed, rng)

        alpha = np.full((data.runs, *(1 for _ in data.oracle.shape)), self.alpha)
        seen = gradient(w)
        for k in range(1, self.steps + 1):
            moved = keep_in(w - alpha * seen, k)
            found = gradient(moved)
            back = overshot(seen, found).reshape(alpha.shape)
            length = np.abs(moved - w).max()
            w, seen = np.where(back, w, moved), np.where(back, seen, found)
            alpha = np.where(back, alpha / 2, alpha)
            run.progress(k / self.steps, f"step {k}")
            if length <= self.tolerance * data.scale or run.spent() >= 1:
                break
        recorder.count(recorder.allowed, w)
        samples, trace = recorder.trace(w)
        return Estimate(samples=samples, trace=trace, batch_size=recorder.allowed)


def overshot(before: Values, after: Values) -> NDArray[np.bool_]:
    """Whether the gradient of each run, bool[runs], points back with more than half its former length."""
    before, after = before.reshape(len(before), -1), after.reshape(len(after), -1)
    turned = (before * after).sum(axis=1) < 0
    return turned & (np.linalg.norm(after, axis=1) > 0.5 * np.linalg.norm(before, axis=1))
