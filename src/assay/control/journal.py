"""The journal of a fit: what it has spent of its budget, and snapshots on the way."""

import math

import numpy as np

from assay.control.mdp import Actions, Values
from assay.control.solution import Trace
from assay.core.run import Run

_MOST_SNAPSHOTS = 256
_SNAPSHOT_BYTES = 2**25
_ROUNDING = 1e-15


class Journal:
    """Counts the steps of a fit against its budget, shows progress, and keeps snapshots.

    A step is a question to the model: a pair (s, a) backed up, or a transition sampled. A full sweep costs
    states x actions steps; solving a linear system costs the rows it reads. Arithmetic counts in seconds. A
    method always makes its first sweep, or plays its first round of episodes, however small the budget.

    Args:
        run: whose budget, progress and log are used.
        states: number of states.
        steps: what the method asks for without a budget; None if it stops by itself.
    """

    def __init__(self, run: Run, states: int, steps: int | None = None) -> None:
        self._run, self.steps, self._asked = run, 0, steps
        # Even, so that leaving out every second snapshot keeps the latest.
        self._capacity = max(2, min(_MOST_SNAPSHOTS, _SNAPSHOT_BYTES // (16 * states)) // 2 * 2)
        self._stride, self._calls = 1, 0
        self._first_change = 0.0
        self._snapshots: list[tuple[int, int, Values, Actions]] = []
        self._episodes: list[tuple[float, int]] = []

    @property
    def remaining(self) -> float:
        """Steps that may still be taken; infinite as long as nothing limits them."""
        budget = self._run.budget
        if budget is None:
            return math.inf if self._asked is None else self._asked - self.steps
        if budget.unit == "steps":
            return int(budget.amount) - self.steps
        return 0 if self._run.spent() >= 1 else math.inf

    def spend(self, steps: int) -> None:
        """Counts steps and shows how far the fit is."""
        self.steps += steps
        if self._run.budget is not None:
            self._run.progress(self._run.spent(steps=self.steps), f"{self.steps} steps")
        elif self._asked is not None:
            self._run.progress(min(self.steps / self._asked, 1.0), f"{self.steps} steps")

    def settled(self, change: float, tolerance: float, gamma: float) -> bool:
        """Whether sweeps from v = 0 may end; shows how far they are.

        Args:
            change: the largest of the last sweep.
            tolerance: a change within it ends them; so does one as small as rounding can make it, since the
                values are at most the first change / (1 - gamma).
            gamma: the discount.
        """
        first = self._first_change = self._first_change or change
        if self._run.budget is None and tolerance < change < first:
            done = math.log(first / change) / math.log(first / tolerance)
            self._run.progress(done, f"change {change:.3g}")
        return change <= max(tolerance, _ROUNDING * first / (1 - gamma))

    def due(self) -> bool:
        """Whether a snapshot should be kept now; every second call, every fourth ... as they become many."""
        self._calls += 1
        return (self._calls - 1) % self._stride == 0

    def keep(self, iteration: int, v: Values, actions: Actions, **scalars: float) -> None:
        """Keeps a snapshot, and logs `scalars`."""
        self._run.log(self.steps, iteration=iteration, **scalars)
        if self._snapshots and self._snapshots[-1][1] == iteration:
            self._snapshots.pop()
        self._snapshots.append((self.steps, iteration, v.copy(), actions.copy()))
        if len(self._snapshots) > self._capacity:
            self._snapshots = self._snapshots[::2]
            self._stride *= 2

    def played(self, reward: float, length: int) -> None:
        """Notes an episode."""
        self._episodes.append((reward, length))

    def trace(self) -> Trace:
        """All that was kept."""
        steps, iterations, values, actions = zip(*self._snapshots, strict=True)
        return Trace(
            np.array(steps, np.int64),
            np.array(iterations, np.int64),
            np.array(values, np.float64),
            np.array(actions, np.int64),
            np.array([reward for reward, _ in self._episodes], np.float64),
            np.array([length for _, length in self._episodes], np.int64),
        )
