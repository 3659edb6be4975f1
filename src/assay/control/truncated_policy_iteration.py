"""Truncated policy iteration: evaluate the policy by a few sweeps only, then act greedily, and go on from
there.

One sweep is value iteration, infinitely many are policy iteration; a few combine the cheap step of the one
with the few improvements of the other.

Reference:
    Puterman, Shin. "Modified Policy Iteration Algorithms for Discounted Markov Decision Problems". Management
    Science 24, 1978.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 4.
    Implements: Algorithm 4.3; every evaluation continues from the values of the one before.
    Verified: one sweep equals value iteration bit for bit; the order value iteration <= truncated <= policy
        iteration holds state by state; the textbook's Figure 4.5.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from assay.control.journal import Journal
from assay.control.mdp import MDP, Actions, Values
from assay.control.policy import Ties, greedy, soft
from assay.control.solution import Solution
from assay.core.run import Run


def truncated_iterates(
    mdp: MDP, v: Values, sweeps: int, *, ties: Ties = "keep"
) -> Iterator[tuple[Values, Values, Actions, float]]:
    """(v, q, actions, change) after 1, 2, ... iterations from `v`.

    `actions` are greedy for `q`, the action values of the v before; the new v is what `sweeps` sweeps under
    these actions make of it, and `change` the largest change of a value in the first of them.

    Args:
        mdp: the process.
        v: where to start.
        sweeps: of every evaluation, at least 1.
        ties: which of several best actions is taken.
    """
    actions = None
    while True:
        q = mdp.action_values(v)
        actions = greedy(q, ties=ties, current=actions)
        swept = q.max(axis=1)  # The first sweep: under greedy actions it is this maximum.
        change = float(np.abs(swept - v).max())
        if sweeps > 1:
            chain = mdp.under(actions)
            for _ in range(sweeps - 1):
                swept = chain.backup(swept)
        v = swept
        yield v, q, actions, change


@dataclass(frozen=True, kw_only=True)
class TruncatedPolicyIteration:
    """A few sweeps of evaluation between improvements, until the values settle.

    Args:
        sweeps: of every evaluation.
        tolerance: the largest change of a value by the last improvement; the error is at most gamma / (1 -
            gamma) times that.
        ties: which of several best actions is taken.
    """

    sweeps: int = 10
    tolerance: float = 1e-6
    ties: Ties = "keep"

    def __post_init__(self) -> None:
        if self.sweeps < 1:
            raise ValueError(f"sweeps must be at least 1, got {self.sweeps}")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be above 0, got {self.tolerance}")
        if self.ties not in ("keep", "first", "last"):
            raise ValueError(f"ties must be 'keep', 'first' or 'last', got {self.ties!r}")

    def fit(self, data: MDP, *, run: Run | None = None) -> Solution:
        """Values after the last iteration, and the policy by which it chose."""
        run = run or Run()
        cost = data.num_states * (data.num_actions + self.sweeps - 1)
        journal = Journal(run, data.num_states)
        iterates = truncated_iterates(data, np.zeros(data.num_states), self.sweeps, ties=self.ties)
        for iteration, (v, q, actions, change) in enumerate(iterates, start=1):  # noqa: B007
            journal.spend(cost)
            if journal.settled(change, self.tolerance, data.gamma) or journal.remaining < cost:
                break
            if journal.due():
                journal.keep(iteration, v, actions, change=change)
        journal.keep(iteration, v, actions, change=change)
        return Solution(v, q, soft(actions, data.num_actions, 0.0), journal.trace())
