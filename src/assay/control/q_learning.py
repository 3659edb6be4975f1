"""Q-learning, on-policy: after every step, towards the reward plus the value of the best next action.

It learns the values of the optimal policy while it behaves epsilon-greedily for what it has learned so far.

Reference:
    Watkins, Dayan. "Q-learning". Machine Learning 8, 1992.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 7.
    Implements: Algorithm 7.2, q(s, a) += alpha (r + gamma max_a' q(s', a') - q(s, a)).
    Departs: ties are broken at random.
    Verified: step by step against a naive loop; its fixed point is the optimum under any behaviour.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from assay.control.episodes import Walker
from assay.control.policy import greedy, soft
from assay.control.temporal_difference import Choose, Table, TemporalDifference


@dataclass(frozen=True, kw_only=True)
class QLearning(TemporalDifference):
    """Learns the optimal values; see `TemporalDifference` for the arguments."""

    def episode(self, q: Table, walker: Walker, choose: Choose, gamma: float) -> Iterator[float]:
        """Walks one episode; see `TemporalDifference.episode`."""
        alpha, terminated = self.alpha, False
        state = walker.start()
        while not terminated:
            action = choose(state)
            reward, next_state, terminated = walker.step(state, action)
            target = reward if terminated else reward + gamma * max(q[next_state])
            q[state][action] += alpha * (target - q[state][action])
            yield reward
            state = next_state

    def learned_policy(self, q: np.ndarray) -> np.ndarray:
        """Greedy, whatever the behaviour was."""
        return soft(greedy(q), q.shape[1], 0.0)
