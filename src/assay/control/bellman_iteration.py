"""Bellman equation by iteration: the values of a given policy, swept until they stop changing.

Every sweep replaces the value of each state by its reward plus the discounted value of where the policy
leads. The error shrinks by the factor gamma in every sweep, and no linear system is solved.

Reference:
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 2.
    Implements: Section 2.7, v <- r + gamma P v, from v = 0.
    Departs: in-place sweeps, which use new values as soon as they are there, are a triangular system.
    Verified: against a naive loop over states, sweep by sweep, and the closed form, 1e-10.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from assay.control.bellman_equation import evaluated_policy
from assay.control.journal import Journal
from assay.control.mdp import MDP, Chain, Values
from assay.control.policy import greedy, soft
from assay.control.solution import Solution
from assay.core.run import Run

Sweep = Literal["synchronous", "in-place"]


def evaluation_iterates(chain: Chain, v: Values, sweep: Sweep = "synchronous") -> Iterator[Values]:
    """v after 1, 2, ... sweeps.

    Args:
        chain: the process under the policy.
        v: where to start.
        sweep: synchronous: all states at once from the old values; in-place: state by state in their order,
            each from the newest values (Gauss-Seidel).
    """
    if sweep == "synchronous":
        while True:
            v = chain.backup(v)
            yield v
    import scipy.sparse
    import scipy.sparse.linalg

    size = len(v)
    newer = (scipy.sparse.eye_array(size) - chain.gamma * scipy.sparse.tril(chain.transition, -1)).tocsr()
    older = chain.gamma * scipy.sparse.triu(chain.transition).tocsr()
    while True:
        v = scipy.sparse.linalg.spsolve_triangular(newer, chain.reward + older @ v, unit_diagonal=True)
        yield v


@dataclass(frozen=True, kw_only=True)
class BellmanIteration:
    """The values of one policy to within a tolerance, and the policy that is greedy for them.

    Args:
        policy: to evaluate: an action for every state, one action everywhere, or None for a uniformly random
            one.
        tolerance: the largest change of a value in the last sweep; the error is at most gamma / (1 - gamma)
            times that.
        sweep: synchronous or in-place.
    """

    policy: int | tuple[int, ...] | None = None
    tolerance: float = 1e-6
    sweep: Sweep = "synchronous"

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be above 0, got {self.tolerance}")
        if self.sweep not in ("synchronous", "in-place"):
            raise ValueError(f"sweep must be 'synchronous' or 'in-place', got {self.sweep!r}")

    def fit(self, data: MDP, *, run: Run | None = None) -> Solution:
        """Values of `policy`; the policy greedy for them."""
        run = run or Run()
        journal = Journal(run, data.num_states)
        policy = evaluated_policy(data, self.policy)
        cost, reading = int(np.count_nonzero(policy)), data.num_states * data.num_actions
        v = np.zeros(data.num_states)
        for sweep, swept in enumerate(evaluation_iterates(data.under(policy), v, self.sweep), start=1):
            change = float(np.abs(swept - v).max())
            v = swept
            journal.spend(cost)
            if journal.due():
                journal.keep(sweep, v, greedy(data.action_values(v)), change=change)
            settled = journal.settled(change, self.tolerance, data.gamma)
            if settled or journal.remaining < cost + reading:
                break
        q = data.action_values(v)
        journal.spend(reading)
        actions = greedy(q)
        journal.keep(sweep, v, actions, change=change)
        return Solution(v, q, soft(actions, data.num_actions, 0.0), journal.trace())
