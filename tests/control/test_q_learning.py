from dataclasses import replace

import numpy as np
import pytest
from control_worlds import BOOK, EPISODIC, check_updates, walked

from assay.control.bellman_equation import policy_values
from assay.control.mdp import MDP
from assay.control.metrics import optimum
from assay.control.policy import argmax_sets
from assay.control.q_learning import QLearning
from assay.core.run import Run


def test_q_learning():
    check_updates(QLearning(alpha=0.3, epsilon=0.4, initial_q=1.0), lambda row, _: row.max())


def test_a_constant_alpha_does_not_settle_on_random_rewards():
    mdp = MDP.of_transitions(
        [0, 0], [0, 0], [0, 0], [0.5, 0.5], [-1.0, 1.0], [True, True],
        num_states=1, num_actions=1, gamma=0.5, start=[1.0],
    )  # fmt: skip
    _, tables = walked(QLearning(alpha=0.2), mdp, 20_000)
    spread = np.var([table[0, 0] for table in tables[1000:]])
    assert spread == pytest.approx(0.2 / (2 - 0.2), rel=0.1)  # alpha / (2 - alpha) times the variance


def test_only_what_is_near_the_path_is_learned():
    solution = QLearning(episodes=500, episode_steps=None).fit(EPISODIC.mdp(), run=Run(seed=0))
    best = optimum(EPISODIC.mdp())
    values = policy_values(EPISODIC.mdp(), solution.predict())
    assert values[0] == pytest.approx(best.v[0], abs=1e-9)
    assert not argmax_sets(best.q)[np.arange(25), solution.predict()].all()


def test_a_cut_episode_goes_on_learning_from_the_state_after_the_cut():
    """A cut is not an end: with alpha = 1 the value of staying at the target grows beyond one reward."""
    solution = QLearning(alpha=1.0, episode_steps=5, steps=50_000, epsilon=0.5).fit(
        replace(BOOK, start=None).mdp(), run=Run()
    )
    assert solution.v == pytest.approx(optimum(BOOK.mdp()).v, abs=1e-6)
