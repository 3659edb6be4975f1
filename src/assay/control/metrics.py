"""The optimum of a process, and how far a policy and its values are from it: every metric, defined once."""

from collections import deque
from dataclasses import dataclass
from itertools import islice

import numpy as np

from assay.control.mdp import MDP, Actions, Values
from assay.control.policy import argmax_sets, greedy
from assay.control.policy_iteration import policy_iterates
from assay.control.solution import estimated
from assay.control.value_iteration import value_iterates

# Value iteration is cheap for a sweep, policy iteration sure to end: the one comes close, the other is exact.
_CLOSE = 1e-9  # Of the largest value.
_ROUNDING = 1e-14  # Of the largest value: sweeps come no closer.
_MOST_SWEEPS = 5000
_RESOLUTION = 1e-9  # Of the largest value: differences below are rounding, and count as none.


@dataclass(frozen=True, eq=False)
class Optimum:
    """The optimal values of a process.

    Args:
        v: float64[states].
        q: float64[states, actions].
    """

    v: Values
    q: Values


def optimum(mdp: MDP) -> Optimum:
    """The exact optimal values."""
    close = max(_CLOSE * (1 - mdp.gamma), _ROUNDING)
    v = np.zeros(mdp.num_states)
    for swept in islice(value_iterates(mdp, v), _MOST_SWEEPS):
        change, v = float(np.abs(swept - v).max()), swept
        if change <= close * max(1.0, float(np.abs(v).max())):
            break
    [(v, q, _)] = deque(policy_iterates(mdp, greedy(mdp.action_values(v))), maxlen=1)
    return Optimum(v, q)


def regret(mdp: MDP, best: Optimum, values: Values) -> float:
    """What acting by a policy loses from the first state on: sum over s of start(s) (v*(s) - v_pi(s)).

    Args:
        mdp: the process.
        best: its optimum.
        values: exact values of the policy.
    """
    return _resolved(float(mdp.start @ (best.v - values)), best)


def mean_regret(best: Optimum, values: Values) -> float:
    """The mean of v*(s) - v_pi(s) over all states."""
    return _resolved(float(np.mean(best.v - values)), best)


def state_value_rmse(best: Optimum, q: Values) -> float:
    """sqrt(mean over s of (max_a q(s, a) - v*(s))^2), the textbook's state value error."""
    return _resolved(float(np.sqrt(np.mean((estimated(q) - best.v) ** 2))), best)


def sup_error(best: Optimum, v: Values) -> float:
    """max over s of |v(s) - v*(s)|."""
    return _resolved(float(np.abs(v - best.v).max()), best)


def optimal_actions(best: Optimum, actions: Actions) -> float:
    """The share of the states whose action is one of the best by q*."""
    return float(argmax_sets(best.q)[np.arange(len(actions)), actions].mean())


def _resolved(difference: float, best: Optimum) -> float:
    """`difference`, or 0 where it is only rounding: two optimal policies must not differ by 1e-15."""
    scale = max(1.0, float(np.abs(best.v).max()))
    return 0.0 if abs(difference) <= _RESOLUTION * scale else difference
