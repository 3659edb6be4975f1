"""The recorder of a fit: counts samples against the budget and keeps snapshots on the way."""

import numpy as np

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.schedules import Values

_SNAPSHOTS = 48
_BETWEEN_CLOCKS = 64  # looks at `left` between two looks at the clock


class Recorder:
    """Counts the samples of every run, shows progress, and keeps snapshots at growing distances.

    A step, an example and a sample are one thing here: an observation of the oracle. An epoch is as many as
    the population has rows. Seconds end a fit early, and never lengthen it.

    Args:
        data: the experiment.
        run: whose budget, progress and log are used.
        w: the start, float64[runs, *shape].

    Raises:
        ValueError: the budget is in epochs and there is no finite population, or it is below one sample.
    """

    def __init__(self, data: Experiment, run: Run, w: Values) -> None:
        self._run = run
        self.allowed = _allowed(data, run)
        self.samples = 0
        self._looks = 0
        self._kept = [(0, w.copy())]
        grid = np.geomspace(1, self.allowed, _SNAPSHOTS).round().astype(int)
        self._due = np.unique(grid).tolist()[::-1]

    @property
    def left(self) -> int:
        """Samples that each run may still take."""
        self._looks += 1
        timed = self._run.budget is not None and self._run.budget.unit == "seconds"
        if timed and self._looks % _BETWEEN_CLOCKS == 0 and self._run.spent() >= 1:
            return 0
        return self.allowed - self.samples

    @property
    def until_due(self) -> int:
        """Samples until the next snapshot, at least 1."""
        return max(1, self._due[-1] - self.samples) if self._due else 1

    def count(self, samples: int, w: Values) -> None:
        """Counts samples of every run, after which the estimates are `w`."""
        self.samples += samples
        if not self._due or self.samples < self._due[-1]:
            return
        while self._due and self._due[-1] <= self.samples:
            self._due.pop()
        self._keep(w)
        self._run.progress(self.samples / self.allowed, f"{self.samples} samples")
        if w.ndim == 1:
            self._run.log(self.samples, mean=float(w.mean()), spread=float(w.std()))

    def trace(self, w: Values) -> tuple[np.ndarray, Values]:
        """The sample counts and estimates of all snapshots, the last one of `w`, now."""
        if self._kept[-1][0] < self.samples:
            self._keep(w)
        samples, estimates = zip(*self._kept, strict=True)
        return np.array(samples, np.int64), np.array(estimates, np.float64)

    def _keep(self, w: Values) -> None:
        self._kept.append((self.samples, w.copy()))


def _allowed(data: Experiment, run: Run) -> int:
    budget = run.budget
    if budget is None or budget.unit == "seconds":
        return data.samples
    amount = budget.amount
    if budget.unit == "epochs":
        if data.rows is None:
            raise ValueError(f"a budget of {budget} needs a column; there are no epochs of a function")
        amount *= data.rows
    if amount < 1:
        raise ValueError(f"a budget of {budget} is less than one sample")
    return int(amount)
