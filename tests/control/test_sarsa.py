import numpy as np
import pytest
from control_worlds import CAUTIOUS, EPISODIC, check_updates, walked

from assay.control.bellman_equation import policy_values
from assay.control.episodes import Walker
from assay.control.metrics import optimum
from assay.control.q_learning import QLearning
from assay.control.sarsa import Sarsa
from assay.control.sources import read_mdp


def test_sarsa_learns_from_the_action_that_it_takes_next():
    check_updates(Sarsa(alpha=0.3, epsilon=0.4, initial_q=1.0), lambda row, action: row[action])


def test_sarsas_update_on_the_steps_of_a_random_behaviour_ends_elsewhere():
    """With the behaviour's next action it is Sarsa, and gives the behaviour's values instead of q*."""
    rng = np.random.default_rng(12)
    rewards = rng.integers(-2, 3, size=(4, 3))
    mdp = read_mdp({"P": rng.dirichlet(np.ones(4), size=(4, 3)), "R": rewards}, gamma=0.5)
    uniform, best = np.full((4, 3), 1 / 3), optimum(mdp).q
    exact = mdp.action_values(policy_values(mdp, uniform))
    for cls, expected in ((Sarsa, exact), (QLearning, best)):
        q = [[0.0] * 3 for _ in range(4)]
        for alpha in (0.1, 0.03, 0.01, 0.003):  # A falling alpha: a constant one never settles.
            walked(cls(alpha=alpha), mdp, 8000, q=q, choose=lambda _: int(rng.integers(3)))
        assert np.array(q) == pytest.approx(expected, abs=0.1)
    assert np.abs(exact - best).max() > 0.5


def test_best_total_is_minus_ten_in_eleven_moves():
    walker = Walker(EPISODIC.mdp(), np.random.default_rng(0))
    actions, state, rewards = EPISODIC.policy(CAUTIOUS), 0, []
    ended = False
    while not ended:
        reward, state, ended = walker.step(state, int(actions[state]))
        rewards.append(reward)
    assert (sum(rewards), len(rewards)) == (-10, 11)
