import itertools

import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, STAY, linear_programme, random_mdp
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.control.bellman_equation import policy_values
from assay.control.metrics import optimum
from assay.control.policy_iteration import PolicyIteration, policy_iterates
from assay.core.budget import Budget
from assay.core.run import Run


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_finds_the_best_of_all_policies(seed):
    mdp = random_mdp(np.random.default_rng(seed), 4, 3)
    values = [policy_values(mdp, np.array(policy)) for policy in itertools.product(range(3), repeat=4)]
    solution = PolicyIteration().fit(mdp, run=Run())
    assert solution.v == pytest.approx(np.max(values, axis=0), abs=1e-10)
    assert policy_values(mdp, solution.predict()) == pytest.approx(solution.v, abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_linear_programme(seed):
    mdp = random_mdp(np.random.default_rng(seed), 15, 3)
    assert PolicyIteration().fit(mdp, run=Run()).v == pytest.approx(linear_programme(mdp), abs=1e-9)


@given(st.integers(0, 10**6), st.sampled_from(["keep", "first", "last", "random"]))
@settings(max_examples=15, deadline=None)
def test_no_value_ever_decreases(seed, ties):
    rng = np.random.default_rng(seed)
    mdp = random_mdp(rng, 8, 4)
    values = [v for v, _, _ in policy_iterates(mdp, rng.integers(4, size=8), ties=ties, rng=rng)]
    assert (np.diff(values, axis=0) >= -1e-10).all()
    assert len(values) < 20


@pytest.mark.parametrize(
    ("world", "ties", "improvements"),
    [
        (BOOK, "first", 5),
        (BOOK, "last", 5),
        (BOOK, "keep", 5),
        (CAREFUL, "first", 8),
        (CAREFUL, "last", 15),
        (CAREFUL, "keep", 15),
    ],
)
def test_improvements_from_the_policy_that_stays(world, ties, improvements):
    iterates = list(policy_iterates(world.mdp(), STAY, ties=ties))
    assert len(iterates) - 1 == improvements
    assert iterates[-1][0] == pytest.approx(optimum(world.mdp()).v, abs=1e-10)
    trace = PolicyIteration(initial_policy=4, ties=ties).fit(world.mdp(), run=Run()).trace
    assert trace.iterations[-1] == improvements


@pytest.mark.parametrize(("world", "low", "median", "high"), [(BOOK, 3, 4, 5), (CAREFUL, 5, 10, 14)])
def test_improvements_with_ties_at_random(world, low, median, high):
    mdp, counts = world.mdp(), []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        counts.append(sum(1 for _ in policy_iterates(mdp, STAY, ties="random", rng=rng)) - 1)
    assert abs(np.median(counts) - median) <= 1
    assert low - 1 <= min(counts) <= low + 1  # Extremes of 200 other seeds.
    assert high - 1 <= max(counts) <= high + 1


def test_tied_actions_are_not_switched_for_ever():
    mdp = random_mdp(np.random.default_rng(0), 5, 3)
    same = type(mdp)(
        **(vars(mdp) | {"reward": np.ones_like(mdp.reward), "terminated": mdp.terminated & False})
    )
    rng = np.random.default_rng(1)
    assert len(list(policy_iterates(same, np.zeros(5, int), ties="random", rng=rng))) == 1


def test_figure_4_4_first_and_last_values():
    """Its tables in between follow no rule for ties, so only the first and the last are compared."""
    iterates = list(policy_iterates(CAREFUL.mdp(), STAY))
    first = np.zeros(25)
    first[[CAREFUL.state(cell) for cell in CAREFUL.forbidden]] = -100
    first[CAREFUL.state(CAREFUL.target)] = 10
    assert iterates[0][0] == pytest.approx(first, abs=1e-10)
    assert iterates[-1][0] == pytest.approx(optimum(CAREFUL.mdp()).v, abs=1e-10)


def test_the_best_soft_policy_is_the_best_of_all_soft_policies():
    rng = np.random.default_rng(3)
    mdp = random_mdp(rng, 3, 3)
    soft = [
        policy_values(mdp, 0.7 * np.eye(3)[list(actions)] + 0.1)
        for actions in itertools.product(range(3), repeat=3)
    ]
    solution = PolicyIteration(epsilon=0.3).fit(mdp, run=Run())
    assert solution.v == pytest.approx(np.max(soft, axis=0), abs=1e-10)
    assert solution.policy.min() == pytest.approx(0.1)
    assert solution.policy.sum(axis=1) == pytest.approx(np.ones(3))


def test_epsilon_one_is_the_uniform_policy():
    v, _, _ = list(policy_iterates(BOOK.mdp(), np.full((25, 5), 0.2), epsilon=1.0))[-1]
    assert v == pytest.approx(policy_values(BOOK.mdp(), np.full((25, 5), 0.2)), abs=1e-12)


class TestMethod:
    def test_a_budget_of_one_improvement(self):
        solution = PolicyIteration(initial_policy=4).fit(CAREFUL.mdp(), run=Run(budget=Budget(150, "steps")))
        assert solution.trace.steps[-1] == 150
        assert solution.v.min() == pytest.approx(-100)
        assert (policy_values(CAREFUL.mdp(), solution.predict()) >= solution.v - 1e-9).all()

    def test_errors(self):
        with pytest.raises(ValueError, match=r"epsilon must be in \[0, 1\], got 2"):
            PolicyIteration(epsilon=2)
        with pytest.raises(ValueError, match="ties must be"):
            PolicyIteration(ties="any")
        with pytest.raises(ValueError, match="actions from 0 to 4, got 9"):
            PolicyIteration(initial_policy=9).fit(BOOK.mdp(), run=Run())
