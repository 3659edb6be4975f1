"""MC exploring starts: greedy episodes that begin with any state and any action, and averages of all their
returns.

A greedy policy never tries anything else, so every episode begins at a random pair. Every visit on the way is
a sample of the return from there, and the policy is greedy for the averages so far.

Reference:
    Sutton, Barto. "Reinforcement Learning: An Introduction". 2nd edition, MIT Press 2018, Section 5.3.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 5.
    Implements: Algorithm 5.2.
    Departs: `batch` episodes are played under one policy (1 is the algorithm as printed); a visit close to
        the cut of an unfinished episode is not counted; an action that was never tried is not taken for the
        best.
    Verified: against a loop over one episode after another, 1e-12; hand-made episodes with repeats; it finds
        the optimal policy of a small world.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.control.episodes import Players
from assay.control.mdp import MDP
from assay.control.monte_carlo import MonteCarlo


@dataclass(frozen=True, kw_only=True)
class MCExploringStarts(MonteCarlo):
    """Averages of returns from episodes that begin at random pairs; see `MonteCarlo` for the other arguments.

    Args:
        episode_steps: after which an episode is cut; short ones leave more steps for more starts.
    """

    episode_steps: int = 50

    def begin(
        self, mdp: MDP, players: Players, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Uniformly random pairs."""
        return rng.integers(mdp.num_states, size=count), rng.integers(mdp.num_actions, size=count)
