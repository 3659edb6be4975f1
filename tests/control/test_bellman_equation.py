from itertools import islice

import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, CAUTIOUS, naive_q, random_mdp, random_policy
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.control.bellman_equation import BellmanEquation, policy_values
from assay.control.bellman_iteration import evaluation_iterates
from assay.control.grid_world import GridWorld
from assay.core.run import Run


@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from([0.0, 0.5, 0.9]))
@settings(max_examples=12, deadline=None)
def test_closed_form_solves_the_equation_and_iteration_arrives_there(seed, num_states, gamma):
    rng = np.random.default_rng(seed)
    mdp = random_mdp(rng, num_states, 3, gamma)
    policy = random_policy(rng, mdp)
    v = policy_values(mdp, policy)
    for state in range(num_states):  # v = sum of pi q, by a loop.
        total = sum(policy[state, a] * naive_q(mdp, v, state, a) for a in range(3))
        assert v[state] == pytest.approx(total, abs=1e-10)
    sweeps = 1 if gamma == 0 else int(np.ceil(np.log(1e-12) / np.log(gamma)))
    for sweep in ("synchronous", "in-place"):
        *_, last = islice(evaluation_iterates(mdp.under(policy), np.zeros(num_states), sweep), sweeps)
        assert last == pytest.approx(v, abs=1e-9)


def test_the_target_stays_worth_its_rewards_for_ever():
    v = policy_values(BOOK.mdp(), BOOK.policy(CAUTIOUS))
    assert v[BOOK.state(BOOK.target)] == pytest.approx(1 / (1 - 0.9), abs=1e-10)


def test_gymnasiums_table_through_the_same_solver():
    gymnasium = pytest.importorskip("gymnasium")
    from assay.control.sources import read_mdp

    table = gymnasium.make("FrozenLake-v1").unwrapped.P
    v = policy_values(read_mdp("FrozenLake-v1", gamma=0.95), np.full((16, 4), 0.25))
    swept = np.zeros(16)
    for _ in range(600):
        swept = np.array([
            sum(0.25 * p * (r + 0.95 * (not t) * swept[n]) for a in range(4) for p, n, r, t in table[s][a])
            for s in range(16)
        ])  # fmt: skip
    assert v == pytest.approx(swept, abs=1e-10)


@pytest.mark.parametrize("side", [5, 12])
def test_dense_and_sparse_solutions(side):
    mdp = GridWorld(shape=(side, side), forbidden=((2, 2),), target=(side, side), start=None).mdp()
    policy = random_policy(np.random.default_rng(side), mdp)
    chain = mdp.under(policy)
    assert chain.values() == pytest.approx(chain.backup(chain.values()), abs=1e-10)


def test_one_improvement_is_an_improvement():
    mdp = CAREFUL.mdp()
    for policy in (None, 0, tuple([4] * 25), tuple(CAREFUL.policy(CAUTIOUS).tolist())):
        solution = BellmanEquation(policy=policy).fit(mdp, run=Run())
        assert (policy_values(mdp, solution.predict()) >= solution.v - 1e-9).all()


def test_the_policy_to_evaluate_is_checked():
    with pytest.raises(ValueError, match="actions from 0 to 4, got 5"):
        BellmanEquation(policy=5).fit(BOOK.mdp(), run=Run())
    with pytest.raises(ValueError, match="each of 25 states, got 1"):
        BellmanEquation(policy=(0,)).fit(BOOK.mdp(), run=Run())
