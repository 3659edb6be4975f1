"""Compiled predictions equal those in NumPy, for any share of the rows and any number of threads."""

import numpy as np
import pytest

from assay.data.table import Table
from assay.tabular import kernel, predict, predict_reference
from assay.tabular.bins import Bins
from assay.tabular.grower import Limits, Newton, grow
from assay.tabular.packing import Packed, pack

needs_kernel = pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")


def packed_forest(rows: int, categories: int, trees: int = 5) -> tuple[Packed, Table]:
    rng = np.random.default_rng(rows + categories)
    x = rng.normal(size=(2, rows)).round(2)
    x[rng.random(x.shape) < 0.1] = np.nan
    names = [None if rng.random() < 0.1 else f"{i:03d}" for i in rng.integers(0, categories, rows)]
    table = Table.of({"x": x[0], "name": names, "y": x[1]})
    codes = Bins.fit(table, max_bins=None).encode(table)
    limits = Limits(max_leaves=40, max_categories_onehot=0)
    grown = [grow(codes, Newton(gradient=rng.normal(size=rows)), limits).tree for _ in range(trees)]
    return pack(grown, table.schema), table


@needs_kernel
@pytest.mark.parametrize("categories", [3, 300])
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 3000])
def test_leaves_and_sums_equal_the_twins(rows, categories):
    packed, table = packed_forest(rows, categories)
    np.testing.assert_array_equal(
        predict.leaves(packed, table, threads=1), predict_reference.leaves(packed, table)
    )
    found, expected = np.zeros((rows, 2, 1)), np.zeros((rows, 2, 1))
    predict.add(packed, table, found, threads=1)
    predict_reference.add(packed, table, expected)
    np.testing.assert_array_equal(found, expected)


@needs_kernel
def test_threads_and_small_blocks_of_rows_change_nothing(monkeypatch):
    packed, table = packed_forest(20_000, 20)
    expected = predict.leaves(packed, table, threads=1)
    for size in (1, 1 << 14):
        monkeypatch.setattr(predict, "RECORDS_SIZE", size)
        monkeypatch.setattr(predict, "LARGEST_RECORDS_SIZE", size)
        for threads in (1, 3):
            np.testing.assert_array_equal(predict.leaves(packed, table, threads), expected)


def test_what_was_there_is_added_to():
    packed, table = packed_forest(50, 4)
    sums = np.full((50, 1, 1), 7.0)
    predict.add(packed, table, sums, threads=1)
    alone = np.zeros((50, 1, 1))
    predict.add(packed, table, alone, threads=1)
    np.testing.assert_allclose(sums, alone + 7.0, rtol=1e-12)


def test_where_nothing_is_compiled_the_twin_predicts(monkeypatch):
    packed, table = packed_forest(30, 4)
    monkeypatch.setattr(predict, "_compiled", lambda: None)
    np.testing.assert_array_equal(predict.leaves(packed, table, 1), predict_reference.leaves(packed, table))
    sums = np.zeros((30, 1, 1))
    predict.add(packed, table, sums, 1)
    assert sums.any()
