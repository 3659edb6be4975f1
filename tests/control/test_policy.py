import numpy as np
import pytest

from assay.control.policy import argmax_sets, check_fraction, greedy, initial_actions, soft

Q = np.array([[1.0, 2.0, 2.0], [3.0, 0.0, 3.0 - 1e-13], [0.0, -1.0, -2.0], [-np.inf, -5.0, -np.inf]])


def test_argmax_sets_hold_all_ties_and_no_others():
    expected = [[0, 1, 1], [1, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert np.array_equal(argmax_sets(Q), np.array(expected, bool))
    assert argmax_sets(np.full((2, 3), -np.inf)).all()  # Of what is unknown, everything is best.
    assert np.array_equal(argmax_sets(np.array([[1.0, 1.0 + 1e-6]])), [[False, True]])


def test_ties():
    assert greedy(Q).tolist() == [1, 0, 0, 1]
    assert greedy(Q, ties="last").tolist() == [2, 2, 0, 1]
    assert greedy(Q, ties="keep", current=np.array([2, 1, 2, 0])).tolist() == [2, 0, 0, 1]
    assert greedy(Q, ties="keep").tolist() == [1, 0, 0, 1]
    rng = np.random.default_rng(0)
    drawn = np.array([greedy(Q, ties="random", rng=rng) for _ in range(400)])
    assert set(drawn[:, 0]) == {1, 2}
    assert abs((drawn[:, 0] == 1).mean() - 0.5) < 0.1
    assert set(drawn[:, 2]) == {0}


def test_soft_policies_give_the_greedy_action_its_share_of_epsilon():
    policy = soft(np.array([2, 0]), 5, 0.5)
    assert policy[0].tolist() == pytest.approx([0.1, 0.1, 0.6, 0.1, 0.1])
    assert policy.sum(axis=1) == pytest.approx(np.ones(2), abs=1e-15)
    assert soft(np.array([1]), 4, 1.0).tolist() == [[0.25] * 4]
    assert soft(np.array([1]), 3, 0.0).tolist() == [[0, 1, 0]]


def test_initial_actions():
    assert initial_actions(2, 3, 4).tolist() == [2, 2, 2]
    assert initial_actions((0, 1, 2), 3, 4).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="expected an action for each of 3 states, got 2"):
        initial_actions((0, 1), 3, 4)
    with pytest.raises(ValueError, match="expected actions from 0 to 3, got 4"):
        initial_actions((0, 1, 4), 3, 4)
    with pytest.raises(ValueError, match="got -1"):
        initial_actions(-1, 3, 4)


def test_fractions():
    for value in (0, 0.5, 1):
        check_fraction("epsilon", value)
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"epsilon must be in \[0, 1\]"):
            check_fraction("epsilon", value)
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\], got 0"):
        check_fraction("alpha", 0, zero=False)
