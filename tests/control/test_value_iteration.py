from itertools import islice

import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, SMALL, linear_programme, naive_action_values, random_mdp
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.control.bellman_iteration import BellmanIteration
from assay.control.grid_world import GridWorld
from assay.control.mdp import MDP
from assay.control.metrics import optimum
from assay.control.truncated_policy_iteration import TruncatedPolicyIteration
from assay.control.value_iteration import ValueIteration, value_iterates
from assay.core.budget import Budget
from assay.core.run import Run


@given(st.integers(0, 10**6), st.integers(1, 7))
@settings(max_examples=15, deadline=None)
def test_equals_a_loop_over_states_sweep_by_sweep(seed, num_states):
    mdp = random_mdp(np.random.default_rng(seed), num_states, 3)
    naive = np.zeros(num_states)
    for swept in islice(value_iterates(mdp, naive), 5):
        naive = naive_action_values(mdp, naive).max(axis=1)
        assert swept == pytest.approx(naive, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_arrives_where_a_linear_programme_does(seed):
    mdp = random_mdp(np.random.default_rng(seed), 12, 4)
    solution = ValueIteration(tolerance=1e-13).fit(mdp, run=Run())
    assert solution.v == pytest.approx(linear_programme(mdp), abs=1e-9)
    assert solution.v == pytest.approx(optimum(mdp).v, abs=1e-10)


@pytest.mark.parametrize(
    ("gamma", "tolerance", "sweeps"),
    [(0.9, 1e-3, 67), (0.9, 1e-6, 133), (0.5, 1e-3, 11), (0.5, 1e-6, 21), (0.0, 1e-3, 2), (0.0, 1e-6, 2)],
)
@pytest.mark.parametrize("r_forbidden", [-1, -10])
def test_sweeps_to_a_tolerance(gamma, tolerance, sweeps, r_forbidden):
    mdp = GridWorld(gamma=gamma, r_forbidden=r_forbidden).mdp()
    trace = ValueIteration(tolerance=tolerance).fit(mdp, run=Run()).trace
    assert trace.iterations[-1] == sweeps
    assert trace.steps[-1] == 125 * sweeps


@given(st.integers(0, 10**6), st.floats(0.01, 1.0))
@settings(max_examples=15, deadline=None)
def test_true_error_is_bounded_by_the_last_change(seed, tolerance):
    mdp = random_mdp(np.random.default_rng(seed), 6, 3)
    solution = ValueIteration(tolerance=tolerance).fit(mdp, run=Run())
    true = np.abs(solution.v - optimum(mdp).v).max()
    assert true <= 0.9 / 0.1 * tolerance + 1e-9


def test_a_loose_change_is_not_the_error():
    solution = ValueIteration(tolerance=1e-3).fit(BOOK.mdp(), run=Run())
    assert np.abs(solution.v - optimum(BOOK.mdp()).v).max() > 5e-3


def test_convergence_stays_below_the_bound_of_a_contraction():
    best = optimum(CAREFUL.mdp()).v
    for sweep, v in enumerate(islice(value_iterates(CAREFUL.mdp(), np.zeros(25)), 80), start=1):
        assert np.abs(v - best).max() <= 0.9**sweep * np.abs(best).max() + 1e-12


def test_rewards_that_depend_on_the_next_state_are_averaged_within_an_action_only():
    # Action 0: half a chance of 10; action 1: surely 4. Averaged over actions nothing would be preferred.
    mdp = MDP.of_transitions(
        [0, 0, 0, 1, 1],
        [0, 0, 1, 0, 1],
        [0, 1, 0, 1, 1],
        [0.5, 0.5, 1.0, 1.0, 1.0],
        [0.0, 10.0, 4.0, 0.0, 0.0],
        [False] * 5,
        num_states=2,
        num_actions=2,
        gamma=0.5,
        start=[1, 0],
    )
    solution = ValueIteration(tolerance=1e-13).fit(mdp, run=Run())
    assert solution.v[0] == pytest.approx(4 / (1 - 0.5))
    assert solution.q[0] == pytest.approx([5 + 0.25 * 8, 8])
    assert solution.predict()[0] == 1


def test_the_target_is_not_terminal_unless_it_is_said_to_be():
    assert optimum(SMALL.mdp()).v[3] == pytest.approx(10)
    ended = GridWorld(shape=(2, 2), forbidden=((1, 2),), target=(2, 2), target_terminal=True)
    assert optimum(ended.mdp()).v.tolist() == pytest.approx([0.9, 1, 1, 0])


def test_values_and_policy_belong_together():
    solution = ValueIteration(tolerance=0.5).fit(CAREFUL.mdp(), run=Run())
    assert np.array_equal(solution.v, solution.q.max(axis=1))
    assert np.array_equal(solution.trace.v[-1], solution.v)
    assert np.array_equal(solution.trace.actions[-1], solution.predict())


def test_budget_in_steps_is_kept(tmp_path):
    said = []
    run = Run(budget=Budget(1000, "steps"), folder=tmp_path, progress=lambda done, text: said.append(done))
    solution = ValueIteration().fit(CAREFUL.mdp(), run=run)
    run.close()
    assert solution.trace.steps[-1] == 1000  # Eight sweeps of 125 pairs.
    assert solution.v == pytest.approx(next(islice(value_iterates(CAREFUL.mdp(), np.zeros(25)), 7, None)))
    assert said[-1] == 1
    assert (tmp_path / "log.jsonl").read_text().count("change") == 8


def test_errors():
    with pytest.raises(ValueError, match="tolerance must be above 0, got 0"):
        ValueIteration(tolerance=0)
    with pytest.raises(ValueError, match="got nan"):
        ValueIteration(tolerance=float("nan"))


@pytest.mark.parametrize("method", [ValueIteration(), TruncatedPolicyIteration(), BellmanIteration()])
def test_rewards_so_large_that_no_change_is_within_the_tolerance(method):
    world = GridWorld(r_target=1e12, r_boundary=-1e12, r_forbidden=-1e12)
    solution = method.fit(world.mdp(), run=Run())
    assert solution.trace.iterations[-1] < 1000
    if not isinstance(method, BellmanIteration):
        assert solution.v == pytest.approx(optimum(world.mdp()).v, rel=1e-12)
