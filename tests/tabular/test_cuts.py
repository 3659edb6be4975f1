"""Distinct values, exact weights, cuts of equal mass and thresholds against their definitions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.tabular.cuts import ValueCounts, equal_mass, exact_weights, midpoints

WEIGHTS = st.lists(st.floats(0, 1e9, allow_subnormal=False), min_size=1, max_size=60).map(np.array)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def counted(rows: np.ndarray) -> ValueCounts:
    values, counts = np.unique(rows, return_counts=True)
    return ValueCounts(values, counts.astype(float))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), max_size=20), st.lists(st.integers(-5, 5), max_size=20))
def test_merging_parts_counts_the_whole_in_either_order(a, b):
    first, second = counted(np.array(a, float)), counted(np.array(b, float))
    whole = counted(np.array(a + b, float))
    for merged in (first.merge(second), second.merge(first)):
        np.testing.assert_array_equal(merged.values, whole.values)
        np.testing.assert_array_equal(merged.weights, whole.weights)


@settings(max_examples=50, deadline=None)
@given(WEIGHTS, st.integers(0, 2**32 - 1))
def test_exact_weights_add_up_the_same_in_any_order(weights, seed):
    exact = exact_weights(weights)
    truth = sum(map(Fraction, exact.tolist()), Fraction(0))
    shuffled = np.random.default_rng(seed).permutation(exact)
    assert Fraction(float(np.cumsum(exact)[-1])) == truth
    assert Fraction(float(np.cumsum(shuffled)[-1])) == truth


@settings(max_examples=50, deadline=None)
@given(WEIGHTS)
def test_exact_weights_add_little_and_keep_zero(weights):
    added = exact_weights(weights) - weights
    assert (added >= 0).all()
    assert (added <= weights.max() * len(weights) * 2.0**-50).all()
    assert (added[weights == 0] == 0).all()


def test_exact_weights_keep_whole_numbers():
    whole = np.random.default_rng(0).integers(0, 1000, 500).astype(float)
    np.testing.assert_array_equal(exact_weights(whole), whole)


@pytest.mark.parametrize("max_bins", [None, 3, 4])
def test_few_values_have_a_bin_each(max_bins):
    np.testing.assert_array_equal(equal_mass(np.array([5.0, 1.0, 9.0]), max_bins), [0, 1, 2])


def test_a_column_without_values_has_one_bin():
    np.testing.assert_array_equal(equal_mass(np.empty(0), 8), [0])


def test_equal_weights_are_cut_in_equal_runs():
    np.testing.assert_array_equal(equal_mass(np.ones(12), 4), [0, 3, 6, 9])


def test_a_heavy_value_stands_alone_and_the_rest_shares_what_is_left():
    weights = np.array([1.0, 1, 1, 1, 100, 1, 1, 1, 1])
    np.testing.assert_array_equal(equal_mass(weights, 3), [0, 4, 5])
    np.testing.assert_array_equal(equal_mass(weights, 5), [0, 2, 4, 5, 7])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=80), st.integers(1, 12))
def test_cuts_are_ascending_start_at_zero_and_fit_the_bins(weights, max_bins):
    starts = equal_mass(np.array(weights, float), max_bins)
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert starts[-1] < len(weights)
    assert len(starts) <= max_bins


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=2, max_size=60), st.integers(2, 10), st.integers(-20, 20))
def test_cuts_do_not_depend_on_the_unit_of_the_weights(weights, max_bins, power):
    weights = np.array(weights, float)
    scaled = equal_mass(weights * 2.0**power, max_bins)
    np.testing.assert_array_equal(scaled, equal_mass(weights, max_bins))


@settings(max_examples=200, deadline=None)
@given(FINITE, FINITE)
def test_a_threshold_has_the_lower_value_left_and_the_upper_right(a, b):
    below, above = min(a, b), max(a, b)
    if below < above:
        threshold = float(midpoints(np.array([below]), np.array([above]))[0])
        assert below <= threshold < above


def test_midpoints_of_adjacent_and_of_huge_numbers():
    top = np.finfo(float).max
    below, above = np.array([1.0, 1.0, -top, top / 2]), np.array([2.0, np.nextafter(1.0, 2), top, top])
    np.testing.assert_array_equal(midpoints(below, above), [1.5, 1.0, 0.0, 0.75 * top])
