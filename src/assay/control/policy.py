"""Policies: which actions are best, which of the tied ones is taken, and how a soft policy explores."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay.control.mdp import Actions, Values

Ties = Literal["keep", "first", "last", "random"]
"""keep: the action taken so far, if it is among the best; first, last: by number; random: any of the best."""

# What floating point makes of equal sums: a share of the state's own value, and of the largest of all values.
_OWN_SHARE = 1e-10
_LARGEST_SHARE = 1e-13


def argmax_sets(q: Values) -> NDArray[np.bool_]:
    """Which actions are the best of their state, all ties included, of shape (states, actions)."""
    best = q.max(axis=1, keepdims=True)
    size = np.where(np.isfinite(best), np.abs(best), 0.0)
    return q >= best - np.maximum(_OWN_SHARE * size, _LARGEST_SHARE * max(1.0, float(size.max())))


def greedy(
    q: Values,
    *,
    ties: Ties = "first",
    current: Actions | None = None,
    rng: np.random.Generator | None = None,
) -> Actions:
    """A best action of every state.

    Args:
        q: action values, of shape (states, actions); -inf where nothing is known.
        ties: which of several best actions.
        current: what is kept with "keep"; where it is not among the best, or is None, the first best is
            taken.
        rng: draws with "random".
    """
    best = argmax_sets(q)
    if ties == "last":
        return q.shape[1] - 1 - best[:, ::-1].argmax(axis=1)
    if ties == "random":
        assert rng is not None
        return (best * rng.random(best.shape)).argmax(axis=1)
    first = best.argmax(axis=1)
    if ties == "first" or current is None:
        return first
    return np.where(best[np.arange(len(q)), current], current, first)


def soft(actions: Actions, num_actions: int, epsilon: float) -> Values:
    """The epsilon-greedy policy around `actions`, of shape (states, num_actions).

    An action has epsilon / num_actions, the one in `actions` 1 - epsilon more: 1 - epsilon + epsilon /
    num_actions.
    """
    policy = np.full((len(actions), num_actions), epsilon / num_actions)
    policy[np.arange(len(actions)), actions] += 1 - epsilon
    return policy


def initial_actions(policy: int | tuple[int, ...], num_states: int, num_actions: int) -> Actions:
    """The policy that a method starts from: one action everywhere, or one for every state.

    Raises:
        ValueError: an action does not exist, or there is not one for every state.
    """
    actions = np.array(policy, np.int64)
    if actions.ndim > 0 and actions.shape != (num_states,):
        raise ValueError(f"expected an action for each of {num_states} states, got {len(actions)}")
    bad = (actions < 0) | (actions >= num_actions)
    if bad.any():
        raise ValueError(f"expected actions from 0 to {num_actions - 1}, got {actions[bad].flat[0]}")
    return np.broadcast_to(actions, num_states).copy()


def check_fraction(name: str, value: Any, *, zero: bool = True) -> None:
    """Checks that a hyper-parameter is a probability or a step size.

    Raises:
        ValueError: it is outside [0, 1], or (0, 1] without `zero`.
    """
    if not (0 <= value <= 1) or (value == 0 and not zero):
        raise ValueError(f"{name} must be in {'[' if zero else '('}0, 1], got {value!r}")
