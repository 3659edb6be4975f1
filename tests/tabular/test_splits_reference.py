"""The splits of trees in NumPy, by hand on two small trees."""

import numpy as np
import pytest

from assay.tabular.splits_reference import (
    CATEGORY,
    CHILD,
    FEATURE,
    NEVER,
    NODE,
    OFFSETS,
    PARENTS,
    THRESHOLD,
    fill_sets,
    gather,
    link,
    listed_categories,
    set_limits,
)

NUM_KNOWN = np.array([-1, 3], np.int32)  # a number and three categories


def view(**changes: list) -> tuple[np.ndarray, ...]:
    """A number, whose missing values go left, then categories 0 and 2, and three leaves."""
    arrays = {
        "feature": np.array([0, 1, -1, -1, -1], np.int32),
        "left": np.array([1, 3, -1, -1, -1], np.int32),
        "categories": np.array([0, 2], np.int32),
        "category_offsets": np.array([0, 0, 2, 2, 2, 2], np.int32),
        "threshold": np.array([0.5, np.nan, np.nan, np.nan, np.nan]),
        "missing_left": np.array([True, False, False, False, False]),
    }
    return tuple(np.array(changes.get(name, array), array.dtype) for name, array in arrays.items())


LEAF = view(
    feature=[-1], left=[-1], categories=[], category_offsets=[0, 0], threshold=[np.nan], missing_left=[False]
)


def linked(*views: tuple[np.ndarray, ...]) -> tuple[tuple[int, int, int], np.ndarray, np.ndarray, np.ndarray]:
    nodes = np.zeros(sum(len(one[0]) for one in views), NODE)
    counts, depths = np.zeros(5, np.int64), np.full(len(views), -1, np.int32)
    return link(views, NUM_KNOWN, nodes, counts, depths), nodes, counts, depths


def test_children_counts_and_depths():
    fault, nodes, counts, depths = linked(view(), LEAF, view(missing_left=[False] * 5))
    assert fault == (0, 0, 0)
    assert nodes["left"].tolist() == [1, 3, 2, 3, 4, 0, 1, 3, 2, 3, 4]
    assert set(nodes["limit"].tolist()) == {NEVER}
    assert counts.tolist() == [1, 1, 2, 0, 0]  # sides of the number, then of the category
    assert depths.tolist() == [2, 0, 2]


@pytest.mark.parametrize(
    ("changes", "fault", "node"),
    [
        ({"category_offsets": [0, 0, 1, 1, 1, 1]}, OFFSETS, 0),
        ({"left": [1, 2, -1, -1, -1]}, PARENTS, 2),
        ({"left": [1, 1, -1, -1, -1]}, CHILD, 1),
        ({"feature": [2, 1, -1, -1, -1]}, FEATURE, 0),
        ({"threshold": [np.nan] * 5}, THRESHOLD, 0),
        ({"categories": [0, 3]}, CATEGORY, 1),
    ],
)
def test_the_fault_is_told_with_its_tree_and_node(changes, fault, node):
    assert linked(view(), view(**changes))[0] == (fault, 1, node)


def test_splits_are_gathered_by_feature_and_side():
    views = [view(), LEAF, view(missing_left=[False] * 5, threshold=[0.25, *[np.nan] * 4])]
    which, thresholds = np.empty(4, np.uint32), np.empty(4)
    gather(views, NUM_KNOWN, which, thresholds)
    assert which.tolist() == [6, 0, 1, 7]
    np.testing.assert_array_equal(thresholds, [0.25, 0.5, np.nan, np.nan])
    gather([], NUM_KNOWN, which[:0], thresholds[:0])


def test_limits_beyond_a_slot_go_to_the_next():
    nodes = np.zeros(3, NODE)
    set_limits(nodes, np.array([0, 2]), np.array([7, 21]), largest=10, slot=4)
    assert nodes["slot"].tolist() == [4, 0, 6]
    assert nodes["limit"].tolist() == [7, 0, 1]


def test_sets_list_what_goes_left_and_missing_values_last():
    views = [view(), view(missing_left=[False, True, False, False, False])]
    which = np.array([1, 6], np.uint32)
    nodes, categories = listed_categories(views, which, 3)
    assert sorted(zip(nodes.tolist(), categories.tolist(), strict=True)) == [
        (0, 0),
        (0, 2),
        (1, 0),
        (1, 2),
        (1, 3),
    ]
    sets = np.zeros((2, 2), np.uint32)
    fill_sets(views, which, np.array([0, 1, 33, 40], np.int32), sets)
    assert sets.tolist() == [[1, 2], [1, 2 + 2**8]]
