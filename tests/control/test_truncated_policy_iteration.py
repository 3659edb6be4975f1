import itertools
from itertools import islice

import numpy as np
import pytest
from control_worlds import CAREFUL, STAY, random_mdp

from assay.control.bellman_equation import policy_values
from assay.control.metrics import optimum
from assay.control.policy import argmax_sets
from assay.control.policy_iteration import policy_iterates
from assay.control.truncated_policy_iteration import TruncatedPolicyIteration, truncated_iterates
from assay.control.value_iteration import value_iterates
from assay.core.run import Run


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
