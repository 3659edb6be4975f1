"""Bellman equation in closed form: the values of a given policy, by solving a linear system.

The value of a state is the reward of its next step plus the discounted value of where that leads; for a fixed
policy these are as many linear equations as states. On a board, one policy is evaluated and then acted on
greedily, which is one step of policy iteration.

Reference:
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 2.
    Implements: Section 2.7, v = (I - gamma P)^-1 r; Section 2.8, action values from state values.
    Omits: nothing; with more than a thousand states the system is solved as a sparse one.
    Verified: against naive sums over states, 1e-10, and the printed values of the textbook's Figure 2.7.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.control.journal import Journal
from assay.control.mdp import MDP, Values
from assay.control.policy import greedy, initial_actions, soft
from assay.control.solution import Solution
from assay.core.run import Run


def policy_values(mdp: MDP, policy: NDArray[Any]) -> Values:
    """v = (I - gamma P)^-1 r.

    Args:
        mdp: the process.
        policy: probabilities of shape (states, actions), or an action for every state.
    """
    return mdp.under(policy).values()


def evaluated_policy(mdp: MDP, policy: int | tuple[int, ...] | None) -> Values:
    """The policy to evaluate, of shape (states, actions): uniformly random for None.

    Raises:
        ValueError: an action does not exist, or there is not one for every state.
    """
    if policy is None:
        return np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)
    return soft(initial_actions(policy, mdp.num_states, mdp.num_actions), mdp.num_actions, 0.0)


@dataclass(frozen=True, kw_only=True)
class BellmanEquation:
    """The exact values of one policy, and the policy that is greedy for them.

    Args:
        policy: to evaluate: an action for every state, one action everywhere, or None for a uniformly random
            one.
    """

    policy: int | tuple[int, ...] | None = None

    def fit(self, data: MDP, *, run: Run | None = None) -> Solution:
        """Values of `policy`; the policy greedy for them."""
        run = run or Run()
        journal = Journal(run, data.num_states)
        policy = evaluated_policy(data, self.policy)
        v = policy_values(data, policy)
        q = data.action_values(v)
        journal.spend(int(np.count_nonzero(policy)) + q.size)
        actions = greedy(q)
        journal.keep(1, v, actions)
        return Solution(v, q, soft(actions, data.num_actions, 0.0), journal.trace())
