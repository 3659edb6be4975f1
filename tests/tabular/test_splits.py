"""The splits of trees by feature: compiled and NumPy ones are alike, and a malformed tree is named."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Table
from assay.tabular import kernel, splits
from assay.tabular.bins import Bins
from assay.tabular.grower import Limits, Newton, grow
from assay.tabular.splits import set_limits, sets_of, splits_of
from assay.tabular.splits_reference import NEVER, NODE
from assay.tabular.tree import Tree

needs_kernel = pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")


def table_of(rng: np.random.Generator, rows: int = 80) -> Table:
    x = rng.integers(0, 9, (2, rows)).astype(float)
    x[rng.random(x.shape) < 0.2] = np.nan
    letters = [None if rng.random() < 0.1 else "abcdef"[i] for i in rng.integers(0, 6, rows)]
    return Table.of({"x": x[0], "letter": letters, "y": x[1], "constant": np.zeros(rows)})


def trees_of(rng: np.random.Generator, table: Table, count: int) -> list[Tree]:
    codes = Bins.fit(table, max_bins=None).encode(table)
    limits = [Limits(), Limits(max_leaves=1), Limits(max_depth=3, max_categories_onehot=0)]
    return [
        grow(codes, Newton(gradient=rng.normal(size=table.num_rows)), limits[i % 3]).tree
        for i in range(count)
    ]


def by_hand(trees: list[Tree], table: Table, feature: int, side: bool) -> list[tuple[int, float]]:
    """The nodes that split on a feature, counted over all trees, and their thresholds."""
    found, start = [], 0
    for tree in trees:
        for node in np.flatnonzero(tree.feature == feature):
            if table.schema[feature].kind == "category" or tree.missing_left[node] == side:
                found.append((start + int(node), float(tree.threshold[node])))
        start += tree.num_nodes
    return found


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 6), compiled=st.booleans())
def test_splits_are_listed_by_feature_and_side(seed, count, compiled):
    rng = np.random.default_rng(seed)
    table = table_of(rng)
    trees = trees_of(rng, table, count)
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(splits, "_compiled", lambda: None)
        found = splits_of(trees, table.schema)
    listed = 0
    for feature, side, here in found.by_feature():
        expected = by_hand(trees, table, feature, side)
        assert found.which[here].tolist() == [node for node, _ in expected]
        np.testing.assert_array_equal(found.thresholds[here], [threshold for _, threshold in expected])
        listed += len(expected)
    assert listed == sum(np.count_nonzero(tree.feature >= 0) for tree in trees)
    assert found.depths.tolist() == [tree.depth for tree in trees]
    children = [np.where(t.feature < 0, np.arange(t.num_nodes), t.left) for t in trees]
    np.testing.assert_array_equal(found.nodes["left"], np.concatenate([np.zeros(0), *children]))
    assert found.nodes.dtype == NODE
    assert (found.nodes["limit"] == NEVER).all()
    assert (found.nodes["slot"] == 0).all()


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_kernel), False])
def test_sets_hold_the_codes_that_go_left(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(splits, "_compiled", lambda: None)
    rng = np.random.default_rng(3)
    table = table_of(rng)
    trees = trees_of(rng, table, 6)
    found = splits_of(trees, table.schema)
    here = next(here for feature, _, here in found.by_feature() if feature == 1)
    which, codes = found.which[here], np.array([40, 1, 2, 2, 33, 5, 64], np.int32)
    sets = sets_of(found, which, codes)
    assert sets.shape == (len(which), 3)
    roots = np.cumsum([0, *(tree.num_nodes for tree in trees)])
    for bits, node in zip(sets, which.tolist(), strict=True):
        number = int(np.searchsorted(roots, node, side="right")) - 1
        tree, node = trees[number], node - int(roots[number])
        left = {int(codes[c]) for c in tree.categories_left(node)}
        left |= {64} if tree.missing_left[node] else set()
        assert {k for k in range(96) if bits[k // 32] >> k % 32 & 1} == left


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_kernel), False])
def test_limits_beyond_a_slot_go_to_the_next(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(splits, "_compiled", lambda: None)
    nodes = np.zeros(6, NODE)
    set_limits(nodes, np.array([1, 2, 3, 5], np.uint32), np.array([0, 254, 255, 600], np.uint32), 255, 7)
    assert nodes["slot"].tolist() == [0, 7, 7, 8, 0, 9]
    assert nodes["limit"].tolist() == [0, 0, 254, 0, 0, 90]


def stump(**changes: list) -> Tree:
    """A number, then a category, and three leaves."""
    tree = Tree(
        feature=np.array([0, 1, -1, -1, -1], np.int32),
        threshold=np.array([0.5, np.nan, np.nan, np.nan, np.nan]),
        left=np.array([1, 3, -1, -1, -1], np.int32),
        missing_left=np.zeros(5, bool),
        categories=np.array([0, 2], np.int32),
        category_offsets=np.array([0, 0, 2, 2, 2, 2], np.int32),
        gain=np.zeros(5),
        weight=np.ones(5),
        count=np.ones(5, np.int32),
        value=np.zeros((5, 1)),
    )
    fields = {name: np.array(value, getattr(tree, name).dtype) for name, value in changes.items()}
    return replace(tree, **fields)


FAULTS = {
    "its category_offsets do not part its categories": stump(category_offsets=[0, 0, 2, 1, 2, 2]),
    "its category_offsets do not": stump(category_offsets=[0, 0, 1, 1, 1, 1]),
    "node 1 has a child that is no later node": stump(left=[1, 1, -1, -1, -1]),
    "node 1 has a child that is no": stump(left=[1, 4, -1, -1, -1]),
    "node 2 has several parents or none": stump(left=[1, 2, -1, -1, -1]),
    "node 3 has several parents or none": stump(
        feature=[0, -1, -1, -1, -1], category_offsets=[0] * 6, categories=[]
    ),
    "node 1 has a feature beyond the 2 known": stump(feature=[0, 2, -1, -1, -1]),
    "node 0 has no threshold": stump(threshold=[np.nan] * 5),
    "node 1 has a category that is not known": stump(categories=[0, 3]),
    "node 0 has a category that is not known": stump(category_offsets=[0, 1, 2, 2, 2, 2]),
    "node 4 has a category that is not known": stump(category_offsets=[0, 0, 1, 1, 1, 2]),
    "its arrays have the lengths": stump(left=[1, 3]),
}


@pytest.mark.parametrize("message", FAULTS)
@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_kernel), False])
def test_a_malformed_tree_is_named_with_its_node(message, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(splits, "_compiled", lambda: None)
    schema = Table.of({"x": np.zeros(3), "letter": ["a", "b", "c"]}).schema
    splits_of([stump()] * 2, schema)
    with pytest.raises(ValueError, match=f"tree 1 is malformed: {message}"):
        splits_of([stump(), FAULTS[message]], schema)
