"""MC epsilon-greedy: episodes under a soft policy, so that no special starts are needed to see every action.

The best action of a state is taken with probability 1 - epsilon + epsilon / actions, every other with
epsilon / actions. What is learned is the best of all policies that explore so much, which for a large epsilon
need not choose as an optimal policy does.

Reference:
    Sutton, Barto. "Reinforcement Learning: An Introduction". 2nd edition, MIT Press 2018, Section 5.4.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 5.
    Implements: Algorithm 5.3, every visit or first visit.
    Departs: `batch` episodes are played under one policy (1 is the algorithm as printed); a visit close to
        the cut of an unfinished episode is not counted; an action that was never tried is not taken for the
        best, and a state that was never visited is left in all directions alike.
    Verified: hand-made episodes with repeats; the values of the soft policy it ends with; the textbook's
        Figures 5.5 to 5.8 by exact visits and exact policy iteration among soft policies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.control.episodes import Players
from assay.control.mdp import MDP
from assay.control.monte_carlo import MonteCarlo
from assay.control.policy import check_fraction


@dataclass(frozen=True, kw_only=True)
class MCEpsilonGreedy(MonteCarlo):
    """Averages of returns from episodes of a soft policy; see `MonteCarlo` for the other arguments.

    Args:
        epsilon: how much it explores, in (0, 1].
    """

    epsilon: float = 0.1  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("epsilon", self.epsilon, zero=False)

    def begin(
        self, mdp: MDP, players: Players, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.int64], None]:
        """States of the start distribution; the policy chooses the actions."""
        return players.starts(count), None
