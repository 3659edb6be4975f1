"""The loop that Monte Carlo methods share: play a batch of episodes, average the returns, act greedily."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.control.episodes import Averages, Players
from assay.control.journal import Journal
from assay.control.mdp import MDP, Actions, Values
from assay.control.policy import check_fraction, greedy, soft
from assay.control.solution import Solution, estimated
from assay.core.run import Run


@dataclass(frozen=True, kw_only=True)
class MonteCarlo(ABC):
    """Control by averages of returns; a subclass says how episodes begin and how much they explore.

    Args:
        steps: transitions to sample.
        episode_steps: after which an episode is cut.
        batch: episodes that are played under one policy; 1 improves the policy after every episode.
        first_visit: count only the first visit of an episode to a pair, instead of every visit.
        tail: a visit counts only if the cut left out at most this share of what follows it; 1 counts every
            visit.
    """

    steps: int = 200_000
    episode_steps: int = 100
    batch: int = 10
    first_visit: bool = False
    tail: float = 0.01
    epsilon: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "episode_steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_fraction("tail", self.tail, zero=False)

    @abstractmethod
    def begin(
        self, mdp: MDP, players: Players, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """The first states of `count` episodes, and their first actions unless the policy chooses them."""

    def fit(self, data: MDP, *, run: Run | None = None) -> Solution:
        """Mean returns over all episodes, and the policy that acts on them.

        Raises:
            ValueError: episodes are so short that no visit counts.
        """
        run = run or Run()
        self._check_length(data)
        rng = run.rng("episodes")
        players, averages = Players(data, rng), Averages.empty(data)
        journal = Journal(run, data.num_states, self.steps)
        q = averages.q()
        actions, batches = greedy(q), 0
        while batches == 0 or journal.remaining >= 1:
            length = int(min(self.episode_steps, max(1, journal.remaining)))
            count = int(min(self.batch, max(1, journal.remaining / length)))
            states, first = self.begin(data, players, rng, count)
            episodes = players.play(self._policy(q, actions), states, length, first)
            visits = episodes.complete(data.gamma, self.tail)
            if self.first_visit:
                visits = visits & episodes.first_visits(data.num_actions)
            averages.add(episodes, episodes.returns(data.gamma), visits)
            q = averages.q()
            actions = greedy(q, ties="keep", current=actions)
            batches += 1
            journal.spend(episodes.num_steps)
            for reward, steps in zip(episodes.rewards.sum(axis=0), episodes.played.sum(axis=0), strict=True):
                journal.played(float(reward), int(steps))
            if journal.due():
                journal.keep(batches, estimated(q), actions)
        journal.keep(batches, estimated(q), actions)
        return Solution(estimated(q), q, self._policy(q, actions), journal.trace())

    def _policy(self, q: Values, actions: Actions) -> Values:
        """Epsilon-greedy, and uniform in a state of which nothing is known yet."""
        uniform = np.full(q.shape, 1 / q.shape[1])
        known = np.isfinite(q).any(axis=1, keepdims=True)
        return np.where(known, soft(actions, q.shape[1], self.epsilon), uniform)

    def _check_length(self, mdp: MDP) -> None:
        if not mdp.terminated.any() and mdp.gamma**self.episode_steps > self.tail:
            needed = int(np.ceil(np.log(self.tail) / np.log(mdp.gamma)))
            raise ValueError(
                f"{mdp.name}: its episodes never end, and cut after {self.episode_steps} steps no return is "
                f"within {self.tail:g} of whole; expected episode_steps of {needed} or more, or a larger tail"
            )
