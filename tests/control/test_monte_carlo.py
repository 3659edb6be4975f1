"""What all Monte Carlo methods have in common: their budgets."""

import numpy as np
import pytest
from control_worlds import EPISODIC

from assay.control.mc_basic import MCBasic
from assay.control.mc_epsilon_greedy import MCEpsilonGreedy
from assay.control.mc_exploring_starts import MCExploringStarts
from assay.core.budget import Budget
from assay.core.run import Run


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
