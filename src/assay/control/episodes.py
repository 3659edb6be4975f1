"""Episodes: batches of them played side by side, their returns, and single steps in plain Python.

A batch is an array operation per step for all its episodes. A learner that changes its policy after every
step cannot be batched; for one state at a time lists and numbers of Python are ten times faster than NumPy's.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.control.mdp import MDP, Values

_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Episodes:
    """A batch of episodes, time first. What is said of a step after an episode's end has no meaning.

    Args:
        states, actions: int64[time, episodes].
        rewards: float64[time, episodes]; rewards[t] is received after actions[t], 0 after the end.
        played: bool[time, episodes]; whether the step was taken.
        final: int64[episodes]; the state after the last step.
        ended: bool[episodes]; whether the episode terminated, rather than being cut.
    """

    states: NDArray[np.int64]
    actions: NDArray[np.int64]
    rewards: Values
    played: NDArray[np.bool_]
    final: NDArray[np.int64]
    ended: NDArray[np.bool_]

    @property
    def num_steps(self) -> int:
        """Transitions sampled."""
        return int(self.played.sum())

    def returns(self, gamma: float) -> Values:
        """The discounted return from every step on, walking back: g = r + gamma g; [time, episodes]."""
        returns = np.empty_like(self.rewards)
        following = np.zeros(self.rewards.shape[1])
        for time in range(len(self.rewards) - 1, -1, -1):
            following = self.rewards[time] + gamma * following
            returns[time] = following
        return returns

    def first_visits(self, num_actions: int) -> NDArray[np.bool_]:
        """Which steps are the first of their episode to take this action in this state."""
        time, episode = np.nonzero(self.played)
        pair = self.states[time, episode] * num_actions + self.actions[time, episode]
        _, first = np.unique(pair * self.played.shape[1] + episode, return_index=True)
        visits = np.zeros_like(self.played)
        visits[time[first], episode[first]] = True
        return visits

    def complete(self, gamma: float, tail: float) -> NDArray[np.bool_]:
        """Which steps have a return that a cut did not shorten by more than the share `tail` of what follows.

        Args:
            gamma: the discount.
            tail: the largest gamma^n allowed, where n rewards follow up to the cut; 1 allows every step.
        """
        left = np.arange(len(self.played), 0, -1)
        return self.played & (self.ended | (gamma**left <= tail)[:, None])


class Players:
    """Plays batches of episodes.

    Args:
        mdp: the process.
        rng: draws actions, next states and starts.
    """

    def __init__(self, mdp: MDP, rng: np.random.Generator) -> None:
        self._mdp, self._rng = mdp, rng
        self._cumulative = None if mdp.deterministic else cumulative_probabilities(mdp)

    def starts(self, count: int) -> NDArray[np.int64]:
        """States drawn from the start distribution."""
        return self._rng.choice(self._mdp.num_states, size=count, p=self._mdp.start)

    def draw(self, bounds: Values, states: NDArray[np.int64]) -> NDArray[np.int64]:
        """An action in each of `states`; `bounds` are a policy's cumulative probabilities along its rows."""
        drawn = (self._rng.random(len(states))[:, None] >= bounds[states]).sum(axis=1)
        return np.minimum(drawn, bounds.shape[1] - 1)

    def step(self, states: NDArray[np.int64], actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of a transition from each of `states`."""
        pair = actions * self._mdp.num_states + states
        if self._cumulative is None:
            return pair
        drawn = np.searchsorted(self._cumulative, pair + self._rng.random(len(pair)), side="right")
        return np.minimum(drawn, self._mdp.offsets[pair + 1] - 1)

    def play(
        self,
        policy: Values,
        states: NDArray[np.int64],
        length: int,
        actions: NDArray[np.int64] | None = None,
    ) -> Episodes:
        """One episode from each of `states`, cut after `length` steps.

        Args:
            policy: of shape (states, actions).
            states: where the episodes start.
            length: the most steps.
            actions: the first action of every episode; None to draw it like the others.
        """
        mdp, bounds = self._mdp, policy.cumsum(axis=1)
        shape = (length, len(states))
        all_states, all_actions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        rewards, played = np.zeros(shape), np.zeros(shape, bool)
        running = np.ones(len(states), bool)
        states = states.copy()
        for time in range(length):
            actions = self.draw(bounds, states) if actions is None else actions
            at = self.step(states, actions)
            all_states[time], all_actions[time], played[time] = states, actions, running
            rewards[time] = np.where(running, mdp.reward[at], 0.0)
            states = np.where(running, mdp.next_state[at], states)
            running = running & ~mdp.terminated[at]
            actions = None
            if not running.any():
                used = slice(0, time + 1)
                all_states, all_actions = all_states[used], all_actions[used]
                rewards, played = rewards[used], played[used]
                break
        return Episodes(all_states, all_actions, rewards, played, states, ~running)


@dataclass(eq=False)
class Averages:
    """The running mean of the returns of every pair, over all episodes so far."""

    sums: Values
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls, mdp: MDP) -> "Averages":
        """No visit yet."""
        shape = mdp.num_states, mdp.num_actions
        return cls(np.zeros(shape), np.zeros(shape, np.int64))

    def add(self, episodes: Episodes, returns: Values, visits: NDArray[np.bool_]) -> None:
        """Counts the returns of the steps that `visits` picks."""
        num_states, num_actions = self.sums.shape
        pair = episodes.states[visits] * num_actions + episodes.actions[visits]
        size = num_states * num_actions
        self.sums += np.bincount(pair, returns[visits], minlength=size).reshape(self.sums.shape)
        self.counts += np.bincount(pair, minlength=size).reshape(self.counts.shape)

    def q(self) -> Values:
        """The means; -inf for a pair that was never visited, so that it is never taken for the best."""
        return np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), -np.inf)


class Walker:
    """Takes one step at a time, in plain Python.

    Args:
        mdp: the process.
        rng: draws next states and starts, and what `draw` gives, uniform numbers in [0, 1).
    """

    def __init__(self, mdp: MDP, rng: np.random.Generator) -> None:
        self.draw = _uniform(rng).__next__
        self._num_states = mdp.num_states
        self._next, self._reward = mdp.next_state.tolist(), mdp.reward.tolist()
        self._terminated = mdp.terminated.tolist()
        self._offsets = mdp.offsets.tolist()
        self._cumulative = None if mdp.deterministic else cumulative_probabilities(mdp).tolist()
        self._start_bounds = mdp.start.cumsum().tolist()
        self._last_start = int(np.flatnonzero(mdp.start)[-1])

    def start(self) -> int:
        """A state drawn from the start distribution."""
        return min(bisect_right(self._start_bounds, self.draw()), self._last_start)

    def step(self, state: int, action: int) -> tuple[float, int, bool]:
        """Reward, next state, and whether the episode ends."""
        at = action * self._num_states + state
        if self._cumulative is not None:
            pair, draw = at, at + self.draw()
            at = bisect_right(self._cumulative, draw, self._offsets[pair], self._offsets[pair + 1] - 1)
        return self._reward[at], self._next[at], self._terminated[at]


def epsilon_greedy(q: list[list[float]], epsilon: float, draw: Callable[[], float]) -> Callable[[int], int]:
    """What chooses an action in a state: the best by q as it is then, ties at random; any with `epsilon`."""

    def choose(state: int) -> int:
        row = q[state]
        if draw() < epsilon:
            return int(draw() * len(row))
        best = max(row)
        if row.count(best) == 1:
            return row.index(best)
        tied = [action for action, value in enumerate(row) if value == best]
        return tied[int(draw() * len(tied))]

    return choose


def cumulative_probabilities(mdp: MDP) -> Values:
    """Of every transition: the number of its pair, plus the probability up to it within the pair.

    The array ascends, so that pair + u, with u uniform in [0, 1), is found by one binary search.
    """
    count = np.diff(mdp.offsets)
    total: Values = mdp.prob.cumsum()
    before = np.repeat(np.concatenate([[0.0], total[mdp.offsets[1:-1] - 1]]), count)
    pair: Values = np.repeat(np.arange(len(count), dtype=np.float64), count)
    return pair + np.clip(total - before, 0.0, 1.0)


def _uniform(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(_BLOCK).tolist()
