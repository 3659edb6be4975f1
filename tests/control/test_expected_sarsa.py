import numpy as np
import pytest
from control_worlds import check_updates

from assay.control.expected_sarsa import ExpectedSarsa
from assay.control.policy import soft


def test_expected_sarsa():
    check_updates(
        ExpectedSarsa(alpha=0.3, epsilon=0.4, initial_q=1.0),
        lambda row, _: sum((0.4 / 3 + 0.6 * (a == row.argmax())) * row[a] for a in range(3)),
    )


def test_expected_sarsas_target_is_the_mean_of_sarsas():
    row, epsilon = np.array([1.0, 5.0, 2.0]), 0.3
    policy = soft(np.array([1]), 3, epsilon)[0]
    draws = np.random.default_rng(0).choice(row, p=policy, size=100_000)
    assert epsilon * row.mean() + (1 - epsilon) * row.max() == pytest.approx(policy @ row, abs=1e-12)
    assert draws.mean() == pytest.approx(policy @ row, abs=0.02)
