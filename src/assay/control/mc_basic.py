"""MC Basic: policy iteration without a model; every action value is the mean return of episodes that start
there.

Each iteration plays episodes from every pair of state and action under the current policy, averages their
returns, and acts greedily. Episodes are cut after a fixed number of steps: a state is worth nothing until
they are long enough to reach a reward from it.

Reference:
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 5.
    Implements: Algorithm 5.1.
    Departs: all episodes of an iteration are played side by side; an action is kept as long as it is among
        the best.
    Verified: in a deterministic world with episodes of n steps it ends on n sweeps of value iteration, 1e-12;
        the textbook's Figures 5.3 and 5.4.
"""

from dataclasses import dataclass

import numpy as np

from assay.control.episodes import Players
from assay.control.journal import Journal
from assay.control.mdp import MDP, Values
from assay.control.policy import greedy, initial_actions, soft
from assay.control.solution import Solution, estimated
from assay.core.run import Run

_AT_ONCE = 2**20  # Steps held in memory.
_EPISODES_IF_RANDOM = 100


def sampled_action_values(
    mdp: MDP, players: Players, policy: Values, episodes: int, length: int
) -> tuple[Values, int]:
    """q(s, a) as the mean return of episodes from every pair under `policy`, and the steps they took.

    Args:
        mdp: the process.
        players: play it.
        policy: probabilities of shape (states, actions).
        episodes: from every pair.
        length: steps after which an episode is cut.
    """
    shape = mdp.num_states, mdp.num_actions
    pairs = np.tile(np.arange(mdp.num_states * mdp.num_actions), episodes)
    total, steps = np.zeros(shape), 0
    for some in np.array_split(pairs, max(1, len(pairs) * length // _AT_ONCE)):
        played = players.play(policy, some // mdp.num_actions, length, some % mdp.num_actions)
        returns = played.returns(mdp.gamma)[0]
        total += np.bincount(some, returns, minlength=total.size).reshape(shape)
        steps += played.num_steps
    return total / episodes, steps


@dataclass(frozen=True, kw_only=True)
class MCBasic:
    """Policy iteration with action values from episodes.

    Args:
        episodes: from every pair in every iteration; None for 1 in a deterministic process, else 100.
        episode_steps: after which an episode is cut.
        iterations: the most improvements; in a deterministic process it ends when the policy stays the same.
        initial_policy: an action for every state, or one action everywhere.
    """

    episodes: int | None = None
    episode_steps: int = 100
    iterations: int = 20
    initial_policy: int | tuple[int, ...] = 0

    def __post_init__(self) -> None:
        for name in ("episodes", "episode_steps", "iterations"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def fit(self, data: MDP, *, run: Run | None = None) -> Solution:
        """Mean returns under the last policy, and the policy that is greedy for them."""
        run = run or Run()
        actions = initial_actions(self.initial_policy, data.num_states, data.num_actions)
        players = Players(data, run.rng("episodes"))
        episodes = self.episodes or (1 if data.deterministic else _EPISODES_IF_RANDOM)
        lanes = data.num_states * data.num_actions * episodes
        journal = Journal(run, data.num_states)
        for iteration in range(1, self.iterations + 1):
            length = int(max(1, min(self.episode_steps, journal.remaining / lanes)))
            policy = soft(actions, data.num_actions, 0.0)
            q, steps = sampled_action_values(data, players, policy, episodes, length)
            before, actions = actions, greedy(q, ties="keep", current=actions)
            journal.spend(steps)
            run.progress(iteration / self.iterations, f"{iteration} iterations")
            journal.keep(iteration, estimated(q), actions)
            # Shorter episodes than these would only undo what was learned.
            if journal.remaining < lanes * self.episode_steps:
                break
            if data.deterministic and np.array_equal(before, actions):
                break
        return Solution(estimated(q), q, soft(actions, data.num_actions, 0.0), journal.trace())
