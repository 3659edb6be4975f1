"""The NumPy twin of splits.c: equal results where there is no compiled library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# `Node` of predict.h. The right child follows the left one; a leaf is its own left child. Children count from
# their tree's root. No code exceeds NEVER, the limit of leaves and of category splits.
NODE = np.dtype([("left", "u4"), ("slot", "u2"), ("limit", "u2")])
NEVER = 65535

# What may be wrong with a tree.
FAULTS = (
    "",
    "its category_offsets do not part its categories",
    "node {node} has several parents or none",
    "node {node} has a child that is no later node",
    "node {node} has a feature beyond the {known} known",
    "node {node} has no threshold",
    "node {node} has a category that is not known",
)
OFFSETS, PARENTS, CHILD, FEATURE, THRESHOLD, CATEGORY = range(1, 7)
View = tuple[np.ndarray, ...]  # feature, left, categories, category_offsets, threshold, missing_left


def link(
    views: Sequence[View], num_known: np.ndarray, nodes: np.ndarray, counts: np.ndarray, depths: np.ndarray
) -> tuple[int, int, int]:
    """What is wrong with the first tree that is malformed, which one, and at which node; or zeros.

    Args:
        views: the trees.
        num_known: int32[features], the categories known of each, -1 for numbers.
        nodes: NODE[nodes], is filled.
        counts: int64[2 * features + 1], the splits of every feature and side are added.
        depths: int32[trees], is filled.
    """
    start = 0
    for number, view in enumerate(views):
        feature, left = view[0], view[1].astype(np.int64)
        fault, node = _fault(view, num_known)
        if fault:
            return fault, number, node
        here = nodes[start : start + len(feature)]
        start += len(feature)
        here["left"] = np.where(feature < 0, np.arange(len(feature)), left)
        here["slot"], here["limit"] = 0, NEVER
        counts += np.bincount(_keys(view, num_known), minlength=len(counts))
        child, depths[number] = np.zeros(1, np.int64), 0
        while len(child := left[child[feature[child] >= 0]]):
            child = np.concatenate([child, child + 1])
            depths[number] += 1
    return 0, 0, 0


def _fault(view: View, num_known: np.ndarray) -> tuple[int, int]:
    feature, left, categories, offsets, threshold, _ = view
    size, inner = len(feature), np.flatnonzero(feature >= 0)
    listed = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(categories) or (listed < 0).any():
        return OFFSETS, 0
    listing = np.repeat(np.arange(size), listed)
    parents = np.zeros(size, np.int64)
    parents[0] = 1
    later = (left[inner] > inner) & (left[inner].astype(np.int64) + 1 < size)
    for side in (0, 1):
        np.add.at(parents, left[inner[later]] + side, 1)
    known = np.append(num_known, 0)[np.where(feature < len(num_known), feature, -1)]
    wrong = (
        (CHILD, inner[~later]),
        (PARENTS, np.flatnonzero(parents != 1)),
        (FEATURE, inner[feature[inner] >= len(num_known)]),
        (THRESHOLD, inner[(known[inner] < 0) & np.isnan(threshold[inner])]),
        (CATEGORY, listing[(categories < 0) | (categories >= known[listing])]),
    )
    return next(((fault, int(found[0])) for fault, found in wrong if len(found)), (0, 0))


def _keys(view: View, num_known: np.ndarray) -> np.ndarray:
    """Feature and side of every inner node: 2 f, or 2 f + 1 if missing values of a number go left."""
    inner = view[0] >= 0
    feature = view[0][inner].astype(np.int64)
    return 2 * feature + ((num_known[feature] < 0) & view[5][inner])


def gather(views: Sequence[View], num_known: np.ndarray, which: np.ndarray, thresholds: np.ndarray) -> None:
    """Lists inner nodes, counted over all trees, and their thresholds, by feature and side."""
    if not views:
        return
    order = np.argsort(np.concatenate([_keys(view, num_known) for view in views]), kind="stable")
    inner = np.flatnonzero(np.concatenate([view[0] for view in views]) >= 0)[order]
    which[:] = inner
    thresholds[:] = np.concatenate([view[4] for view in views])[inner]


def set_limits(nodes: np.ndarray, which: np.ndarray, limits: np.ndarray, largest: int, slot: int) -> None:
    """Sets slot and limit of some nodes."""
    nodes["slot"][which] = slot + limits // largest
    nodes["limit"][which] = limits % largest


def fill_sets(views: Sequence[View], which: np.ndarray, codes: np.ndarray, sets: np.ndarray) -> None:
    """Sets the bits of the codes that go left, of some nodes that split on one category feature."""
    lists, listed = listed_categories(views, which, len(codes) - 1)
    code = codes[listed]
    np.bitwise_or.at(sets, (lists, code >> 5), np.uint32(1) << (code & 31).astype(np.uint32))


def listed_categories(
    views: Sequence[View], which: np.ndarray, num_categories: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a node, by its place in `which`, and a category that goes left; missing values are the last.

    Args:
        views: the trees.
        which: nodes, ascending, counted over all trees, that split on one feature.
        num_categories: of the feature.
    """
    listing = np.repeat(
        np.arange(sum(len(view[0]) for view in views)), np.concatenate([np.diff(view[3]) for view in views])
    )
    here = np.flatnonzero(np.isin(listing, which))
    listed = np.concatenate([view[2] for view in views])[here]
    missing = which[np.concatenate([view[5] for view in views])[which]]
    nodes = np.append(listing[here], missing)
    return np.searchsorted(which, nodes), np.append(listed, np.full(len(missing), num_categories, np.int32))
