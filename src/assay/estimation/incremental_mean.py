"""Incremental mean: every sample moves the estimate by its share, w <- w - (w - x) / k.

After each sample it equals the mean of all samples so far, and remembers only how many they were. It is the
iteration of Robbins and Monro with steps 1 / k for the root of w - E[X], and stochastic gradient descent on
(w - X)^2 / 2.

Reference:
    Welford. "Note on a Method for Calculating Corrected Sums of Squares and Products". Technometrics 4(3),
    1962.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, sections 5.1 and 6.1.
    Implements: w <- w - (w - x_k) / k, and Welford's sum of squares for the standard error.
    Verified: against the mean of all samples so far at every k, exactly in rational arithmetic and to 1e-12
        in float64.
"""

from dataclasses import dataclass

from assay.core.run import Run
from assay.estimation.estimate import Estimate
from assay.estimation.experiment import Experiment
from assay.estimation.moments import Moments
from assay.estimation.oracles import Mean
from assay.estimation.populations import Population
from assay.estimation.recorder import Recorder
from assay.estimation.schedules import harmonic


@dataclass(frozen=True, kw_only=True)
class IncrementalMean:
    """The mean of the samples so far, after each of them."""

    def fit(self, data: Experiment, *, run: Run | None = None) -> Estimate:
        """The means, with their standard errors for independent samples.

        Raises:
            ValueError: the question is not about a mean.
        """
        run = run or Run()
        population = population_of_mean(data, "incremental-mean")
        recorder = Recorder(data, run, data.first(run))
        rng = run.rng("samples")
        reader = population.begin(recorder.allowed, data.runs, rng)
        moments = Moments((data.runs, *population.shape))
        while recorder.left > 0:
            recorder.count(1, moments.update(reader.draw(1, data.runs, rng)[0]))
        samples, trace = recorder.trace(moments.mean)
        error = moments.standard_error() if moments.count > 1 else None
        return Estimate(samples=samples, trace=trace, schedule=harmonic(), standard_error=error)


def population_of_mean(data: Experiment, name: str) -> Population:
    """Where the samples come from whose mean is sought.

    Raises:
        ValueError: something else than a mean is sought; the message names the method `name`.
    """
    if not isinstance(data.oracle, Mean):
        raise ValueError(f"{name} estimates the mean of samples, and what is sought here is another root")
    return data.oracle.population
