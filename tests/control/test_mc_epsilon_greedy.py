import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, CAUTIOUS, TINY

from assay.control.bellman_equation import policy_values
from assay.control.mc_epsilon_greedy import MCEpsilonGreedy
from assay.control.mc_exploring_starts import MCExploringStarts
from assay.control.metrics import optimum
from assay.control.policy import soft
from assay.core.run import Run


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
