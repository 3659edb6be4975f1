"""Value iteration: every state's value becomes that of its best action, again and again.

The values in between belong to no policy; they approach the best ones by the factor gamma in every sweep, and
the policy that is greedy for them is optimal long before they have arrived.

Reference:
    Bellman. "Dynamic Programming". Princeton University Press 1957.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapters 3 and 4.
    Implements: Algorithm 4.1, v <- max_a (r + gamma P v), all states at once, from v = 0.
    Omits: sweeps in place or in order of priority.
    Verified: against a naive loop over states and a linear programme, 1e-10; the textbook's Figures 3.4 and
        4.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from assay.control.journal import Journal
from assay.control.mdp import MDP, Values
from assay.control.policy import greedy, soft
from assay.control.solution import Solution
from assay.core.run import Run


def value_iterates(mdp: MDP, v: Values) -> Iterator[Values]:
    """v after 1, 2, ... sweeps from `v`."""
    while True:
        v = mdp.best_values(v)
        yield v


@dataclass(frozen=True, kw_only=True)
class ValueIteration:
    """Sweeps until the values settle.

    Args:
        tolerance: the largest change of a value in the last sweep; the error is at most gamma / (1 - gamma)
            times that.
    """

    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be above 0, got {self.tolerance}")

    def fit(self, data: MDP, *, run: Run | None = None) -> Solution:
        """Values after the last sweep, and the policy by which that sweep chose."""
        run = run or Run()
        cost = data.num_states * data.num_actions
        journal = Journal(run, data.num_states)
        v = np.zeros(data.num_states)
        for sweep, swept in enumerate(value_iterates(data, v), start=1):
            change = float(np.abs(swept - v).max())
            journal.spend(cost)
            if journal.settled(change, self.tolerance, data.gamma) or journal.remaining < cost:
                break
            if journal.due():
                journal.keep(sweep, swept, greedy(data.action_values(v)), change=change)
            v = swept
        q = data.action_values(v)
        actions = greedy(q)
        journal.keep(sweep, swept, actions, change=change)
        return Solution(swept, q, soft(actions, data.num_actions, 0.0), journal.trace())
