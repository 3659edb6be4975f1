"""The tree as a structure of arrays."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from assay.data.table import Table
from assay.tabular.tree import Tree


def small_tree(**changes) -> Tree:
    """x0 <= 1.5, then category a or c of x1 on the left; missing values go right and left."""
    arrays = {
        "feature": np.array([0, 1, -1, -1, -1], np.int32),
        "threshold": np.array([1.5, np.nan, np.nan, np.nan, np.nan]),
        "left": np.array([1, 3, -1, -1, -1], np.int32),
        "missing_left": np.array([False, True, False, False, False]),
        "categories": np.array([0, 2], np.int32),
        "category_offsets": np.array([0, 0, 2, 2, 2, 2]),
        "gain": np.array([5.0, 2.0, 0.0, 0.0, 0.0]),
        "weight": np.array([8.0, 5.0, 3.0, 4.0, 1.0]),
        "count": np.array([8, 5, 3, 4, 1]),
        "value": np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]),
    }
    return Tree(**{**arrays, **changes})


def test_size_and_shape():
    tree = small_tree()
    assert tree.right.tolist() == [2, 4, -1, -1, -1]
    assert tree.right.dtype == np.int32
    assert (tree.num_nodes, tree.num_leaves, tree.depth) == (5, 3, 2)
    assert tree.depths.tolist() == [0, 1, 1, 2, 2]
    assert tree.categories_left(1).tolist() == [0, 2]
    assert tree.categories_left(0).tolist() == []


def test_a_single_leaf_has_depth_zero():
    one = {name: getattr(small_tree(), name)[2:3] for name in ("feature", "threshold", "left", "gain")}
    rest = {name: getattr(small_tree(), name)[2:3] for name in ("missing_left", "weight", "count", "value")}
    tree = Tree(**one, **rest, categories=np.zeros(0, np.int32), category_offsets=np.zeros(2, np.int64))
    assert (tree.num_leaves, tree.depth) == (1, 0)
    table = Table.of({"x0": [1.0, None]})
    assert tree.apply(table).tolist() == [0, 0]


def test_rows_follow_the_rule_of_a_split():
    table = Table.of({
        "x0": [1.5, 2.0, None, 0.0, 0.0, 0.0],
        "x1": ["a", "a", "a", "b", "c", None],
    })  # fmt: skip
    tree = small_tree()
    assert tree.apply(table).tolist() == [3, 2, 2, 4, 3, 3]
    assert tree.apply(table).dtype == np.int32
    np.testing.assert_array_equal(tree.predict(table), [[3.0], [2.0], [2.0], [4.0], [3.0], [3.0]])


def test_other_values_leave_the_tree_as_it_was():
    tree = small_tree()
    other = tree.with_values(10 * tree.value)
    assert other.value.tolist() == [[0.0], [10.0], [20.0], [30.0], [40.0]]
    assert tree.value.tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert other.feature is tree.feature
    wide = tree.with_values(np.ones((5, 3)))
    assert wide.value.shape == (5, 3)


def test_a_tree_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        small_tree().feature = np.zeros(5, np.int32)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": np.zeros(5)}, r"value must have shape \(5, outputs\), got \(5,\)"),
        ({"value": np.zeros((4, 1))}, r"value must have shape \(5, outputs\), got \(4, 1\)"),
        ({"category_offsets": np.zeros(5, np.int64)}, "category_offsets must have length 6, got 5"),
    ],
)
def test_arrays_that_do_not_match_are_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        small_tree(**changes)
