import itertools

import numpy as np
import pytest
from control_worlds import BOOK, CAUTIOUS, check_updates

from assay.control.episodes import Walker
from assay.control.metrics import optimum, state_value_rmse
from assay.control.policy import argmax_sets
from assay.control.q_learning_off_policy import QLearningOffPolicy
from assay.core.run import Run

RMSE_RANGES = {
    0: {1000: (7.60, 7.82), 10_000: (3.95, 4.96), 20_000: (1.91, 2.39), 50_000: (0.139, 0.266)},
    10: {1000: (2.17, 2.25), 10_000: (0.042, 0.063), 20_000: (0, 0.002), 50_000: (0, 0.001)},
    100: {1000: (87.2, 87.9), 10_000: (48.0, 49.9), 20_000: (23.1, 26.1), 50_000: (1.89, 2.62)},
}
RMSE_RANGES[0] |= {100_000: (0.003, 0.006)}
RMSE_RANGES[10] |= {100_000: (0, 0.001)}
RMSE_RANGES[100] |= {100_000: (0.027, 0.063)}


def test_off_policy_q_learning():
    check_updates(QLearningOffPolicy(alpha=0.3, initial_q=1.0), lambda row, _: row.max())


class TestQLearningFigures:
    """One episode of a uniformly random behaviour, alpha = 0.1, five seeds: Figure 7.4."""

    @pytest.mark.parametrize("initial_q", RMSE_RANGES)
    def test_errors_fall_from_any_start(self, initial_q):
        mdp, ranges = BOOK.mdp(), RMSE_RANGES[initial_q]
        best = optimum(mdp)
        method = QLearningOffPolicy(initial_q=initial_q)
        errors = {steps: [] for steps in ranges}
        for seed in range(5):
            walker = Walker(mdp, np.random.default_rng(seed))
            q = [[float(initial_q)] * 5 for _ in range(25)]
            episode = method.episode(q, walker, method.behaviour(q, walker), 0.9)
            for steps, _ in enumerate(itertools.islice(episode, 100_000), start=1):
                if steps in errors:
                    errors[steps].append(state_value_rmse(best, np.array(q)))
            assert argmax_sets(best.q)[np.arange(25), np.argmax(q, axis=1)].all()
        for steps, (low, high) in ranges.items():
            # The ranges are of five other seeds: the median must lie within, give or take their width.
            width = max(high - low, 0.3 * high)
            assert low - width <= np.median(errors[steps]) <= high + width
            assert min(errors[steps]) <= high
            assert max(errors[steps]) >= low

    @pytest.mark.parametrize(("epsilon", "low", "high"), [(0.5, 0.0, 0.02), (0.1, 3.0, 3.6)])
    def test_weak_exploration_stalls_it(self, epsilon, low, high):
        mdp = BOOK.mdp()
        best = optimum(mdp)
        behaviour = tuple(BOOK.policy(CAUTIOUS).tolist())
        for seed in range(3):
            method = QLearningOffPolicy(epsilon=epsilon, behaviour_policy=behaviour)
            solution = method.fit(mdp, run=Run(seed=seed))
            assert low <= state_value_rmse(best, solution.q) <= high
            optimal = argmax_sets(best.q)[np.arange(25), solution.predict()].all()
            assert optimal == (epsilon == 0.5)
