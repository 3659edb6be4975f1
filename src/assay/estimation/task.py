"""The estimation question: find a mean or a root from noisy samples.

The data contract: a column of finite numbers, of which the mean or a quantile is sought and whose rows are
drawn at random; or a function that returns noisy values of a rising function whose root is sought. Every
method takes the same number of samples in each of several independent runs, and its error is measured
against the exact answer, which it does not see. A step, the unit of budgets, is one sample.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from assay.core.board import Board
from assay.core.run import Run, Scale
from assay.core.task import Figure, Metric, Task
from assay.estimation import metrics
from assay.estimation.estimate import Estimate
from assay.estimation.oracles import Mean
from assay.estimation.populations import Order
from assay.estimation.problem import Problem
from assay.estimation.schedules import Values
from assay.estimation.sources import DEFAULT, read_problem

_MEANS = ("batch-mean", "incremental-mean")


class Estimation(Task):
    """Find a mean or a root from noisy samples."""

    name = "estimation"
    question = "Which method finds a mean or a root best from so many noisy samples?"
    default_data = DEFAULT
    methods: ClassVar[Mapping[str, str]] = {
        "batch-mean": "assay.estimation.batch_mean:BatchMean",
        "incremental-mean": "assay.estimation.incremental_mean:IncrementalMean",
        "constant-step": "assay.estimation.constant_step:ConstantStep",
        "robbins-monro": "assay.estimation.robbins_monro:RobbinsMonro",
        "projected-robbins-monro": "assay.estimation.projected_robbins_monro:ProjectedRobbinsMonro",
        "truncated-robbins-monro": "assay.estimation.truncated_robbins_monro:TruncatedRobbinsMonro",
        "polyak-ruppert": "assay.estimation.polyak_ruppert:PolyakRuppert",
        "sgd": "assay.estimation.sgd:SGD",
        "mini-batch": "assay.estimation.mini_batch:MiniBatch",
        "full-batch": "assay.estimation.full_batch:FullBatch",
    }

    def load(
        self,
        source: Any = None,
        *,
        scale: Scale = "default",
        column: str | None = None,
        quantile: float | None = None,
        order: Order | None = None,
        start: Any = None,
        answer: Any = None,
        interval: Sequence[float] | None = None,
        samples: int | None = None,
        repeats: int | None = None,
    ) -> Problem:
        """The problem of a column, of a function or of a textbook's example; see `read_problem`.

        Args:
            source: a file or anything `Table.of` takes; a function of w and rng, or "module:function"; or
                "coin", "square", "tanh" or "cubic".
            scale: how many samples and runs there are where that is not said; a column is taken whole.
            column: whose mean or quantile is sought.
            quantile: which quantile; None for the mean.
            order: "random", "shuffled" or "given".
            start: where every run begins.
            answer: a function's root where it is known.
            interval: ends between which the root lies.
            samples: that each run takes when no budget says so.
            repeats: independent runs at once.

        Raises:
            ContractError: the source breaks the contract, or an option does not go with it.
        """
        return read_problem(
            source,
            scale=scale,
            column=column,
            quantile=quantile,
            order=order,
            start=start,
            answer=answer,
            interval=interval,
            samples=samples,
            runs=repeats,
        )

    def save_data(self, data: Problem, folder: Path) -> None:
        """Writes the problem into an empty folder."""
        data.save(folder)

    def open_data(self, folder: Path) -> Problem:
        """The problem that `save_data` wrote."""
        return Problem.open(folder)

    def metrics(self, data: Problem) -> Sequence[Metric]:
        """The root mean square error first; what it is worth in samples where theory can tell."""
        worth = (Metric("equivalent samples", "higher"),) if data.limit(1) is not None else ()
        return (Metric("RMSE", "lower"), *worth, Metric("bias", "lower"), Metric("sd", "lower"))

    def answers(self, name: str, data: Problem) -> str | None:
        """Means are only for means, projection needs an interval, and full batches samples to see again."""
        experiment = data.experiment
        if name in _MEANS and not isinstance(experiment.oracle, Mean):
            return "it estimates a mean"
        if name == "projected-robbins-monro" and experiment.interval is None:
            return "it needs an interval"
        if name == "full-batch" and not experiment.oracle.replayable:
            return "it looks at the same samples again"
        return None

    def split(self, data: Problem, seed: int) -> tuple[Problem, Problem]:
        """The same problem twice: an estimate is judged by the exact answer."""
        return data, data

    def fit(self, method: Any, train: Problem, run: Run) -> Any:
        """What the method makes of the experiment, without its answer."""
        return method.fit(train.experiment, run=run)

    def predict(self, model: Any, test: Problem, run: Run) -> Values:
        """The estimate of every run, float64[runs, *shape].

        Raises:
            ValueError: the model predicts something of another shape.
        """
        shape = (test.experiment.runs, *test.answer.shape)
        values = np.asarray(model.predict(), np.float64)
        if values.shape != shape:
            raise ValueError(f"expected estimates of shape {shape} (runs first), got {values.shape}")
        return values

    def score(self, outputs: Values, test: Problem) -> Mapping[str, float]:
        """Every metric of `metrics`, by the definitions in `assay.estimation.metrics`."""
        error, limit = metrics.rmse(outputs, test.answer), test.limit(1)
        worth = {} if limit is None else {"equivalent samples": metrics.equivalent_samples(error, limit)}
        return {
            "RMSE": error,
            **worth,
            "bias": metrics.bias(outputs, test.answer),
            "sd": metrics.deviation(outputs),
        }

    def curve(self, model: Any, test: Problem) -> Sequence[tuple[float, float]]:
        """The error after growing numbers of samples, for models that keep a trace."""
        if not isinstance(model, Estimate):
            return ()
        points = zip(model.samples.tolist(), model.trace, strict=True)
        return [(samples, metrics.rmse(values, test.answer)) for samples, values in points if samples]

    def curve_axis(self) -> str:
        """Samples of each run."""
        return "sample"

    def load_model(self, folder: Path) -> Estimate:
        """The estimate that `save_model` wrote."""
        return Estimate.load(folder)

    def figures(self, board: Board) -> Sequence[Figure]:
        """Error against samples beside the theory, and where the estimates are on the way."""
        from assay.estimation.figures import figures

        return tuple(figures(board))


task = Estimation()
