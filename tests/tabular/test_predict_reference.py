"""Predictions in NumPy against a walk down every tree, node by node."""

import math

import numpy as np
import pytest

from assay.data.table import Table
from assay.tabular import predict_reference
from assay.tabular.bins import Bins
from assay.tabular.grower import Limits, Newton, grow
from assay.tabular.packing import pack
from assay.tabular.tree import Tree


def forest(seed: int, rows: int = 150) -> tuple[Table, list[Tree]]:
    """A table with gaps and categories, and trees grown on it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows).round(1)
    x[rng.random(rows) < 0.2] = np.nan
    letters = [None if rng.random() < 0.2 else "abcdefg"[i] for i in rng.integers(0, 7, rows)]
    table = Table.of({"x": x, "letter": letters, "y": rng.normal(size=rows).round(1)})
    codes = Bins.fit(table, max_bins=None).encode(table)
    return table, [
        grow(codes, Newton(gradient=rng.normal(size=rows)), Limits(max_depth=d, max_categories_onehot=2)).tree
        for d in (0, 1, 3, 6)
    ]


def walk(tree: Tree, table: Table, row: int) -> int:
    """The leaf in which a row ends."""
    node = 0
    while tree.feature[node] >= 0:
        column = table.columns[tree.feature[node]]
        value = column.values[row]
        if value == -1 if column.kind == "category" else math.isnan(value):
            left = bool(tree.missing_left[node])
        elif column.kind == "category":
            left = int(value) in tree.categories_left(node).tolist()
        else:
            left = bool(value <= tree.threshold[node])
        node = int(tree.left[node]) + (not left)
    return node


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rows_end_where_a_walk_ends(seed):
    table, trees = forest(seed)
    found = predict_reference.leaves(pack(trees, table.schema), table)
    assert found.dtype == np.int32
    assert found.tolist() == [[walk(tree, table, row) for tree in trees] for row in range(table.num_rows)]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_values_are_added_group_by_group(groups):
    table, trees = forest(3, rows=40)
    total = np.ones((40, groups, 1))
    predict_reference.add(pack(trees, table.schema), table, total)
    for row in range(40):
        expected = [1.0] * groups
        for number, tree in enumerate(trees):
            expected[number % groups] += float(tree.value[walk(tree, table, row), 0])
        assert total[row, :, 0].tolist() == expected


def test_no_rows_and_no_trees():
    table, trees = forest(0)
    assert predict_reference.leaves(pack(trees, table.schema), table.take(np.arange(0))).shape == (0, 4)
    assert predict_reference.leaves(pack([], table.schema), table).shape == (150, 0)
