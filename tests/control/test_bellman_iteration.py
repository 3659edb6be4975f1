from itertools import islice

import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, naive_q, random_mdp, random_policy

from assay.control.bellman_equation import BellmanEquation, policy_values
from assay.control.bellman_iteration import BellmanIteration, evaluation_iterates
from assay.core.budget import Budget
from assay.core.run import Run


def test_synchronous_and_in_place_sweeps_equal_their_loops():
    rng = np.random.default_rng(2)
    mdp = random_mdp(rng, 8, 2)
    policy = random_policy(rng, mdp)
    for sweep in ("synchronous", "in-place"):
        naive, iterates = np.zeros(8), evaluation_iterates(mdp.under(policy), np.zeros(8), sweep)
        for _ in range(4):
            old = naive.copy()
            for state in range(8):
                source = old if sweep == "synchronous" else naive
                naive[state] = sum(policy[state, a] * naive_q(mdp, source, state, a) for a in range(2))
            assert next(iterates) == pytest.approx(naive, abs=1e-12)


def test_error_falls_by_gamma_in_every_sweep():
    chain = BOOK.mdp().under(np.full((25, 5), 0.2))
    v = chain.values()
    first = np.abs(v).max()
    for sweep, swept in enumerate(islice(evaluation_iterates(chain, np.zeros(25)), 60), start=1):
        assert np.abs(swept - v).max() <= 0.9**sweep * first + 1e-12


def test_sweeps_of_always_right_to_a_true_error_of_one_thousandth():
    chain = BOOK.mdp().under(np.ones(25, int))
    v = chain.values()
    swept = islice(evaluation_iterates(chain, np.zeros(25)), 200)
    errors = [np.abs(iterate - v).max() for iterate in swept]
    assert 1 + next(i for i, error in enumerate(errors) if error < 1e-3) == 88


class TestMethods:
    def test_the_policy_is_greedy_for_the_values_of_the_one_evaluated(self):
        for method in (BellmanEquation(), BellmanIteration(tolerance=1e-12)):
            solution = method.fit(CAREFUL.mdp(), run=Run())
            assert solution.v == pytest.approx(policy_values(CAREFUL.mdp(), np.full((25, 5), 0.2)), abs=1e-10)
            assert solution.q == pytest.approx(CAREFUL.mdp().action_values(solution.v), abs=1e-12)
            chosen = solution.q[np.arange(25), solution.predict()]
            assert chosen == pytest.approx(solution.q.max(axis=1), abs=1e-9)

    def test_iteration_stops_at_its_tolerance_and_keeps_its_promise(self):
        exact = policy_values(CAREFUL.mdp(), np.full((25, 5), 0.2))
        for sweep in ("synchronous", "in-place"):
            solution = BellmanIteration(tolerance=1e-3, sweep=sweep).fit(CAREFUL.mdp(), run=Run())
            changes = np.abs(np.diff(solution.trace.v, axis=0)).max(axis=1)
            assert changes[-1] <= 1e-3 < changes[-2]
            assert np.abs(solution.v - exact).max() <= 0.9 / 0.1 * 1e-3

    def test_in_place_needs_fewer_sweeps_here(self):
        counts = {
            sweep: BellmanIteration(sweep=sweep).fit(CAREFUL.mdp(), run=Run()).trace.iterations[-1]
            for sweep in ("synchronous", "in-place")
        }
        assert counts["in-place"] < counts["synchronous"]

    def test_steps_are_pairs_read(self):
        mdp = BOOK.mdp()
        assert BellmanEquation().fit(mdp, run=Run()).trace.steps[-1] == 250
        assert BellmanEquation(policy=4).fit(mdp, run=Run()).trace.steps[-1] == 25 + 125
        trace = BellmanIteration(policy=4).fit(mdp, run=Run(budget=Budget(500, "steps"))).trace
        assert trace.steps[-1] == 15 * 25 + 125  # Fifteen sweeps of 25 states, and one look at all pairs.

    @pytest.mark.parametrize(
        ("build", "words"),
        [
            (lambda: BellmanIteration(tolerance=0), "tolerance must be above 0"),
            (lambda: BellmanIteration(sweep="sideways"), "sweep must be 'synchronous' or 'in-place'"),
        ],
    )
    def test_errors(self, build, words):
        with pytest.raises(ValueError, match=words):
            build()
