"""The loop that temporal-difference methods share: walk, and after every step move one action value."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from assay.control.episodes import Walker, epsilon_greedy
from assay.control.journal import Journal
from assay.control.mdp import MDP
from assay.control.policy import check_fraction, greedy, soft
from assay.control.solution import Solution
from assay.core.run import Run

_BETWEEN_LOOKS = 1024  # steps between two looks at budget and snapshots

Table = list[list[float]]
Choose = Callable[[int], int]


@dataclass(frozen=True, kw_only=True)
class TemporalDifference(ABC):
    """Control by differences of successive estimates; a subclass says what one episode learns.

    Args:
        alpha: step size, in (0, 1].
        epsilon: how much the behaviour explores, in [0, 1].
        initial_q: what every action value starts from.
        steps: transitions to sample.
        episodes: to stop after, if that is earlier; None for no limit.
        episode_steps: after which an episode is cut and another begins; None to let it go on.
    """

    alpha: float = 0.1
    epsilon: float = 0.1
    initial_q: float = 0.0
    steps: int = 100_000
    episodes: int | None = None
    episode_steps: int | None = 100

    def __post_init__(self) -> None:
        check_fraction("alpha", self.alpha, zero=False)
        check_fraction("epsilon", self.epsilon)
        for name in ("steps", "episodes", "episode_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    @abstractmethod
    def episode(self, q: Table, walker: Walker, choose: Choose, gamma: float) -> Iterator[float]:
        """Walks one episode and yields the reward after every step, when `q` has learned from it.

        Args:
            q: action values, changed in place.
            walker: takes the steps.
            choose: the behaviour, an action for a state.
            gamma: the discount.
        """

    def behaviour(self, q: Table, walker: Walker) -> Choose:
        """What chooses the actions: epsilon-greedy for q, which changes after every step."""
        return epsilon_greedy(q, self.epsilon, walker.draw)

    def learned_policy(self, q: np.ndarray) -> np.ndarray:
        """The policy whose values `q` approaches."""
        return soft(greedy(q), q.shape[1], self.epsilon)

    def fit(self, data: MDP, *, run: Run | None = None) -> Solution:
        """Action values after so many steps, and the policy they stand for.

        Raises:
            ValueError: it should stop after so many episodes, but they never end.
        """
        run = run or Run()
        if self.episodes is not None and self.episode_steps is None and not data.terminated.any():
            raise ValueError(
                f"{data.name}: its episodes never end, so there will not be {self.episodes}; "
                "expected episode_steps, or steps instead of episodes"
            )
        walker = Walker(data, run.rng("episodes"))
        q = [[float(self.initial_q)] * data.num_actions for _ in range(data.num_states)]
        choose = self.behaviour(q, walker)
        journal = Journal(run, data.num_states, self.steps)
        since, until = 0, min(_BETWEEN_LOOKS, journal.remaining)
        looks = played = 0
        while journal.remaining > 0 and played != self.episodes:
            total, length = 0.0, 0
            for reward in self.episode(q, walker, choose, data.gamma):
                total += reward
                length += 1
                since += 1
                if since == until:
                    looks += 1
                    journal.spend(since)
                    since, until = 0, min(_BETWEEN_LOOKS, journal.remaining)
                    if journal.due():
                        self._keep(journal, looks, q)
                    if until <= 0:
                        break
                if length == self.episode_steps:
                    break
            played += 1
            journal.played(total, length)
        journal.spend(since)
        self._keep(journal, looks + (since > 0), q)
        values = np.array(q)
        return Solution(values.max(axis=1), values, self.learned_policy(values), journal.trace())

    def _keep(self, journal: Journal, looks: int, q: Table) -> None:
        values = np.array(q)
        journal.keep(looks, values.max(axis=1), greedy(values))
