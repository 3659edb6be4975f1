"""Expected Sarsa: like Sarsa, but towards the mean over the next actions instead of the one that was drawn.

The mean removes the noise of the draw at the price of a sum over the actions.

Reference:
    van Seijen, van Hasselt, Whiteson, Wiering. "A Theoretical and Empirical Analysis of Expected Sarsa".
    ADPRL 2009. Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 7.
    Implements: Section 7.3, q(s, a) += alpha (r + gamma sum over a' of pi(a' | s') q(s', a') - q(s, a)).
    Departs: ties are broken at random.
    Verified: step by step against a naive loop; Sarsa's target has this one as its mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from assay.control.episodes import Walker
from assay.control.temporal_difference import Choose, Table, TemporalDifference


@dataclass(frozen=True, kw_only=True)
class ExpectedSarsa(TemporalDifference):
    """Learns the values of its own exploring policy; see `TemporalDifference` for the arguments."""

    def episode(self, q: Table, walker: Walker, choose: Choose, gamma: float) -> Iterator[float]:
        """Walks one episode; see `TemporalDifference.episode`."""
        alpha, epsilon, terminated = self.alpha, self.epsilon, False
        state = walker.start()
        while not terminated:
            action = choose(state)
            reward, next_state, terminated = walker.step(state, action)
            row = q[next_state]
            expected = epsilon * sum(row) / len(row) + (1 - epsilon) * max(row)
            target = reward if terminated else reward + gamma * expected
            q[state][action] += alpha * (target - q[state][action])
            yield reward
            state = next_state
