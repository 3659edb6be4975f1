"""Targets as integers: exact where they can be, never overflowing, and compiled as in NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.tabular import fixed_point, kernel
from assay.tabular import fixed_point_passes as passes
from assay.tabular.fixed_point import (
    PACKED_GRADIENT,
    PACKED_HESSIAN,
    WIDE,
    Statistics,
    classes,
    newton,
    power,
)

FORMATS = [PACKED_GRADIENT, PACKED_HESSIAN, WIDE]
numbers = st.floats(-fixed_point.LARGEST, fixed_point.LARGEST)


def all_rows(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32)


def values_of(statistics: Statistics) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and hessian of the rows that count, as numbers again."""
    rows = statistics.rows
    if statistics.layout == "packed":
        g, h = statistics.first[rows] >> 16, statistics.first[rows] & 0xFFFF
    else:
        assert statistics.second is not None
        g, h = statistics.first[rows], statistics.second[rows]
    return g * statistics.units[0], h * statistics.units[1]


@settings(max_examples=100, deadline=None)
@given(values=st.lists(numbers, min_size=1, max_size=30), largest=st.sampled_from(FORMATS))
def test_no_row_and_no_sum_of_rows_overflows(values, largest):
    v = np.array(values)
    k = power(v, all_rows(len(v)), fixed_point.measured(v, None), largest)
    units = [abs(round(float(np.ldexp(x, k)))) for x in v]
    assert max(units) <= largest[0]
    assert sum(units) + len(v) / 2 <= largest[1]


@pytest.mark.parametrize("largest", FORMATS)
def test_the_scale_is_the_greatest_that_fits(largest):
    rng = np.random.default_rng(0)
    for spread in (1e-250, 1e-3, 1.0, 1e9, 1e250):
        v = rng.normal(size=200) * spread
        k = power(v, all_rows(200), fixed_point.measured(v, None), largest)
        doubled = np.rint(np.abs(np.ldexp(v, k + 1)))
        assert (
            abs(k) == fixed_point.MAX_POWER or doubled.max() > largest[0] or 2.01 * doubled.sum() > largest[1]
        )


def test_the_scale_does_not_depend_on_the_order_of_the_rows():
    rng = np.random.default_rng(1)
    for _ in range(20):
        v = np.exp(rng.normal(0, 20, 100_000))
        w = rng.permutation(v)
        rows = all_rows(len(v))
        for largest in FORMATS:
            first, second = (power(x, rows, fixed_point.measured(x, None), largest) for x in (v, w))
            assert first == second


@pytest.mark.parametrize("count", [False, True])
def test_small_whole_numbers_are_exact(count):
    rng = np.random.default_rng(0)
    weights, labels = rng.integers(0, 9, 1000).astype(float), rng.integers(0, 2, 1000)
    statistics = newton(-weights * labels, weights, None, wide=False, count=count)
    assert statistics.layout == ("wide" if count else "packed")
    assert statistics.units == (1.0, 1.0)
    assert statistics.is_exact
    g, h = values_of(statistics)
    np.testing.assert_array_equal(g, (-weights * labels)[weights > 0])
    np.testing.assert_array_equal(h, weights[weights > 0])
    np.testing.assert_array_equal(statistics.rows, np.flatnonzero(weights))


def test_long_numbers_are_finer_than_sums_of_doubles():
    rng = np.random.default_rng(0)
    g, h = rng.normal(size=5000), rng.random(5000)
    statistics = newton(g, h, None, wide=True, count=False)
    for values, rounded in zip((g, h), values_of(statistics), strict=True):
        assert np.abs(values - rounded).sum() < 1e-14 * np.abs(values).sum()


def test_short_numbers_round_to_one_part_in_thousands():
    rng = np.random.default_rng(0)
    g, h = rng.normal(size=50_000), rng.random(50_000)
    statistics = newton(g, h, None, wide=False, count=False)
    assert statistics.layout == "packed"
    rounded_g, rounded_h = values_of(statistics)
    assert np.abs(g - rounded_g).max() < np.abs(g).max() / 2**13
    assert np.abs(h - rounded_h).max() < h.max() / 2**14
    assert (rounded_h > 0).all()


