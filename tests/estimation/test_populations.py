import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.estimation.populations import Coin, Column, Square

VALUES = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
POPULATIONS = [Coin(), Square(), Column(VALUES), Column(VALUES, "shuffled"), Column(VALUES, "given")]


def drawn(population, parts, runs, seed=0):
    """Samples drawn in parts of the given sizes."""
    rng = np.random.default_rng(seed)
    reader = population.begin(sum(parts), runs, rng)
    return np.concatenate([reader.draw(count, runs, rng) for count in parts])


@pytest.mark.parametrize("population", POPULATIONS, ids=repr)
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 4))
def test_how_many_are_drawn_at_a_time_makes_no_difference(population, parts, runs):
    whole = drawn(population, [sum(parts)], runs)
    assert whole.shape == (sum(parts), runs, *population.shape)
    assert np.array_equal(drawn(population, parts, runs), whole)


def test_coin_and_square_have_the_moments_they_claim():
    flips = drawn(Coin(), [1000], 400)
    assert set(np.unique(flips)) == {-1.0, 1.0}
    assert abs(flips.mean()) < 4 / math.sqrt(flips.size)
    points = drawn(Square(), [1000], 200)
    assert np.abs(points).max() <= 10
    assert np.abs(points.mean(axis=(0, 1))).max() < 4 * math.sqrt(33.33 / 200_000)
    assert points.var(axis=(0, 1)) == pytest.approx([33.333, 33.333], rel=0.02)


def test_rows_are_drawn_independently_and_alike():
    rows = drawn(Column(np.arange(7.0)), [3000], 10)
    counts = np.bincount(rows.astype(int).ravel(), minlength=7)
    assert ((counts - 30_000 / 7) ** 2 / (30_000 / 7)).sum() < 22.5  # Chi-square of 6, one in a thousand.
    assert any(len(set(rows[:7, run])) < 7 for run in range(10))  # With putting back.


def test_shuffled_rows_all_come_once_before_any_comes_again():
    rows = drawn(Column(np.arange(7.0), "shuffled"), [18], 5)
    for run in range(5):
        for epoch in (rows[:7, run], rows[7:14, run]):
            assert sorted(epoch) == list(range(7))
        assert len(set(rows[14:, run])) == 4
    assert not np.array_equal(rows[:7, 0], rows[:7, 1])
    assert not np.array_equal(rows[:7, 0], rows[7:14, 0])


def test_given_rows_come_as_they_stand_and_begin_anew_for_every_fit():
    column = Column(VALUES, "given")
    for _ in range(2):
        rows = drawn(column, [3, 6], 2)
        assert rows[:, 0].tolist() == [*VALUES, *VALUES[:2]]
        assert np.array_equal(rows[:, 0], rows[:, 1])


def test_mean_deviation_and_quantiles_are_of_the_whole_population():
    column = Column(VALUES)
    assert column.mean() == np.mean(VALUES)
    assert column.deviation() == pytest.approx(np.std(VALUES), rel=1e-15)
    for q in (0.01, 0.3, 0.5, 0.9, 0.999):
        w = column.quantile(q)
        assert w in VALUES
        assert np.mean(w >= VALUES) >= q > np.mean(w > VALUES)


def test_the_mean_is_correctly_rounded():
    assert Column(np.array([1e16, 1.0, -1e16, 1.0])).mean() == 0.5


def test_the_density_is_that_of_a_smooth_population():
    rng = np.random.default_rng(0)
    column = Column(rng.standard_normal(200_000))
    for q, density in ((0.1, 0.17549833), (0.5, 0.39894228), (0.9, 0.17549833)):
        assert column.density(q) == pytest.approx(density, rel=0.03)
    assert Column(np.array([1.0] * 99 + [2.0])).density(0.5) == math.inf
