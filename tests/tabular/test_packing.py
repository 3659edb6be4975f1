"""The packed form of an ensemble: its codes and nodes, walked in plain Python, lead to the trees' leaves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Table
from assay.tabular import splits
from assay.tabular.bins import Bins
from assay.tabular.grower import Limits, Newton, grow
from assay.tabular.packing import Packed, pack
from assay.tabular.splits_reference import NEVER, NODE
from assay.tabular.tree import Tree


def mixed(rng: np.random.Generator, rows: int) -> Table:
    x = rng.integers(0, 9, (2, rows)).astype(float)
    x[rng.random(x.shape) < 0.1] = np.nan
    letters = [None if rng.random() < 0.1 else "abcdef"[i] for i in rng.integers(0, 6, rows)]
    return Table.of({"x": x[0], "y": x[1], "letter": letters})


def forest(rng: np.random.Generator, table: Table, num_trees: int, limits: Limits) -> list[Tree]:
    codes = Bins.fit(table, max_bins=None).encode(table)
    return [
        grow(codes, Newton(gradient=rng.normal(size=table.num_rows)), limits).tree for _ in range(num_trees)
    ]


def code_of(packed: Packed, slot: int, table: Table, row: int) -> int:
    """By the definition: the number of thresholds below, or the class of the category."""
    feature, (thresholds, classes, missing) = packed.slots[slot].feature, packed.slots[slot].coding
    if feature < 0:
        return 0
    x = table.columns[feature].values[row]
    if classes is None:
        return missing if np.isnan(x) else int((thresholds < x).sum())
    return missing if x < 0 else int(classes[x])


def walk(packed: Packed, tree: int, table: Table, row: int) -> int:
    """The node of the tree, in its own numbering, that a row ends in."""
    root, at = int(packed.roots[tree]), 0
    for _ in range(int(packed.depths[tree])):
        node = packed.nodes[root + at]
        code = code_of(packed, int(node["slot"]), table, row)
        if node["slot"] >= packed.num_numeric:
            word = int(packed.sets[int(packed.set_at[root + at]) + code // 32])
            right = not word >> code % 32 & 1
        else:
            right = code > int(node["limit"])
        at = int(node["left"]) + right
    return at


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 4]))
def test_packed_trees_lead_to_the_leaves_of_the_trees(seed, onehot):
    rng = np.random.default_rng(seed)
    table = mixed(rng, 40)
    trees = forest(rng, table, 3, Limits(max_depth=4, max_categories_onehot=onehot))
    packed = pack(trees, table.schema)
    for t, tree in enumerate(trees):
        expected = tree.apply(table)
        assert [walk(packed, t, table, row) for row in range(table.num_rows)] == expected.tolist()


def test_nodes_are_eight_bytes_and_siblings_stand_side_by_side():
    rng = np.random.default_rng(1)
    table = mixed(rng, 60)
    trees = forest(rng, table, 4, Limits(max_leaves=9))
    packed = pack(trees, table.schema)
    assert NODE.itemsize == 8
    assert packed.dtype == np.uint8
    for t, tree in enumerate(trees):
        nodes = packed.nodes[packed.roots[t] : packed.roots[t + 1]]
        assert packed.values[t] is tree.value
        assert packed.depths[t] == tree.depth
        for node in range(tree.num_nodes):
            if tree.feature[node] < 0:
                assert (nodes["left"][node], nodes["limit"][node]) == (node, NEVER)
            else:
                left = nodes["left"][node]
                assert (left, left + 1) == (tree.left[node], tree.right[node])


def test_compiled_and_numpy_forms_are_alike(monkeypatch):
    rng = np.random.default_rng(5)
    table = mixed(rng, 60)
    trees = forest(rng, table, 5, Limits(max_leaves=9))
    whole = pack(trees, table.schema)
    monkeypatch.setattr(splits, "_compiled", lambda: None)
    twin = pack(trees, table.schema)
    for name in ("nodes", "sets", "set_at", "roots", "depths"):
        np.testing.assert_array_equal(getattr(twin, name), getattr(whole, name))
    for a, b in zip(twin.slots, whole.slots, strict=True):
        assert a.feature == b.feature
        for x, y in zip(a.coding, b.coding, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_feature_has_a_slot_for_each_side_that_missing_values_take():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 1))
    tree = forest(rng, Table.of(x), 1, Limits(max_leaves=6))[0]
    inner = np.flatnonzero(tree.feature >= 0)
    one_side = replace(tree, missing_left=np.zeros(tree.num_nodes, bool))
    assert len(pack([one_side], Table.of(x).schema).slots) == 1
    both = one_side.missing_left.copy()
    both[inner[0]] = True
    slots = pack([replace(tree, missing_left=both)], Table.of(x).schema).slots
    assert [slot.coding[2] for slot in slots] == [len(inner) - 1, 0]
    for slot, nodes in zip(slots, (inner[1:], inner[:1]), strict=True):
        np.testing.assert_array_equal(slot.coding[0], np.unique(tree.threshold[nodes]))


def test_thresholds_are_shared_by_all_trees():
    rng = np.random.default_rng(3)
    table = Table.of(rng.normal(size=(30, 1)))
    tree = forest(rng, table, 1, Limits(max_leaves=4))[0]
    once, thrice = pack([tree], table.schema), pack([tree] * 3, table.schema)
    assert len(once.slots) == len(thrice.slots)
    np.testing.assert_array_equal(thrice.nodes, np.tile(once.nodes, 3))


def test_without_splits_or_trees_there_is_still_a_record():
    table = Table.of(np.zeros((4, 2)))
    constant = grow(Bins.fit(table).encode(table), Newton(gradient=np.ones(4)), Limits()).tree
    for trees in ([], [constant]):
        packed = pack(trees, table.schema)
        assert [slot.feature for slot in packed.slots] == [-1]
        assert packed.num_numeric == 1
        assert len(packed.roots) == len(trees) + 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("left", [0, -1, -1], "node 0 has a child that is no later node"),
        ("left", [2, -1, -1], "node 0 has a child that is no later node"),
        ("feature", [7, -1, -1], "node 0 has a feature beyond the 1 known"),
        ("threshold", [np.nan] * 3, "node 0 has no threshold"),
    ],
)
def test_a_malformed_tree_is_named_with_its_node(field, value, message):
    table = Table.of(np.array([[0.0], [1.0]]))
    good = grow(Bins.fit(table).encode(table), Newton(gradient=np.array([-1.0, 1.0])), Limits()).tree
    bad = replace(good, **{field: np.array(value, getattr(good, field).dtype)})
    with pytest.raises(ValueError, match=f"tree 1 is malformed: {message}"):
        pack([good, bad], table.schema)
