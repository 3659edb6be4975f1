"""MC Basic, exploring starts and epsilon-greedy; the tables of MC Basic are in test_printed_figures.py."""

import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, CAUTIOUS, EPISODIC, random_mdp

from assay.control.bellman_equation import policy_values
from assay.control.episodes import Players
from assay.control.grid_world import GridWorld
from assay.control.mc_basic import MCBasic, sampled_action_values
from assay.control.mc_epsilon_greedy import MCEpsilonGreedy
from assay.control.mc_exploring_starts import MCExploringStarts
from assay.control.metrics import optimum
from assay.control.policy import argmax_sets, soft
from assay.core.budget import Budget
from assay.core.run import Run

TINY = GridWorld(shape=(2, 3), forbidden=((1, 2),), target=(2, 3), r_forbidden=-10, start=None)


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


class TestExploringStarts:
    @pytest.mark.parametrize("first_visit", [False, True])
    def test_finds_the_optimum_of_a_small_world(self, first_visit):
        method = MCExploringStarts(steps=200_000, first_visit=first_visit)
        solution = method.fit(TINY.mdp(), run=Run(seed=0))
        best = optimum(TINY.mdp())
        assert argmax_sets(best.q)[np.arange(6), solution.predict()].all()
        assert solution.v == pytest.approx(best.v, abs=1.0)  # The first, bad episodes stay in the mean.
        assert np.isfinite(solution.q).all()  # Every pair was a start.

    def test_one_episode_at_a_time_is_the_algorithm_as_printed(self):
        """Against a loop over one episode after another, with counts shared across episodes."""
        mdp = random_mdp(np.random.default_rng(4), 4, 2, gamma=0.5)
        method = MCExploringStarts(steps=300, batch=1, episode_steps=12)
        rng = Run(seed=2).rng("episodes")
        players = Players(mdp, rng)
        sums, counts, left = np.zeros((4, 2)), np.zeros((4, 2)), 300
        q, actions = np.full((4, 2), -np.inf), np.zeros(4, int)
        while left > 0:
            length = min(12, left)
            state, action = rng.integers(4, size=1), rng.integers(2, size=1)
            policy = np.full((4, 2), 0.5)
            for s in range(4):
                if np.isfinite(q[s]).any():
                    policy[s] = np.eye(2)[actions[s]]
            batch = players.play(policy, state, length, action)
            g, steps = 0.0, int(batch.played.sum())
            for t in reversed(range(steps)):
                s, a = batch.states[t, 0], batch.actions[t, 0]
                g = batch.rewards[t, 0] + 0.5 * g
                if batch.ended[0] or 0.5 ** (len(batch.played) - t) <= 0.01:
                    sums[s, a] += g
                    counts[s, a] += 1
                    q[s, a] = sums[s, a] / counts[s, a]
            fresh = q.argmax(axis=1)
            tied = q == q.max(axis=1, keepdims=True)
            actions = np.where(tied[np.arange(4), actions], actions, fresh)
            left -= steps
        solution = method.fit(mdp, run=Run(seed=2))
        assert solution.q == pytest.approx(q, abs=1e-12)
        assert np.array_equal(solution.predict(), np.where(np.isfinite(q).any(axis=1), actions, 0))

    def test_returns_near_the_cut_are_left_out(self):
        """Counting them, too, would say that the target is worth less than its rewards for ever."""
        target = TINY.state(TINY.target)
        whole = MCExploringStarts(steps=40_000, episode_steps=60).fit(TINY.mdp(), run=Run()).v[target]
        short = (
            MCExploringStarts(steps=40_000, episode_steps=60, tail=1.0).fit(TINY.mdp(), run=Run()).v[target]
        )
        assert abs(whole - 10) < 0.5
        assert short < 9

    def test_episodes_that_end_count_whole(self):
        solution = MCExploringStarts(steps=60_000, episode_steps=40).fit(EPISODIC.mdp(), run=Run(seed=1))
        assert solution.q[EPISODIC.state((5, 3)), 0] == 0
        assert solution.trace.episode_lengths.max() <= 40
        assert solution.trace.episode_lengths.sum() == solution.trace.steps[-1] == 60_000


