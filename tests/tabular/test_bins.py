"""Bins: exact edges from all rows, whatever their order; codes that compare as the values do."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.data.table import Column, ContractError, Table
from assay.tabular import binning_reference, kernel
from assay.tabular.bins import Bins, FeatureBins, count_values
from assay.tabular.cuts import ValueCounts, equal_mass, exact_weights, midpoints

needs_kernel = pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")

TINY = 5e-324
HUGE = np.finfo(float).max
numbers = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0), TINY, -TINY, 3 * TINY]),
    st.sampled_from([HUGE, -HUGE, np.nextafter(HUGE, 0.0), np.nan]),
    st.integers(-3, 3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)
columns = st.lists(numbers, min_size=1, max_size=60).map(np.array)


def numeric(*arrays: np.ndarray) -> Table:
    return Table(tuple(Column(f"x{i}", "numeric", np.asarray(a, np.float64)) for i, a in enumerate(arrays)))


def category(codes: np.ndarray, size: int) -> Table:
    names = tuple(f"c{i:06d}" for i in range(size))
    return Table((Column("c", "category", np.asarray(codes, np.int32), names),))


def fitted(values: np.ndarray, **options: object) -> FeatureBins:
    return Bins.fit(numeric(values), **options).features[0]  # type: ignore[arg-type]


def naive_code(feature: FeatureBins, x: float) -> int:
    return feature.num_bins if np.isnan(x) else sum(1 for threshold in feature.thresholds if threshold < x)


def assert_same_bins(a: Bins, b: Bins) -> None:
    for x, y in zip(a.features, b.features, strict=True):
        assert (x.name, x.kind, x.num_bins, x.categories) == (y.name, y.kind, y.num_bins, y.categories)
        for name in ("thresholds", "low", "high", "category_bins"):
            np.testing.assert_array_equal(getattr(x, name), getattr(y, name), err_msg=name)


# -- edges ---------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(values=columns, max_bins=st.one_of(st.none(), st.integers(2, 20)))
@example(values=np.array([np.nan]), max_bins=5)
@example(values=np.array([1.0, np.nextafter(1.0, 2.0)]), max_bins=2)
@example(values=np.array([-HUGE, HUGE]), max_bins=2)
def test_bins_part_the_values_in_order(values: np.ndarray, max_bins: int | None) -> None:
    table = numeric(values)
    bins = Bins.fit(table, max_bins=max_bins)
    feature, codes = bins.features[0], bins.encode(table).columns[0]

    assert [naive_code(feature, x) for x in values] == codes.tolist()
    distinct = sorted({float(x) for x in values if not np.isnan(x)})
    if max_bins is None or len(distinct) <= max_bins:
        assert feature.num_bins == max(1, len(distinct))
        np.testing.assert_array_equal(feature.low, distinct or [np.nan])
        np.testing.assert_array_equal(feature.high, distinct or [np.nan])
    else:
        assert 1 <= feature.num_bins <= max_bins
    for bin in range(feature.num_bins if distinct else 0):
        inside = values[codes == bin]
        assert feature.low[bin] == inside.min()
        assert feature.high[bin] == inside.max()
    assert (feature.thresholds >= feature.high[:-1]).all()
    assert (feature.thresholds < feature.low[1:]).all()


@settings(max_examples=60, deadline=None)
@given(values=columns, seed=st.integers(0, 9), max_bins=st.integers(2, 20))
def test_bins_do_not_depend_on_the_order_of_rows(values: np.ndarray, seed: int, max_bins: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(values)
    assert_same_bins(
        Bins.fit(numeric(values), max_bins=max_bins), Bins.fit(numeric(shuffled), max_bins=max_bins)
    )


def test_fractional_weights_do_not_make_bins_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=5000).round(2), np.exp(rng.normal(0, 5, 5000))
    order = rng.permutation(5000)
    first = Bins.fit(numeric(values), max_bins=40, sample_weight=weights)
    assert_same_bins(first, Bins.fit(numeric(values[order]), max_bins=40, sample_weight=weights[order]))
    assert exact_weights(weights).sum() == exact_weights(weights)[order].sum()
    assert (exact_weights(weights) >= weights).all()
    np.testing.assert_allclose(exact_weights(weights), weights, atol=weights.max() * 5000 * 2.0**-50)


@settings(max_examples=60, deadline=None)
@given(values=columns, data=st.data())
def test_a_weight_is_a_number_of_repeated_rows(values: np.ndarray, data: st.DataObject) -> None:
    size = len(values)
    weights = np.array(data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)), float)
    if not weights.any():
        weights[0] = 1
    repeated = np.repeat(values, weights.astype(int))
    assert_same_bins(
        Bins.fit(numeric(values), max_bins=4, sample_weight=weights), Bins.fit(numeric(repeated), max_bins=4)
    )


@settings(max_examples=60, deadline=None)
@given(values=columns, seed=st.integers(0, 9), max_bins=st.integers(2, 20))
def test_a_monotone_transform_leaves_the_codes_unchanged(
    values: np.ndarray, seed: int, max_bins: int
) -> None:
    distinct, where = np.unique(values + 0.0, return_inverse=True)  # NaN comes last and stays NaN
    target = np.sort(np.random.default_rng(seed).choice(1000, len(distinct), replace=False)).astype(float)
    moved = np.where(np.isnan(values), np.nan, np.expm1(target / 10)[where])
    before, after = (Bins.fit(numeric(v), max_bins=max_bins).encode(numeric(v)) for v in (values, moved))
    np.testing.assert_array_equal(before.columns, after.columns)


def test_continuous_values_share_the_bins_equally() -> None:
    counts = np.bincount(
        Bins.fit(t := numeric(np.random.default_rng(0).normal(size=10_007))).encode(t).columns[0]
    )
    assert len(counts) == 255
    assert counts.min() >= 10_007 // 255 - 1
    assert counts.max() <= 10_007 // 255 + 2


@settings(max_examples=150, deadline=None)
@given(data=st.data(), max_bins=st.integers(2, 30), skew=st.sampled_from([0.3, 1.0, 3.0]))
def test_mass_is_cut_equally_but_for_values_that_outweigh_a_share(
    data: st.DataObject, max_bins: int, skew: float
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    weights = np.ceil(rng.pareto(skew, data.draw(st.integers(1, 200)))).clip(1, 1e12)
    starts = equal_mass(weights, max_bins)
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert starts[-1] < len(weights)
    assert len(starts) <= max_bins

    heavy: set[int] = set()  # by repeating the definition until nothing changes
    while more := {
        i
        for i, weight in enumerate(weights)
        if i not in heavy and weight * (max_bins - len(heavy)) > sum(np.delete(weights, list(heavy)))
    }:
        heavy |= more
    light = sum(np.delete(weights, list(heavy)))
    runs = sum(1 for i in range(len(weights)) if i not in heavy and (i == 0 or i - 1 in heavy))
    if len(heavy) + runs > max_bins or len(weights) <= max_bins:
        return
    edges = [*starts.tolist(), len(weights)]
    assert all({i, i + 1} <= set(edges) for i in heavy)
    masses = [weights[a:b].sum() for a, b in pairwise(edges) if a not in heavy]
    lightest = max((weight for i, weight in enumerate(weights) if i not in heavy), default=0)
    shares = max(1, max_bins - len(heavy) - sum(1 for i in heavy if 0 < i < len(weights) - 1))
    assert max(masses) <= light / shares + lightest + 1e-6 * light


def test_many_heavy_values_with_light_ones_between_still_fit_the_bins() -> None:
    weights = np.where(np.arange(999) % 2, 1000.0, 1.0)
    starts = equal_mass(weights, 600)
    assert len(starts) <= 600
    assert np.add.reduceat(weights, starts).max() <= 1002  # no two heavy ones share a bin


def test_a_zero_inflated_column_keeps_its_resolution() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(20_000) < 0.9, 0.0, rng.normal(size=20_000))
    feature = fitted(values, max_bins=64)
    zero = int(np.searchsorted(feature.high, 0.0))
    assert feature.low[zero] == feature.high[zero] == 0.0
    assert feature.num_bins >= 62


def test_midpoints_lie_in_the_half_open_gap() -> None:
    below = np.array([1.0, 1.0, -HUGE, HUGE / 2, 0.0, -TINY, TINY, -2.0])
    above = np.array([2.0, np.nextafter(1.0, 2.0), HUGE, HUGE, TINY, 0.0, 2 * TINY, -1.0])
    middle = midpoints(below, above)
    assert ((middle >= below) & (middle < above)).all()
    assert middle.tolist()[:4] == [1.5, 1.0, 0.0, HUGE / 2 + HUGE / 4]


def test_minus_zero_is_zero() -> None:
    feature = fitted(np.array([0.0, -0.0, 1.0]))
    assert feature.num_bins == 2
    assert not np.signbit(feature.low[0])


def test_boolean_and_date_columns_are_binned_as_numbers() -> None:
    table = Table(
        (
            Column("b", "boolean", np.array([0.0, 1.0, np.nan])),
            Column("d", "date", np.array([1.7e9, 1.7e9 + 1, 0.0])),
        )
    )
    bins = Bins.fit(table)
    assert [f.kind for f in bins.features] == ["boolean", "date"]
    assert bins.encode(table).columns.tolist() == [[0, 1, 2], [1, 2, 0]]


@pytest.mark.parametrize("values", [[np.nan] * 3, [5.0] * 3, [7.0]])
def test_a_column_without_two_values_has_one_bin(values: list[float]) -> None:
    feature = fitted(np.array(values))
    assert feature.num_bins == 1
    assert len(feature.thresholds) == 0


# -- counts --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(values=columns, data=st.data())
def test_counts_of_parts_merge_to_the_counts_of_the_whole(values: np.ndarray, data: st.DataObject) -> None:
    owner = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(values), max_size=len(values))))
    a, b, c = (count_values(numeric(values[owner == part]).columns[0]) for part in range(3))
    expected = Counter(float(x) + 0.0 for x in values if not np.isnan(x))
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c)), c.merge(a).merge(b)):
        assert merged.weights.dtype == np.float64
        assert dict(zip(merged.values.tolist(), merged.weights.tolist(), strict=True)) == expected
        assert (np.diff(merged.values) > 0).all()


# -- categories ----------------------------------------------------------------------------------------------


def test_a_category_has_the_bin_of_its_code() -> None:
    table = category(np.array([2, 0, -1, 2]), 4)
    bins = Bins.fit(table)
    assert bins.features[0].num_bins == 4
    assert bins.features[0].category_bins.tolist() == [0, 4, 2, 4]  # two are not in the training rows
    assert bins.encode(table).columns[0].tolist() == [2, 0, 4, 2]


def test_the_rarest_categories_share_the_last_bin() -> None:
    sizes = np.array([5, 1, 9, 2, 7, 0, 9])
    table = category(np.repeat(np.arange(7), sizes), 7)
    feature = Bins.fit(table, max_bins=4).features[0]
    assert feature.num_bins == 4
    assert feature.category_bins.tolist() == [3, 3, 0, 3, 1, 4, 2]
    weights = np.where(table.columns[0].values == 1, 100.0, 1.0)
    assert Bins.fit(table, max_bins=4, sample_weight=weights).features[0].category_bins.tolist() == [
        3, 0, 1, 3, 3, 4, 2,
    ]  # fmt: skip


def test_an_unseen_category_is_missing() -> None:
    bins = Bins.fit(category(np.array([0, 1, 1]), 2))
    other = Table(
        (Column("c", "category", np.array([0, 1, 2], np.int32), ("a new one", "c000000", "c000001")),)
    )
    codes = bins.encode(other)
    assert codes.columns[0].tolist() == [2, 0, 1]
    assert codes.has_missing.tolist() == [True]


def test_more_categories_than_bytes_take_wider_codes() -> None:
    table = category(np.arange(300), 300)
    assert Bins.fit(table, max_bins=None).encode(table).columns.dtype == np.uint16
    assert Bins.fit(table).encode(table).columns.dtype == np.uint8


# -- codes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("distinct", "dtype"), [(255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_codes_have_the_smallest_type_that_holds_the_missing_one(distinct: int, dtype: type) -> None:
    values = np.append(np.arange(distinct, dtype=float), np.nan)
    codes = Bins.fit(t := numeric(values, values[::-1].copy()), max_bins=None).encode(t)
    assert codes.columns.dtype == dtype
    assert codes.columns[0].tolist() == [*range(distinct), distinct]


def mixed(rng: np.random.Generator, num_rows: int) -> Table:
    arrays = [rng.normal(size=num_rows).round(1) for _ in range(18)]
    arrays[3][rng.random(num_rows) < 0.2] = np.nan
    codes = rng.integers(-1, 30, num_rows).astype(np.int32)
    return Table(
        (*numeric(*arrays).columns, Column("c", "category", codes, tuple(f"{i:02d}" for i in range(30))))
    )


@pytest.mark.parametrize("num_rows", [0, 1, 15, 16, 17, 1000])
def test_columns_lie_one_after_the_other(num_rows: int) -> None:
    table = mixed(np.random.default_rng(2), num_rows)
    codes = Bins.fit(mixed(np.random.default_rng(3), 500), max_bins=17).encode(table)
    assert codes.num_rows == num_rows
    assert codes.columns.shape == (19, num_rows)
    assert codes.columns.flags.c_contiguous
    num_bins = [feature.num_bins for feature in codes.bins.features]
    assert codes.has_missing.tolist() == [
        b in c.tolist() for b, c in zip(num_bins, codes.columns, strict=True)
    ]


def test_codes_of_some_rows_are_those_rows_of_the_codes() -> None:
    rng = np.random.default_rng(4)
    table = mixed(rng, 400)
    bins = Bins.fit(table)
    for rows in (np.array([5, 5, 3]), table.columns[3].values < 0, np.empty(0, np.int64)):
        part, direct = bins.encode(table).take(rows), bins.encode(table.take(rows))
        for name in ("columns", "has_missing"):
            np.testing.assert_array_equal(getattr(part, name), getattr(direct, name), err_msg=name)


@needs_kernel
@pytest.mark.parametrize("max_bins", [3, 255, None])
def test_compiled_codes_equal_the_reference_for_any_number_of_threads(max_bins: int | None) -> None:
    rng = np.random.default_rng(5)
    table = mixed(rng, 20_011)
    bins = Bins.fit(table, max_bins=max_bins)
    assert_same_bins(bins, Bins.fit(table, max_bins=max_bins, threads=3))
    codings = [feature.coding for feature in bins.features]
    expected = binning_reference.encode(table.columns, codings, bins.dtype)
    for threads in (1, 2, 3):
        codes = bins.encode(table, threads=threads)
        for ours, theirs in zip((codes.columns, codes.has_missing), expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


@needs_kernel
@settings(max_examples=100, deadline=None)
@given(training=columns, values=columns)
def test_compiled_codes_equal_a_count_of_thresholds(training: np.ndarray, values: np.ndarray) -> None:
    values = np.concatenate([values, [np.inf, -np.inf]])
    bins = Bins.fit(numeric(training), max_bins=None)
    codes = bins.encode(numeric(values)).columns[0]
    assert codes.tolist() == [naive_code(bins.features[0], x) for x in values]


def test_encoding_follows_names_not_positions() -> None:
    a, b = np.array([1.0, 2.0]), np.array([5.0, 4.0])
    bins = Bins.fit(numeric(a, b))
    swapped = Table((Column("x1", "numeric", b), Column("other", "numeric", a), Column("x0", "numeric", a)))
    np.testing.assert_array_equal(bins.encode(swapped).columns, bins.encode(numeric(a, b)).columns)


# -- given cuts ----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(values=columns, cuts=st.lists(st.floats(-5, 5), max_size=8))
def test_bins_from_cuts_have_a_value_on_either_side_of_every_cut(
    values: np.ndarray, cuts: list[float]
) -> None:
    table = numeric(values)
    bins = Bins.from_cuts(table, [np.sort(cuts)])
    feature, codes = bins.features[0], bins.encode(table).columns[0]
    assert set(feature.thresholds.tolist()) <= set(cuts)
    present = ~np.isnan(values)
    parted = {tuple(values[present] <= cut) for cut in cuts}
    parted = {part for part in parted if any(part) and not all(part)}
    assert len(feature.thresholds) == len(parted)
    assert {tuple(codes[present] <= i) for i in range(feature.num_bins - 1)} == parted
    for bin in range(feature.num_bins if present.any() else 0):
        assert feature.low[bin] == values[codes == bin].min()
        assert feature.high[bin] == values[codes == bin].max()


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_an_infinity_names_its_column_and_row(infinity: float) -> None:
    table = numeric(np.arange(5.0), np.array([1.0, 2.0, infinity, 3.0, np.nan]))
    with pytest.raises(ContractError, match=r"column 'x1', row 2: expected a finite number, got -?inf"):
        Bins.fit(table)
    weights = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    assert Bins.fit(table, sample_weight=weights).features[1].num_bins == 3  # the row does not count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_bins": 1}, "max_bins must be at least 2 or None, got 1"),
        ({"sample_weight": np.ones(3)}, r"sample_weight must have shape \(2,\), got \(3,\)"),
        ({"sample_weight": np.array([1.0, -1.0])}, "finite and not negative"),
        ({"sample_weight": np.array([1.0, np.nan])}, "finite and not negative"),
        ({"sample_weight": np.zeros(2)}, "positive for at least one row"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bins.fit(numeric(np.array([1.0, 2.0])), **options)


def test_a_table_without_a_column_of_the_bins_is_refused() -> None:
    with pytest.raises(ContractError, match="x1"):
        Bins.fit(numeric(np.zeros(2), np.zeros(2))).encode(numeric(np.zeros(2)))


def test_weights_of_extreme_size_keep_every_row() -> None:
    for scale in (1e-320, 1e-300, 1e300):
        values, weights = np.arange(6.0), np.array([1, 2, 3, 1, 0, 1]) * scale
        feature = fitted(values, max_bins=8, sample_weight=weights)
        assert feature.low.tolist() == [0.0, 1.0, 2.0, 3.0, 5.0]
    counts = ValueCounts(np.arange(3.0), exact_weights(np.array([1.0, 1e-300, 1.0])))
    assert (counts.weights > 0).all()
