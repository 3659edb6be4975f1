"""Batch mean: the sum of all samples, divided by their number.

It needs every sample before it can say anything, and is then as good as any estimate that knows nothing else.

Reference:
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, section 5.1.
    Implements: w = (1 / n) sum x_i.
    Departs: samples are summed block by block, in bounded memory.
    Verified: against numpy.mean, 1e-12.
"""

from dataclasses import dataclass

from assay.core.run import Run
from assay.estimation.estimate import Estimate
from assay.estimation.experiment import Experiment
from assay.estimation.incremental_mean import population_of_mean
from assay.estimation.moments import Moments
from assay.estimation.recorder import Recorder

_BLOCK = 2**20  # samples held in memory at a time


@dataclass(frozen=True, kw_only=True)
class BatchMean:
    """The mean of all samples."""

    def fit(self, data: Experiment, *, run: Run | None = None) -> Estimate:
        """The means, with their standard errors for independent samples.

        Raises:
            ValueError: the question is not about a mean.
        """
        run = run or Run()
        population = population_of_mean(data, "batch-mean")
        recorder = Recorder(data, run, data.first(run))
        rng = run.rng("samples")
        reader = population.begin(recorder.allowed, data.runs, rng)
        moments = Moments((data.runs, *population.shape))
        block = max(1, _BLOCK // data.runs)
        while (left := recorder.left) > 0:
            taken = min(left, block, recorder.until_due)
            moments.merge(Moments.of(reader.draw(taken, data.runs, rng)))
            recorder.count(taken, moments.mean)
        samples, trace = recorder.trace(moments.mean)
        error = moments.standard_error() if moments.count > 1 else None
        return Estimate(samples=samples, trace=trace, standard_error=error)
