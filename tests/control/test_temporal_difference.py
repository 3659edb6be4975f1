"""Sarsa, expected Sarsa, n-step Sarsa and Q-learning, on-policy and off-policy."""

import itertools

import numpy as np
import pytest
from control_worlds import BOOK, EPISODIC, walked

from assay.control.bellman_equation import policy_values
from assay.control.expected_sarsa import ExpectedSarsa
from assay.control.mdp import MDP
from assay.control.metrics import optimum
from assay.control.n_step_sarsa import NStepSarsa
from assay.control.policy import soft
from assay.control.q_learning import QLearning
from assay.control.q_learning_off_policy import QLearningOffPolicy
from assay.control.sarsa import Sarsa
from assay.core.budget import Budget
from assay.core.run import Run

ALL = [Sarsa, ExpectedSarsa, NStepSarsa, QLearning, QLearningOffPolicy]


class TestTraps:
    @pytest.mark.parametrize("method", [cls(initial_q=10.0, alpha=0.5, steps=20_000) for cls in ALL])
    def test_the_terminal_cells_value_never_enters(self, method):
        solution = method.fit(EPISODIC.mdp(), run=Run())
        target = EPISODIC.state(EPISODIC.target)
        assert (solution.q[target] == 10).all()
        beside = EPISODIC.state((5, 3))
        assert solution.q[beside, 0] == pytest.approx(0, abs=1e-3)

    def test_the_first_update_changes_the_next_draw(self):
        # One state whose action 0 costs: after one bad step a greedy learner takes the other action at once.
        mdp = MDP.of_transitions(
            [0, 0], [0, 1], [0, 0], [1.0, 1.0], [-1.0, 0.0], [False, False],
            num_states=1, num_actions=2, gamma=0.5, start=[1.0],
        )  # fmt: skip
        for cls in (ExpectedSarsa, QLearning):
            steps, _ = walked(cls(epsilon=0.0, alpha=1.0), mdp, 40, q=[[0.0, 0.0]])
            assert sum(action == 0 for _, action, *_ in steps) <= 1
        steps, _ = walked(Sarsa(epsilon=0.0, alpha=1.0), mdp, 40, q=[[0.0, 0.0]])
        assert sum(action == 0 for _, action, *_ in steps) <= 2  # The next action is drawn before it learns.

    def test_ties_are_broken_at_random_and_by_the_seed(self):
        first = {}
        for seed in range(40):
            steps, _ = walked(QLearning(epsilon=0.0), BOOK.mdp(), 1, seed)
            again, _ = walked(QLearning(epsilon=0.0), BOOK.mdp(), 1, seed)
            assert steps == again
            first[steps[0][1]] = seed
        assert set(first) == set(range(5))


class TestSarsaFigures:
    """Means over 60 seeds, 500 episodes, alpha = epsilon = 0.1, gamma = 0.9: Figures 7.2 and 7.3."""

    @pytest.mark.parametrize(
        ("cls", "first", "last", "length", "optimal"),
        [
            (Sarsa, -150, -19.3, 14.8, 46),
            (ExpectedSarsa, -137, -16.3, 12.9, 50),
            (QLearning, -140, -15.5, 12.4, 60),
        ],
    )
    def test_rewards_lengths_and_paths(self, cls, first, last, length, optimal):
        mdp = EPISODIC.mdp()
        best = optimum(mdp).v[0]
        method = cls(episodes=500, episode_steps=None, steps=10**7)
        firsts, lasts, lengths, found = [], [], [], 0
        for seed in range(60):
            solution = method.fit(mdp, run=Run(seed=seed))
            trace = solution.trace
            assert len(trace.episode_rewards) == 500
            assert trace.episode_lengths.sum() == trace.steps[-1]
            firsts.append(trace.episode_rewards[:10].mean())
            lasts.append(trace.episode_rewards[-100:].mean())
            lengths.append(trace.episode_lengths[-100:].mean())
            found += policy_values(mdp, solution.predict())[0] == pytest.approx(best, abs=1e-9)

        def near(values, expected):
            """Within three standard errors of the difference of two such means."""
            return abs(np.mean(values) - expected) < 3 * np.sqrt(2 / 60) * np.std(values) + 0.05

        assert near(firsts, first)
        assert near(lasts, last)
        assert near(lengths, length)
        assert abs(found - optimal) <= 11  # Three standard deviations of a difference of two counts.
        assert max(lasts) < -10.5  # Exploring costs something for ever.


class TestFit:
    @pytest.mark.parametrize("cls", ALL)
    def test_steps_episodes_and_budgets_are_kept(self, cls):
        mdp = EPISODIC.mdp()
        assert cls(steps=1500).fit(mdp, run=Run()).trace.steps[-1] == 1500
        trace = cls(episodes=7, episode_steps=20).fit(mdp, run=Run()).trace
        assert len(trace.episode_lengths) == 7
        assert trace.episode_lengths.max() <= 20
        for amount in (1, 1023, 1024, 1025, 3000):
            trace = cls().fit(mdp, run=Run(budget=Budget(amount, "steps"))).trace
            assert trace.steps[-1] == amount
            assert trace.episode_lengths.sum() == amount
        assert cls().fit(mdp, run=Run(budget=Budget(0.02, "seconds"))).trace.steps[-1] >= 1024

    def test_snapshots_are_what_a_shorter_fit_ends_with(self):
        long = Sarsa(steps=5000).fit(BOOK.mdp(), run=Run(seed=3))
        assert long.trace.steps.tolist() == [1024, 2048, 3072, 4096, 5000]
        short = Sarsa(steps=2048).fit(BOOK.mdp(), run=Run(seed=3))
        assert np.array_equal(long.trace.v[1], short.v)
        assert np.array_equal(long.trace.actions[1], short.predict())

    def test_policies_are_those_the_values_are_of(self):
        for cls, epsilon in ((Sarsa, 0.1), (ExpectedSarsa, 0.1), (QLearning, 0.0), (QLearningOffPolicy, 0.0)):
            solution = cls(steps=3000).fit(BOOK.mdp(), run=Run())
            assert solution.policy == pytest.approx(soft(solution.q.argmax(axis=1), 5, epsilon))
            assert np.array_equal(solution.v, solution.q.max(axis=1))

    @pytest.mark.parametrize(
        ("build", "words"),
        [
            (lambda: Sarsa(alpha=0), r"alpha must be in \(0, 1\], got 0"),
            (lambda: Sarsa(epsilon=1.5), r"epsilon must be in \[0, 1\], got 1.5"),
            (lambda: QLearning(steps=0), "steps must be at least 1, got 0"),
            (lambda: QLearning(episodes=0), "episodes must be at least 1"),
            (lambda: NStepSarsa(n=0), "n must be at least 1, got 0"),
            (
                lambda: Sarsa(episodes=5, episode_steps=None).fit(BOOK.mdp(), run=Run()),
                "grid-world: its episodes never end, so there will not be 5; expected episode_steps",
            ),
            (
                lambda: QLearningOffPolicy(behaviour_policy=7).fit(BOOK.mdp(), run=Run()),
                "expected actions from 0 to 4, got 7",
            ),
        ],
    )
    def test_errors(self, build, words):
        with pytest.raises(ValueError, match=words):
            build()

    def test_seeds_differ(self):
        tables = [Sarsa(steps=2000).fit(BOOK.mdp(), run=Run(seed=seed)).q for seed in range(3)]
        assert all(not np.array_equal(a, b) for a, b in itertools.combinations(tables, 2))
