"""The tables of MC Basic are in test_printed_figures.py."""

import numpy as np
import pytest
from control_worlds import CAREFUL, random_mdp

from assay.control.bellman_equation import policy_values
from assay.control.episodes import Players
from assay.control.mc_basic import MCBasic, sampled_action_values
from assay.core.budget import Budget
from assay.core.run import Run


class TestBasic:
    def test_action_values_are_means_of_returns_under_the_policy(self):
        mdp = random_mdp(np.random.default_rng(0), 4, 2, gamma=0.5)
        policy = np.array([[0.5, 0.5], [1, 0], [0, 1], [0.3, 0.7]])
        players = Players(mdp, np.random.default_rng(1))
        q, _ = sampled_action_values(mdp, players, policy, 4000, 30)
        expected = mdp.action_values(policy_values(mdp, policy))
        assert q == pytest.approx(expected, abs=0.12)

    def test_standard_error_falls_with_the_root_of_the_number_of_episodes(self):
        mdp = random_mdp(np.random.default_rng(2), 3, 2, gamma=0.5)
        policy = np.full((3, 2), 0.5)
        exact = mdp.action_values(policy_values(mdp, policy))
        errors = []
        counts = [10, 40, 160, 640]
        for count in counts:
            players = Players(mdp, np.random.default_rng(count))
            found = [sampled_action_values(mdp, players, policy, count, 25)[0] for _ in range(30)]
            errors.append(np.sqrt(np.mean((np.array(found) - exact) ** 2)))
        slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
        assert slope == pytest.approx(-0.5, abs=0.1)

    def test_too_short_episodes_leave_the_corner_worthless(self):
        corner = CAREFUL.state((5, 1))
        values = [MCBasic(episode_steps=n).fit(CAREFUL.mdp(), run=Run()).v[corner] for n in (5, 14, 15)]
        assert values == pytest.approx([0, 0, 0.9**14], abs=1e-12)

    def test_many_episodes_are_played_in_parts(self, monkeypatch):
        mdp = random_mdp(np.random.default_rng(3), 3, 2)
        whole = MCBasic(episodes=40, iterations=3).fit(mdp, run=Run(seed=1))
        monkeypatch.setattr("assay.control.mc_basic._AT_ONCE", 1000)
        parts = MCBasic(episodes=40, iterations=3).fit(mdp, run=Run(seed=1))
        assert parts.trace.steps[0] == pytest.approx(whole.trace.steps[0], rel=0.2)
        assert parts.q == pytest.approx(whole.q, abs=4)

    def test_budget_shortens_the_episodes_of_the_first_iteration(self):
        solution = MCBasic().fit(CAREFUL.mdp(), run=Run(budget=Budget(1000, "steps")))
        assert solution.trace.steps.tolist() == [1000]  # Eight steps from each of 125 pairs.
        assert MCBasic().fit(CAREFUL.mdp(), run=Run(budget=Budget(40_000, "steps"))).trace.steps[-1] == 37_500

    @pytest.mark.parametrize("name", ["episodes", "episode_steps", "iterations"])
    def test_errors(self, name):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            MCBasic(**{name: 0})
