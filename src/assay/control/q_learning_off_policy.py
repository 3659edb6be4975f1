"""Q-learning, off-policy: the optimal policy is learned from the steps of another one that never changes.

The behaviour may be anything that tries every action in every state again and again; how rarely it tries the
rarest limits how fast this learns.

Reference:
    Watkins, Dayan. "Q-learning". Machine Learning 8, 1992.
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, chapter 7.
    Implements: Algorithm 7.3, with the update of Algorithm 7.2.
    Verified: the textbook's Figures 7.4 and 7.5, five seeds; Sarsa's update on the same steps ends elsewhere.
"""

from dataclasses import dataclass

from assay.control.episodes import Walker
from assay.control.policy import initial_actions
from assay.control.q_learning import QLearning
from assay.control.temporal_difference import Choose, Table


@dataclass(frozen=True, kw_only=True)
class QLearningOffPolicy(QLearning):
    """Learns the optimal values from a fixed behaviour; see `TemporalDifference` for the other arguments.

    Args:
        behaviour_policy: an action for every state, or one everywhere, that is taken with probability 1 -
            epsilon.
        epsilon: any action is taken with this probability; 1 is a uniformly random behaviour.
        episode_steps: after which an episode is cut; None by default.
    """

    behaviour_policy: int | tuple[int, ...] = 0
    epsilon: float = 1.0
    episode_steps: int | None = None

    def behaviour(self, q: Table, walker: Walker) -> Choose:
        """The fixed policy, and any action with probability epsilon."""
        num_actions, epsilon, draw = len(q[0]), self.epsilon, walker.draw
        actions = initial_actions(self.behaviour_policy, len(q), num_actions).tolist()

        def choose(state: int) -> int:
            return int(draw() * num_actions) if draw() < epsilon else actions[state]

        return choose
