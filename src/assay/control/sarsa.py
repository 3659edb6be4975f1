"""Sarsa: after every step, the action value moves towards the reward plus the value of the next action taken.

The next action is drawn by the policy that is being learned, exploration included, so it learns what that
policy is worth: a path along a danger counts the accidents that exploring will cause.

Reference:
    Rummery, Niranjan. "On-Line Q-Learning Using Connectionist Systems". Cambridge University 1994.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 7.
    Implements: Algorithm 7.1, q(s, a) += alpha (r + gamma q(s', a') - q(s, a)).
    Departs: ties are broken at random.
    Verified: step by step against a naive loop; with a fixed policy and a falling alpha, q approaches its
        values; the textbook's Figure 7.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from assay.control.episodes import Walker
from assay.control.temporal_difference import Choose, Table, TemporalDifference


@dataclass(frozen=True, kw_only=True)
class Sarsa(TemporalDifference):
    """Learns the values of its own exploring policy; see `TemporalDifference` for the arguments."""

    def episode(self, q: Table, walker: Walker, choose: Choose, gamma: float) -> Iterator[float]:
        """Walks one episode; see `TemporalDifference.episode`."""
        alpha, terminated = self.alpha, False
        state = walker.start()
        action = choose(state)
        while not terminated:
            reward, next_state, terminated = walker.step(state, action)
            next_action = choose(next_state)
            target = reward if terminated else reward + gamma * q[next_state][next_action]
            q[state][action] += alpha * (target - q[state][action])
            yield reward
            state, action = next_state, next_action
