"""Policy iteration and its truncated form."""

import itertools
from itertools import islice

import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, linear_programme, random_mdp
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.control.bellman_equation import policy_values
from assay.control.metrics import optimum
from assay.control.policy import argmax_sets
from assay.control.policy_iteration import PolicyIteration, policy_iterates
from assay.control.truncated_policy_iteration import TruncatedPolicyIteration, truncated_iterates
from assay.control.value_iteration import value_iterates
from assay.core.budget import Budget
from assay.core.run import Run

STAY = np.full(25, 4)


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


class TestTruncated:
    @pytest.mark.parametrize("seed", range(3))
    def test_one_sweep_is_value_iteration_bit_for_bit(self, seed):
        mdp = random_mdp(np.random.default_rng(seed), 9, 3) if seed else CAREFUL.mdp()
        start = np.random.default_rng(seed).normal(size=mdp.num_states)
        both = zip(truncated_iterates(mdp, start, 1), value_iterates(mdp, start), strict=False)
        for (v, _, _, _), swept in islice(both, 30):
            assert np.array_equal(v, swept)

    @pytest.mark.parametrize(("sweeps", "iterations"), [(1, 15), (2, 10), (3, 9), (5, 8), (10, 8), (1000, 8)])
    def test_iterations_to_an_error_of_one_thousandth(self, sweeps, iterations):
        mdp = CAREFUL.mdp()
        best = optimum(mdp).v
        iterates = truncated_iterates(mdp, policy_values(mdp, STAY), sweeps, ties="first")
        found = next(i for i, (v, *_) in enumerate(iterates, start=1) if np.abs(v - best).max() < 1e-3)
        assert found == iterations

    @pytest.mark.parametrize("seed", range(6))
    def test_more_sweeps_are_never_behind_state_by_state(self, seed):
        rng = np.random.default_rng(seed)
        mdp = random_mdp(rng, 8, 3) if seed else CAREFUL.mdp()
        actions = rng.integers(mdp.num_actions, size=mdp.num_states)
        start = policy_values(mdp, actions)
        rows = [truncated_iterates(mdp, start, sweeps, ties="first") for sweeps in (1, 2, 3, 7)]
        exact = (v for v, _, _ in islice(policy_iterates(mdp, actions, ties="first"), 1, None))
        last = optimum(mdp).v
        for _ in range(12):
            values = [next(row)[0] for row in rows] + [next(exact, last)]
            for behind, ahead in itertools.pairwise(values):
                assert (ahead >= behind - 1e-9).all()

    def test_evaluation_goes_on_from_the_values_before(self):
        mdp = CAREFUL.mdp()
        iterates = truncated_iterates(mdp, np.zeros(25), 3)
        v, q, actions, change = next(iterates)
        by_hand = np.zeros(25)
        for _ in range(3):
            by_hand = mdp.under(actions).backup(by_hand)
        assert v == pytest.approx(by_hand, abs=1e-12)
        assert change == 1
        assert np.array_equal(q, mdp.action_values(np.zeros(25)))
        assert np.array_equal(next(iterates)[1], mdp.action_values(v))

    def test_the_method(self):
        solution = TruncatedPolicyIteration(sweeps=4, tolerance=1e-9).fit(CAREFUL.mdp(), run=Run())
        best = optimum(CAREFUL.mdp())
        assert solution.v == pytest.approx(best.v, abs=1e-7)
        assert argmax_sets(best.q)[np.arange(25), solution.predict()].all()
        assert solution.trace.steps[-1] == solution.trace.iterations[-1] * 25 * (5 + 3)

    def test_errors(self):
        with pytest.raises(ValueError, match="sweeps must be at least 1, got 0"):
            TruncatedPolicyIteration(sweeps=0)
        with pytest.raises(ValueError, match="tolerance must be above 0"):
            TruncatedPolicyIteration(tolerance=-1)
        with pytest.raises(ValueError, match="ties must be 'keep', 'first' or 'last', got 'random'"):
            TruncatedPolicyIteration(ties="random")


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
