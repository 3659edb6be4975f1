import math

import numpy as np
import pytest
from estimation_worlds import Exact, Normal

from assay.data.table import ContractError
from assay.estimation.oracles import (
    Cubic,
    Function,
    Mean,
    Quantile,
    Tanh,
    function_oracle,
    mean_observation,
)
from assay.estimation.populations import Coin, Column, Square

COLUMN = Column(np.array([1.0, 2.0, 2.0, 7.0]))
ORACLES = [Mean(Coin()), Mean(Square()), Mean(COLUMN), Quantile(COLUMN, 0.5), Tanh(), Cubic()]


def start(oracle, runs, at=1.5):
    return np.full((runs, *oracle.shape), at)


@pytest.mark.parametrize("oracle", ORACLES, ids=repr)
def test_an_observation_is_like_w_with_noise_of_its_own_everywhere(oracle):
    w = start(oracle, 500)
    seen = oracle.observe(w, np.random.default_rng(0))
    assert seen.shape == w.shape
    assert len(np.unique(seen)) > 1
    assert (w == 1.5).all()
    assert np.array_equal(oracle.observe(w, np.random.default_rng(0)), seen)  # It can be had again.
    assert oracle.replayable


@pytest.mark.parametrize("oracle", ORACLES, ids=repr)
def test_several_observations_at_once_are_the_same_as_one_after_the_other(oracle):
    w = start(oracle, 6)
    one, many = np.random.default_rng(1), np.random.default_rng(1)
    singly = np.array([oracle.observe(w, one) for _ in range(5)])
    at_once = oracle.observe(np.broadcast_to(w, (5, *w.shape)), many)
    assert np.array_equal(singly, at_once)


def expected(oracle, w, count=200_000):
    seen = oracle.observe(np.full(count, w), np.random.default_rng(2))
    return seen.mean(), seen.std() / math.sqrt(count)


@pytest.mark.parametrize("w", [-3.0, 0.0, 1.5, 2.0, 6.9, 10.0])
def test_observations_have_the_right_mean(w):
    values = COLUMN.values
    for oracle, g in (
        (Mean(COLUMN), w - 3.0),
        (Quantile(COLUMN, 0.3, scale=2.0), 2.0 * (np.mean(values <= w) - 0.3)),
        (Tanh(), math.tanh(w - 1)),
        (Cubic(), w**3 - 5),
    ):
        mean, error = expected(oracle, w)
        assert abs(mean - g) <= 5 * error + 1e-12, oracle


def test_noise_can_be_turned_off():
    w = np.linspace(-2, 2, 5)
    assert np.array_equal(Tanh(noise=0).observe(w, np.random.default_rng(0)), np.tanh(w - 1))
    assert np.array_equal(Cubic(noise=0).observe(w, np.random.default_rng(0)), w**3 - 5)


def test_the_mean_of_observations_is_that_of_a_loop_in_any_blocks(monkeypatch):
    oracle, w = Mean(Normal()), np.arange(3.0)
    rng = np.random.default_rng(3)
    naive = sum(oracle.observe(w, rng) for _ in range(100)) / 100
    for block in (1, 7, 30, 2**20):
        monkeypatch.setattr("assay.estimation.oracles._BLOCK", block)
        found = mean_observation(oracle, w, 100, np.random.default_rng(3))
        assert found == pytest.approx(naive, rel=1e-12)


def test_a_batch_with_anything_unseen_is_unseen():
    oracle = Exact(lambda w: np.where(w > 1, np.nan, w))
    seen = mean_observation(oracle, np.array([0.0, 2.0]), 3, np.random.default_rng(0))
    assert seen[0] == 0
    assert np.isnan(seen[1])


# Functions


def vectorised(w, rng):
    return np.tanh(w - 1) + rng.normal(size=w.shape)


def shared_noise(w, rng):
    return np.tanh(w - 1) + rng.normal()


def scalar_only(w, rng):
    return math.tanh(w - 1) + rng.normal()


def branching(w, rng):
    return (1.0 if w > 0 else -1.0) + rng.normal()


def without_noise(w, rng):
    return w - 2.0


def own_noise(w):
    return w - 2.0


@pytest.mark.parametrize(
    ("function", "elementwise", "replayable"),
    [
        (vectorised, True, True),
        (shared_noise, False, True),  # One noise for all runs would make them one run.
        (scalar_only, False, True),
        (branching, False, True),
        (without_noise, True, True),
        (own_noise, True, False),
        (lambda w, rng=None: w, True, True),
        (lambda w, slope=2.0: slope * w, True, False),
        (lambda *given: given[0], True, True),
    ],
)
def test_how_a_function_is_called_is_found_out(function, elementwise, replayable):
    oracle = function_oracle(function, np.array(0.5))
    assert oracle.elementwise is elementwise
    assert oracle.replayable is replayable
    w = np.full((4, 300), 0.5)
    seen = oracle.observe(w, np.random.default_rng(0))
    assert seen.shape == w.shape
    if function not in (without_noise, own_noise) and function.__name__ != "<lambda>":
        assert len(np.unique(seen)) == seen.size


def test_a_function_of_a_vector_is_called_for_one_or_for_many():
    matrix = np.array([[2.0, 1.0], [0.0, 3.0]])

    def linear(w, rng):  # Only for one w: matrix @ w.
        return matrix @ w - 1 + rng.normal(size=2)

    def shifted(w, rng):
        return w - 1 + rng.normal(size=w.shape)

    for function, elementwise in ((linear, False), (shifted, True)):
        oracle = function_oracle(function, np.zeros(2))
        assert oracle.elementwise is elementwise
        assert oracle.observe(np.zeros((5, 7, 2)), np.random.default_rng(0)).shape == (5, 7, 2)
    far = function_oracle(linear, np.zeros(2)).observe(
        np.tile([1000.0, 2000.0], (50, 1)), np.random.default_rng(1)
    )
    assert far.mean(axis=0) == pytest.approx([3999, 5999], abs=1)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: 1.0, "it failed"),
        (lambda w, rng: "text", "it failed"),
        (lambda w, rng: [1.0, 2.0], "expected an observation of shape"),
        (lambda w, rng: 1 / 0, "division by zero"),
        (lambda w, rng: math.log(w), "it failed"),
        (lambda w, rng: math.nan, "expected finite numbers"),
        (lambda w, rng: None, "expected finite numbers|it failed"),
        (lambda w, rng: w.nothing, "it failed"),
    ],
)
def test_what_is_no_oracle_is_refused(function, words):
    with pytest.raises(ContractError, match=words):
        function_oracle(function, np.array(0.0))


def test_a_function_that_changes_its_shape_later_is_named():
    oracle = Function(lambda w, rng: w[:1] if len(w) > 1 else w, (), elementwise=True)
    with pytest.raises(ContractError, match=r"expected observations of shape \(3,\)"):
        oracle.observe(np.zeros(3), np.random.default_rng(0))
