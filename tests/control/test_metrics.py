import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, CAUTIOUS, linear_programme, random_mdp
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.control import metrics
from assay.control.bellman_equation import policy_values
from assay.control.grid_world import GridWorld
from assay.control.metrics import optimum


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 0.9, 0.999]))
@settings(max_examples=12, deadline=None)
def test_the_optimum_satisfies_bellmans_equation(seed, gamma):
    mdp = random_mdp(np.random.default_rng(seed), 7, 3, gamma)
    best = optimum(mdp)
    scale = max(1.0, np.abs(best.v).max())
    assert best.v == pytest.approx(mdp.best_values(best.v), abs=1e-10 * scale)
    assert best.q == pytest.approx(mdp.action_values(best.v), abs=1e-12 * scale)


def test_the_optimum_is_that_of_a_linear_programme():
    mdp = random_mdp(np.random.default_rng(1), 20, 4, 0.95)
    assert optimum(mdp).v == pytest.approx(linear_programme(mdp), abs=1e-8)


def test_the_optimum_of_a_larger_world():
    mdp = GridWorld.random((40, 50), 0.2, np.random.default_rng(0), r_forbidden=-10, gamma=0.99).mdp()
    best = optimum(mdp)
    assert best.v == pytest.approx(mdp.best_values(best.v), abs=1e-9)
    assert best.v.max() == pytest.approx(100)


class TestMetrics:
    best = optimum(CAREFUL.mdp())
    stay = policy_values(CAREFUL.mdp(), np.full(25, 4))

    def test_regrets(self):
        assert metrics.regret(CAREFUL.mdp(), self.best, self.stay) == pytest.approx(0.9**10 * 10)
        spread = GridWorld(r_forbidden=-10, start=None).mdp()
        everywhere = np.mean(self.best.v - self.stay)
        assert metrics.regret(spread, self.best, self.stay) == pytest.approx(everywhere)
        assert metrics.mean_regret(self.best, self.stay) == pytest.approx(everywhere)

    def test_two_optimal_policies_do_not_differ_by_rounding(self):
        first = CAREFUL.policy(CAUTIOUS)
        other = first.copy()
        other[3] = 2  # (1, 4) may go right or down.
        for actions in (first, other):
            values = policy_values(CAREFUL.mdp(), actions)
            assert metrics.regret(CAREFUL.mdp(), self.best, values) == 0
            assert metrics.mean_regret(self.best, values) == 0
            assert metrics.optimal_actions(self.best, actions) == 1

    def test_value_errors_by_hand(self):
        q = np.tile(self.best.v[:, None], (1, 5)) - [0, 1, 2, 3, 4]
        assert metrics.state_value_rmse(self.best, q) == 0
        off = q.copy()
        off[0] += 3
        off[1] -= 4
        assert metrics.state_value_rmse(self.best, off) == pytest.approx(np.sqrt((9 + 16) / 25))
        assert metrics.sup_error(self.best, off.max(axis=1)) == pytest.approx(4)

    def test_errors_are_of_the_best_action_only(self):
        q = np.tile(self.best.v[:, None], (1, 5))
        q[:, 1:] -= 1000.0
        assert metrics.state_value_rmse(self.best, q) == 0

    def test_what_is_unknown_counts_as_zero(self):
        q = np.full((25, 5), -np.inf)
        assert metrics.state_value_rmse(self.best, q) == pytest.approx(np.sqrt(np.mean(self.best.v**2)))

    def test_optimal_actions_use_the_whole_set_of_ties(self):
        actions = self.best.q.argmax(axis=1)
        actions[0] = 4
        assert metrics.optimal_actions(self.best, actions) == 24 / 25
        uniform = optimum(GridWorld(r_target=0, r_forbidden=0, r_boundary=0).mdp())
        for action in range(5):
            assert metrics.optimal_actions(uniform, np.full(25, action)) == 1


def test_regret_is_never_below_zero():
    rng = np.random.default_rng(2)
    best = optimum(BOOK.mdp())
    for _ in range(50):
        values = policy_values(BOOK.mdp(), rng.integers(5, size=25))
        assert metrics.regret(BOOK.mdp(), best, values) >= 0
        assert metrics.mean_regret(best, values) >= 0