class TestEpsilonGreedy:
    def test_epsilon_one_learns_the_values_of_the_uniform_policy(self):
        method = MCEpsilonGreedy(epsilon=1.0, steps=400_000, batch=50)
        solution = method.fit(TINY.mdp(), run=Run(seed=3))
        exact = TINY.mdp().action_values(policy_values(TINY.mdp(), np.full((6, 5), 0.2)))
        assert solution.q == pytest.approx(exact, abs=1.0)
        assert solution.policy == pytest.approx(np.full((6, 5), 0.2))

    def test_the_policy_is_soft_and_sums_to_one(self):
        solution = MCEpsilonGreedy(epsilon=0.5, steps=20_000).fit(BOOK.mdp(), run=Run())
        assert solution.policy.sum(axis=1) == pytest.approx(np.ones(25), abs=1e-12)
        assert solution.policy.min() == pytest.approx(0.1)
        assert solution.policy.max() == pytest.approx(0.6)

    def test_an_unknown_state_is_left_in_all_directions_alike(self):
        solution = MCEpsilonGreedy(steps=50, episode_steps=50).fit(BOOK.mdp(), run=Run())
        unknown = np.isneginf(solution.q).all(axis=1)
        assert unknown.any()
        assert solution.policy[unknown] == pytest.approx(np.full((unknown.sum(), 5), 0.2))
        assert solution.v[unknown].tolist() == [0.0] * unknown.sum()

    def test_learns_a_good_path_where_exploring_is_cheap(self):
        solution = MCEpsilonGreedy(steps=200_000, epsilon=0.2).fit(TINY.mdp(), run=Run(seed=0))
        values = policy_values(TINY.mdp(), solution.predict())
        assert values == pytest.approx(optimum(TINY.mdp()).v, abs=1e-9)

    def test_what_it_converges_to_is_optimal_among_soft_policies_only(self):
        """The values of the greedy policy made soft are far below the optimum, at every epsilon."""
        best = optimum(CAREFUL.mdp()).v
        for epsilon in (0.1, 0.5):
            v = policy_values(CAREFUL.mdp(), soft(CAREFUL.policy(CAUTIOUS), 5, epsilon))
            assert (v < best - 1).all()

    @pytest.mark.parametrize(
        ("build", "words"),
        [
            (lambda: MCEpsilonGreedy(epsilon=0), r"epsilon must be in \(0, 1\], got 0"),
            (lambda: MCEpsilonGreedy(tail=0), r"tail must be in \(0, 1\], got 0"),
            (lambda: MCEpsilonGreedy(steps=0), "steps must be at least 1, got 0"),
            (lambda: MCExploringStarts(batch=0), "batch must be at least 1, got 0"),
            (
                lambda: MCExploringStarts(episode_steps=20).fit(BOOK.mdp(), run=Run()),
                "its episodes never end, and cut after 20 steps no return is within 0.01 of whole; "
                "expected episode_steps of 44 or more",
            ),
        ],
    )
    def test_errors(self, build, words):
        with pytest.raises(ValueError, match=words):
            build()


@pytest.mark.parametrize("method", [MCExploringStarts(), MCEpsilonGreedy()])
def test_budgets_are_kept_to_the_step(method):
    for amount in (1, 99, 1234):
        solution = method.fit(EPISODIC.mdp(), run=Run(budget=Budget(amount, "steps")))
        assert solution.trace.steps[-1] == amount


@pytest.mark.parametrize("method", [MCBasic(), MCExploringStarts(), MCEpsilonGreedy()])
def test_a_budget_that_is_over_at_once_still_gives_a_solution(method):
    solution = method.fit(EPISODIC.mdp(), run=Run(budget=Budget(1e-9, "seconds")))
    assert solution.policy.sum(axis=1) == pytest.approx(np.ones(25))
    assert solution.trace.steps[-1] >= 1
