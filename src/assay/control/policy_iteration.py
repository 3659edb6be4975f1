"""Policy iteration: evaluate the policy exactly, act greedily on its values, until nothing gets better.

No value ever decreases, and since there are finitely many policies an optimal one is found in finitely many
improvements, usually a handful.

Reference:
    Howard. "Dynamic Programming and Markov Processes". MIT Press 1960.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapters 4 and 5.
    Implements: Algorithm 4.2, with a closed-form evaluation; with `epsilon`, the best of all epsilon-soft
        policies.
    Departs: an action is kept as long as it is among the best, so that ties cannot be switched for ever.
    Verified: against enumeration of all policies and a linear programme, 1e-10; the textbook's Figures 4.3,
        5.5 to 5.7.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.control.bellman_equation import policy_values
from assay.control.journal import Journal
from assay.control.mdp import MDP, Actions, Values
from assay.control.policy import Ties, check_fraction, greedy, initial_actions, soft
from assay.control.solution import Solution
from assay.core.run import Run

_ROUNDING = 1e-11  # Of the largest value: less is not an improvement ...
_SOLVED = 1e-15  # ... nor is less than this / (1 - gamma), the error of solving the linear system.


def policy_iterates(
    mdp: MDP,
    policy: NDArray[Any],
    *,
    epsilon: float = 0.0,
    ties: Ties = "keep",
    rng: np.random.Generator | None = None,
) -> Iterator[tuple[Values, Values, Actions]]:
    """(v, q, the actions that are greedy for q), of the first policy and after 1, 2, ... improvements.

    It ends when an improvement changes no value: these values are then optimal, whatever the ties.

    Args:
        mdp: the process.
        policy: to start from: an action for every state, or probabilities.
        epsilon: of the soft policies among which the best is sought, in [0, 1].
        ties: which of several best actions is taken.
        rng: draws with ties="random".
    """
    actions = policy if policy.ndim == 1 else None
    resolution = max(_ROUNDING, _SOLVED / (1 - mdp.gamma))
    v = None
    while True:
        values = policy_values(mdp, policy)
        if v is not None and (values - v).max() <= resolution * max(1.0, np.abs(values).max()):
            return
        v = values
        q = mdp.action_values(v)
        actions = greedy(q, ties=ties, current=actions, rng=rng)
        policy = soft(actions, mdp.num_actions, epsilon) if epsilon else actions
        yield v, q, actions


@dataclass(frozen=True, kw_only=True)
class PolicyIteration:
    """Exact evaluation and greedy improvement until the policy is optimal.

    Args:
        initial_policy: an action for every state, or one action everywhere.
        epsilon: above 0, the best policy among those that take every action with at least epsilon / actions.
        ties: which of several best actions is taken.
    """

    initial_policy: int | tuple[int, ...] = 0
    epsilon: float = 0.0
    ties: Ties = "keep"

    def __post_init__(self) -> None:
        check_fraction("epsilon", self.epsilon)
        if self.ties not in ("keep", "first", "last", "random"):
            raise ValueError(f"ties must be 'keep', 'first', 'last' or 'random', got {self.ties!r}")

    def fit(self, data: MDP, *, run: Run | None = None) -> Solution:
        """The optimal values, and an optimal policy."""
        run = run or Run()
        actions = initial_actions(self.initial_policy, data.num_states, data.num_actions)
        start = soft(actions, data.num_actions, self.epsilon) if self.epsilon else actions
        journal = Journal(run, data.num_states)
        rng = run.rng("ties")
        iterates = policy_iterates(data, start, epsilon=self.epsilon, ties=self.ties, rng=rng)
        # An evaluation reads a pair of every state, or all pairs of a soft policy; an improvement all pairs.
        pairs = data.num_states * data.num_actions
        cost = pairs + (pairs if self.epsilon else data.num_states)
        for improvements, (v, q, actions) in enumerate(iterates):  # noqa: B007 - what the last round left is used.
            journal.spend(cost)
            run.progress(0.0, f"{improvements} improvements")
            if journal.due():
                journal.keep(improvements, v, actions)
            if journal.remaining < cost:
                break
        journal.keep(improvements, v, actions)
        return Solution(v, q, soft(actions, data.num_actions, self.epsilon), journal.trace())
