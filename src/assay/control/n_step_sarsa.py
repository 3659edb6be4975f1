"""n-step Sarsa: towards the sum of the next n rewards, and only then the value of the action taken.

One step is Sarsa; infinitely many are Monte Carlo. In between, a reward reaches n steps back at once, at the
price of a noisier target.

Reference:
    Sutton, Barto. "Reinforcement Learning: An Introduction". 2nd edition, MIT Press 2018, Section 7.2.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 7.
    Implements: Section 7.3, q(s, a) += alpha (r + ... + gamma^(n-1) r_n + gamma^n q(s_n, a_n) - q(s, a)).
    Departs: ties are broken at random; the last n - 1 pairs before the cut of an unfinished episode learn
        nothing.
    Verified: n = 1 equals Sarsa step by step; n beyond the episode with alpha = 1 gives the returns.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from assay.control.episodes import Walker
from assay.control.temporal_difference import Choose, Table, TemporalDifference


@dataclass(frozen=True, kw_only=True)
class NStepSarsa(TemporalDifference):
    """Learns the values of its own exploring policy; see `TemporalDifference` for the other arguments.

    Args:
        n: rewards that are summed before the estimate of the rest.
    """

    n: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")

    def episode(self, q: Table, walker: Walker, choose: Choose, gamma: float) -> Iterator[float]:
        """Walks one episode; see `TemporalDifference.episode`."""
        terminated = False
        window: deque[tuple[int, int, float]] = deque()  # the last n pairs and rewards
        state = walker.start()
        action = choose(state)
        while not terminated:
            reward, next_state, terminated = walker.step(state, action)
            next_action = choose(next_state)
            window.append((state, action, reward))
            if terminated:
                while window:
                    self._learn(q, window, 0.0, gamma)
            elif len(window) == self.n:
                self._learn(q, window, q[next_state][next_action], gamma)
            yield reward
            state, action = next_state, next_action

    def _learn(self, q: Table, window: deque[tuple[int, int, float]], rest: float, gamma: float) -> None:
        """Moves the oldest pair of the window, and takes it out."""
        target = rest
        for _, _, reward in reversed(window):
            target = reward + gamma * target
        state, action, _ = window.popleft()
        q[state][action] += self.alpha * (target - q[state][action])
