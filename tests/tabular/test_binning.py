"""The compiled passes behind bins equal their NumPy twins, and shares of the rows are whole."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Column
from assay.tabular import binning, binning_reference, kernel
from assay.tabular.binning import ROWS_PER_THREAD, describe, in_shares, in_threads

needs_kernel = pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")

TINY, HUGE = 5e-324, float(np.finfo(float).max)
numbers = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, np.nextafter(1.0, 2.0), TINY, -TINY, HUGE, -HUGE, np.nan]),
    st.integers(-3, 3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)
columns = st.lists(numbers, min_size=1, max_size=60).map(np.array)


# -- counts --------------------------------------------------------------------------------------------------


def column_shapes(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Columns that take every way through the counting: few or many values, insertion enough or not."""
    n = 20_000
    close = 1.0 + rng.integers(0, 1 << 19, n) * 2.0**-52
    return {
        "few": rng.integers(0, 50, n).astype(float),
        "edge of few": rng.integers(0, 4100, n).astype(float),
        "integers": rng.integers(0, 1 << 40, n).astype(float),
        "normal": rng.normal(size=n),
        "zeros of both signs": np.where(rng.random(n) < 0.5, rng.choice([0.0, -0.0], n), rng.normal(size=n)),
        "close": close,  # differ in their lowest bits alone
        "close with outliers": np.concatenate([close, [-1e300, 1e300, 0.0]]),  # equal in their highest bits
        "missing": np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n)),
        "all missing": np.full(n, np.nan),
        "none": np.empty(0),
        "strided": rng.normal(size=(n, 3))[:, 1],
        "reversed": np.sort(rng.normal(size=n))[::-1],
    }


@needs_kernel
@pytest.mark.parametrize("weighted", [False, True])
def test_compiled_counts_equal_the_reference(weighted: bool) -> None:
    rng = np.random.default_rng(1)
    for name, values in column_shapes(rng).items():
        weights = rng.exponential(size=len(values)) * (rng.random(len(values)) < 0.8) if weighted else None
        compiled = binning.count_values(values, weights)
        reference = binning_reference.count_values(values, weights)
        for ours, theirs in zip(compiled, reference, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
            np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs), err_msg=name)


@needs_kernel
@settings(max_examples=100, deadline=None)
@given(values=columns, weighted=st.booleans())
def test_compiled_counts_equal_the_reference_on_odd_values(values: np.ndarray, weighted: bool) -> None:
    weights = np.arange(len(values)) % 4 / 3 if weighted else None
    compiled, reference = (m.count_values(values, weights) for m in (binning, binning_reference))
    for ours, theirs in zip(compiled, reference, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs))


# -- codes ---------------------------------------------------------------------------------------------------


def codings(rng: np.random.Generator, rows: int) -> tuple[list[Column], list[binning.Coding]]:
    """Numbers with gaps, strided ones, and categories."""
    x = rng.normal(size=(rows, 2)).round(1)
    x[rng.random(x.shape) < 0.1] = np.nan
    codes = rng.integers(-1, 5, rows).astype(np.int32)
    table = [
        Column("x", "numeric", np.ascontiguousarray(x[:, 0])),
        Column("c", "category", codes, tuple("abcde")),
        Column("y", "numeric", x[:, 1]),
    ]
    thresholds = np.sort(rng.normal(size=20))
    classes = np.array([0, 1, 1, 2, 0], np.int32)
    return table, [(thresholds, None, 21), (np.empty(0), classes, 3), (thresholds[:1], None, 2)]


@needs_kernel
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("rows", [1, 17, 3 * ROWS_PER_THREAD + 5])
def test_compiled_codes_equal_the_reference(rows, dtype):
    table, how = codings(np.random.default_rng(rows), rows)
    expected, has_missing = binning_reference.encode(table, how, np.dtype(dtype))
    for threads in (1, 3):
        codes, missing = binning.encode(table, how, np.dtype(dtype), threads)
        assert codes.dtype == dtype
        np.testing.assert_array_equal(codes, expected)
        np.testing.assert_array_equal(missing, has_missing)


def test_where_nothing_is_compiled_the_twin_runs(monkeypatch):
    monkeypatch.setattr(binning, "_compiled", lambda: None)
    values, counts = binning.count_values(np.array([2.0, 1.0, 2.0, np.nan]), None)
    assert (values.tolist(), counts.tolist()) == ([1.0, 2.0], [1.0, 2.0])
    table, how = codings(np.random.default_rng(0), 40)
    expected = binning_reference.encode(table, how, np.dtype(np.uint8))
    np.testing.assert_array_equal(binning.encode(table, how, np.dtype(np.uint8), 1)[0], expected[0])


def test_codings_are_described_by_where_their_parts_lie():
    thresholds, classes = np.arange(3.0), np.arange(4, dtype=np.int32)
    numeric, category = describe([(thresholds, None, 4), (np.empty(0), classes, 9)])
    assert (numeric["thresholds"], numeric["classes"]) == (thresholds.ctypes.data, 0)
    assert (category["thresholds"], category["classes"]) == (0, classes.ctypes.data)
    assert (numeric["size"], numeric["missing"], category["size"], category["missing"]) == (3, 4, 4, 9)


# -- threads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("rows", [0, 1, ROWS_PER_THREAD, 2 * ROWS_PER_THREAD, 10 * ROWS_PER_THREAD + 3])
def test_shares_are_all_rows_once(rows, threads):
    shares = []
    in_shares(lambda first, count: shares.append((first, count)), rows, threads)
    assert len(shares) <= max(1, min(threads, rows // ROWS_PER_THREAD))
    assert sorted(row for first, count in shares for row in range(first, first + count)) == list(range(rows))


def test_results_are_in_the_order_of_the_items():
    seen = set()

    def work(item: int) -> int:
        seen.add(threading.get_ident())
        return item * item

    assert in_threads(work, range(20), 1) == [i * i for i in range(20)]
    assert seen == {threading.get_ident()}
    assert in_threads(work, range(20), 3) == [i * i for i in range(20)]
    assert len(seen) > 1