def test_what_short_numbers_would_blur_is_long():
    g = np.full(1000, 1e-4)
    g[0] = 1.0  # beside it the others have three units each
    assert newton(g, np.ones(1000), None, wide=False, count=False).layout == "wide"
    h = np.ones(1000)
    h[3] = 0.0  # a row without hessian could leave a cell zero
    assert newton(np.ones(1000), h, None, wide=False, count=False).layout == "wide"


def test_no_hessian_counts_rows():
    statistics = newton(np.linspace(-1, 1, 50), None, None, wide=False, count=True)
    assert statistics.layout == "packed"
    np.testing.assert_array_equal(values_of(statistics)[1], np.ones(50))


def test_only_chosen_rows_set_the_scale():
    g, h = np.array([1e300, 1.0, -2.0, 0.0]), np.array([1.0, 1.0, 2.0, 0.0])
    statistics = newton(g, h, np.array([1, 2, 3], np.int32), wide=False, count=False)
    assert statistics.rows.tolist() == [1, 2]
    np.testing.assert_array_equal(values_of(statistics)[0], [1.0, -2.0])


def test_two_classes_share_one_unit():
    labels, weights = np.array([0, 1, 1, 0], np.int32), np.array([0.3, 0.7, 0.1, 0.0])
    statistics = classes(labels, 2, weights, "gini", None, wide=True, count=False)
    assert statistics.layout == "wide"
    assert statistics.units[0] == statistics.units[1]
    g, h = values_of(statistics)
    np.testing.assert_allclose(g, [0, 0.7, 0.1], rtol=1e-15)
    np.testing.assert_allclose(h, [0.3, 0.7, 0.1], rtol=1e-15)
    ones = classes(labels, 2, None, "entropy", None, wide=True, count=True)
    assert ones.layout == "packed"
    assert not ones.counted
    np.testing.assert_array_equal(values_of(ones)[0], labels)


def test_more_classes_keep_labels_and_whole_weights():
    labels, weights = np.array([0, 2, 1], np.int32), np.array([3.0, 0.0, 5.0])
    statistics = classes(labels, 3, weights, "gini", None, wide=True, count=True)
    assert (statistics.layout, statistics.counted) == ("classes", True)
    assert statistics.rows.tolist() == [0, 2]
    assert statistics.second is not None
    assert statistics.second[[0, 2]].tolist() == [3, 5]
    assert not classes(labels, 3, None, "gini", None, wide=True, count=True).counted


@pytest.mark.parametrize(
    ("gradient", "hessian", "message"),
    [
        ([0, np.inf], [1, 1], "gradient must be finite and at most 1e.270 in magnitude, got inf in row 1"),
        ([0, 1], [np.nan, 1], "hessian must be finite and at most 1e.270 in magnitude, got nan in row 0"),
        ([1e280, 1], [1, 2], "gradient must be finite and at most 1e.270 in magnitude, got 1e.280 in row 0"),
        ([0, 1], [1, -2], "hessian must not be negative, got -2.0 in row 1"),
    ],
)
def test_bad_numbers_are_named(gradient, hessian, message):
    with pytest.raises(ValueError, match=message):
        newton(np.array(gradient, float), np.array(hessian, float), None, wide=False, count=False)
    # Rows that were not chosen are not looked at.
    good = np.flatnonzero((np.abs(gradient) < 2) & (np.nan_to_num(hessian, nan=-1) >= 0)).astype(np.int32)
    newton(np.array(gradient, float), np.array(hessian, float), good, wide=False, count=False)


def test_minus_zero_is_not_negative():
    statistics = newton(np.ones(2), np.array([-0.0, 1.0]), None, wide=True, count=False)
    np.testing.assert_array_equal(values_of(statistics)[1], [0.0, 1.0])


@pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.0, 1.0, 20.0, 100.0]),
    whole=st.booleans(),
    wide=st.booleans(),
    chosen=st.booleans(),
)
def test_compiled_and_numpy_round_alike(seed, spread, whole, wide, chosen):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 7, 40, 70_000]))
    g, h = rng.normal(size=n) * np.exp(rng.normal(0, spread, n)), np.exp(rng.normal(0, spread, n))
    h[rng.random(n) < 0.1] = 0
    if whole:
        g, h = np.rint(np.clip(g, -99, 99)), np.rint(np.clip(h, 0, 99))
    rows = np.sort(rng.permutation(n)[: rng.integers(1, n + 1)]).astype(np.int32) if chosen else None
    found = newton(g, h, rows, wide=wide, count=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "_compiled", lambda: None)
        twin = newton(g, h, rows, wide=wide, count=False)
    assert (found.layout, found.units, found.is_exact) == (twin.layout, twin.units, twin.is_exact)
    np.testing.assert_array_equal(found.rows, twin.rows)
    for a, b in zip(values_of(found), values_of(twin), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.5, 20.0]),
    kind=st.sampled_from(["none", "whole", "halves", "any"]),
    wide=st.booleans(),
    count=st.booleans(),
    chosen=st.booleans(),
)
def test_compiled_and_numpy_classes_are_alike(seed, spread, kind, wide, count, chosen):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 7, 40, 70_000]))
    labels, weights = rng.integers(0, 2, n).astype(np.int32), np.exp(rng.normal(0, spread, n))
    if kind != "any":
        weights = np.rint(np.clip(weights, 0, 99)) * (0.5 if kind == "halves" else 1)
        weights[0] = 1
    rows = np.sort(rng.permutation(n)[: rng.integers(1, n + 1)]).astype(np.int32) if chosen else None
    arguments = (labels, 2, None if kind == "none" else weights, "gini", rows)
    found = classes(*arguments, wide=wide, count=count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "_compiled", lambda: None)
        twin = classes(*arguments, wide=wide, count=count)
    assert (found.layout, found.units, found.is_exact) == (twin.layout, twin.units, twin.is_exact)
    if kind != "any":
        assert found.layout == ("wide" if count and kind != "none" else "packed")
    elif wide or count:
        assert found.layout == "wide"
    np.testing.assert_array_equal(found.rows, twin.rows)
    for a, b in zip(values_of(found), values_of(twin), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [20_000, 200_000])
def test_uneven_weights_of_two_classes_are_packed_only_where_they_lose_little(n):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n).astype(np.int32)
    for spread, layout in ((1.0, "packed"), (20.0, "wide")):
        weights = np.exp(rng.normal(0, spread, n)) / n
        weights[0], weights[1] = 0.0, weights[2] * 1e-9
        statistics = classes(labels, 2, weights, "gini", None, wide=False, count=False)
        assert statistics.layout == layout
        second, both = values_of(statistics)
        np.testing.assert_array_equal(second, both * labels[1:])
        assert (both > 0).all()
        if layout == "packed":
            assert np.abs(both - weights[1:]).max() <= statistics.units[0]
            assert not statistics.is_exact
        assert classes(labels, 2, weights, "gini", None, wide=True, count=False).layout == "wide"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.0, 1.0, 4.0]))
def test_sums_of_all_rows_are_right_and_alike_in_any_order(seed, spread):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 7, 40, 3000]))
    v = rng.normal(size=n) * np.exp(rng.normal(0, spread, n))
    magnitudes, squares = fixed_point.sum_of_magnitudes(v), fixed_point.sum_of_squares(v)
    assert magnitudes == pytest.approx(np.abs(v).sum(), abs=2.0**-30 * n * np.abs(v).max())
    assert squares == pytest.approx((v**2).sum(), abs=2.0**-20 * n * (v**2).max())
    order = rng.permutation(n)
    assert (magnitudes, squares) == (
        fixed_point.sum_of_magnitudes(v[order]),
        fixed_point.sum_of_squares(v[order]),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "_compiled", lambda: None)
        assert (magnitudes, squares) == (fixed_point.sum_of_magnitudes(v), fixed_point.sum_of_squares(v))


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-200, 1e200, fixed_point.LARGEST])
def test_sums_of_extreme_values_are_finite(value):
    v = np.array([value, -value])
    assert fixed_point.sum_of_magnitudes(v) == pytest.approx(2 * value, rel=1e-8, abs=1e-280)
    assert fixed_point.sum_of_squares(v) <= np.finfo(float).max


def test_the_largest_may_come_late():
    v = np.ones(fixed_point.PROBED + 5)
    v[-1] = 2.0**20  # in units of the first rows it has too many bits
    found = fixed_point.measured(v, None)
    assert found.power == 31 - 21
    assert found.scaled_sum == 2**30 + (len(v) - 1) * 2**10
    rows = np.arange(len(v) - 1, dtype=np.int32)
    assert fixed_point.measured(v, rows).scaled_sum == len(rows) * 2**30
