"""The packed form of an ensemble: one integer per node, and one small code per row and slot.

A slot is a feature together with the side its missing values take. The code of a number is how many of the
ensemble's thresholds on that feature lie below it; a missing value has the code of the smallest number where it
goes left and of the largest where it goes right. So every node asks one question, ``code > limit``, whatever the
value. Categories are numbered so that those which no split tells apart are one class, missing is one more class,
and a node looks the class up in a bit set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from assay.data.table import Schema
from assay.tabular.binning import Coding
from assay.tabular.tree import Tree

# A node is left child | slot | limit, from the highest bit to the lowest. The right child follows the left one,
# and a leaf is its own left child with a limit that no code exceeds.
CHILD_SHIFT, SLOT_SHIFT = 40, 24
SLOT_MASK, LIMIT_MASK = (1 << 16) - 1, (1 << 24) - 1


@dataclass(frozen=True, eq=False)
class Slot:
    """How a column becomes codes.

    Args:
        feature: the column's index.
        missing: the code of a missing value.
        thresholds: float64, ascending; the code of a number is how many of them are below it. Empty for a
            category.
        classes: int32[categories], the code of each category. Empty for a number.
        sets: uint32[sets, words], bit k is 1 where class k goes left. Empty for a number.
    """

    feature: int
    missing: int
    thresholds: np.ndarray
    classes: np.ndarray
    sets: np.ndarray

    @property
    def coding(self) -> Coding:
        """What turns the column into codes."""
        return self.thresholds, self.classes, self.missing


@dataclass(frozen=True, eq=False)
class Packed:
    """An ensemble as arrays over all nodes of all trees.

    Args:
        slots: what the record of a row consists of, numbers before categories.
        num_numeric: how many slots hold numbers.
        dtype: uint8, uint16 or uint32, of the codes.
        nodes: uint64[nodes] as said above; children count from their tree's root.
        values: float64[nodes, outputs].
        original: int32[nodes], the index of each node in its tree.
        roots: int64[trees + 1], where the nodes of each tree begin.
        depths: int32[trees].
    """

    slots: tuple[Slot, ...]
    num_numeric: int
    dtype: np.dtype
    nodes: np.ndarray
    values: np.ndarray
    original: np.ndarray
    roots: np.ndarray
    depths: np.ndarray


def pack(trees: Sequence[Tree], schema: Schema) -> Packed:
    """The packed form of `trees`.

    Raises:
        ValueError: a tree is malformed, does not fit `schema`, or exceeds what a node's integer can hold.
    """
    if len(outputs := {tree.value.shape[1] for tree in trees}) > 1:
        raise ValueError(f"the trees of an ensemble must have equally many outputs, got {sorted(outputs)}")
    joined = _Joined(trees, schema)
    slots, slot_of, limits = [], np.zeros(joined.size, np.uint64), np.full(joined.size, LIMIT_MASK, np.uint64)
    for slot, nodes, limit in (*joined.numbers(), *joined.categories()):
        slot_of[nodes], limits[nodes] = len(slots), limit
        slots.append(slot)
    codes = max((max(len(slot.thresholds), len(slot.classes)) for slot in slots), default=0)
    if len(slots) > SLOT_MASK or codes >= LIMIT_MASK or joined.largest > LIMIT_MASK:
        raise ValueError(
            f"cannot pack an ensemble of {len(slots)} slots (at most {SLOT_MASK}), {codes} codes of a feature "
            f"(fewer than {LIMIT_MASK}), and {joined.largest} nodes of a tree (at most {LIMIT_MASK})"
        )
    place, left, depths = joined.layout()
    nodes = left.astype(np.uint64) << np.uint64(CHILD_SHIFT) | slot_of << np.uint64(SLOT_SHIFT) | limits
    order = np.argsort(place)
    values = np.concatenate([tree.value for tree in trees]) if trees else np.empty((0, 1))
    return Packed(
        slots=tuple(slots),
        num_numeric=sum(1 for slot in slots if not len(slot.sets)),
        dtype=np.min_scalar_type(codes),
        nodes=nodes[order],
        values=values[order],
        original=(order - joined.roots[joined.owner]).astype(np.int32),
        roots=joined.roots,
        depths=depths,
    )


class _Joined:
    """The nodes of all trees in one row of arrays, checked."""

    def __init__(self, trees: Sequence[Tree], schema: Schema):
        self.schema = schema
        sizes = np.array([tree.num_nodes for tree in trees], np.int64)
        self.roots = np.concatenate([[0], np.cumsum(sizes)])
        self.size, self.largest = int(self.roots[-1]), int(sizes.max(initial=0))
        self.owner = np.repeat(np.arange(len(trees)), sizes)
        self.feature = _concatenated([tree.feature for tree in trees], np.int64)
        self.threshold = _concatenated([tree.threshold for tree in trees], np.float64)
        self.missing_left = _concatenated([tree.missing_left for tree in trees], np.bool_)
        self.inner = np.flatnonzero(self.feature >= 0)
        root = self.roots[self.owner[self.inner]]
        self.left = root + _concatenated([tree.left for tree in trees], np.int64)[self.inner]
        self.right = root + _concatenated([tree.right for tree in trees], np.int64)[self.inner]
        self.listed = _concatenated([tree.categories for tree in trees], np.int64)
        num_listed = _concatenated([np.diff(tree.category_offsets) for tree in trees], np.int64)
        self.listing = np.repeat(np.arange(self.size), num_listed)  # the node of each listed category
        self._check()

    def _check(self) -> None:
        tree = self.owner[self.inner]
        for child in (self.left, self.right):
            wrong = (child <= self.inner) | (child >= self.roots[tree + 1])
            self._refuse(self.inner[wrong], "a child that is no later node")
        parents = np.bincount(np.concatenate([self.roots[:-1], self.left, self.right]), minlength=self.size)
        self._refuse(np.flatnonzero(parents != 1), "several parents or none")
        split_on = self.feature[self.inner]
        self._refuse(
            self.inner[split_on >= len(self.schema)], f"a feature beyond the {len(self.schema)} known"
        )
        numeric = np.array([field.kind != "category" for field in self.schema], bool)[split_on]
        self._refuse(self.inner[numeric & np.isnan(self.threshold[self.inner])], "no threshold")
        known = np.array([len(field.categories) for field in self.schema] + [0])[self.feature[self.listing]]
        self._refuse(self.listing[(self.listed < 0) | (self.listed >= known)], "a category that is not known")

    def _refuse(self, nodes: np.ndarray, what: str) -> None:
        if len(nodes):
            tree = self.owner[nodes[0]]
            raise ValueError(f"tree {tree} is malformed: node {nodes[0] - self.roots[tree]} has {what}")

    def layout(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """int64: the place of every node, siblings side by side; its left child within the tree; tree depths."""
        is_inner = self.feature >= 0
        inner_before = np.cumsum(is_inner) - is_inner
        rank = inner_before[self.inner] - inner_before[self.roots[self.owner[self.inner]]]
        place = np.empty(self.size, np.int64)
        place[self.roots[:-1]] = self.roots[:-1]
        root = self.roots[self.owner[self.inner]]
        place[self.left], place[self.right] = root + 2 * rank + 1, root + 2 * rank + 2
        left_child = place - self.roots[self.owner]
        left_child[self.inner] = 2 * rank + 1

        children = np.zeros((2, self.size), np.int64)
        children[:, self.inner] = self.left, self.right
        depths = np.zeros(len(self.roots) - 1, np.int32)
        level = self.roots[:-1]
        while len(level := level[is_inner[level]]):
            depths[self.owner[level]] += 1  # once per tree, as an indexed sum counts no index twice
            level = children[:, level].ravel()
        return place, left_child, depths

    def numbers(self) -> Iterator[tuple[Slot, np.ndarray, np.ndarray]]:
        """Each slot of numbers, its nodes and their limits."""
        none = np.empty(0, np.int32)
        for feature, nodes in self._by_feature(category=False):
            thresholds, limits = np.unique(self.threshold[nodes], return_inverse=True)
            to_left = self.missing_left[nodes]
            for side, missing in ((to_left, 0), (~to_left, len(thresholds))):
                if side.any():
                    yield Slot(feature, missing, thresholds, none, none), nodes[side], limits[side]

    def categories(self) -> Iterator[tuple[Slot, np.ndarray, np.ndarray]]:
        """Each slot of categories, its nodes and the index of the set of each."""
        for feature, nodes in self._by_feature(category=True):
            here = np.flatnonzero(self.feature[self.listing] == feature)
            index = np.searchsorted(nodes, self.listing[here])
            classes = _classes(self.listed[here], index, len(self.schema[feature].categories))
            missing = int(classes.max(initial=-1)) + 1
            sets = np.zeros((len(nodes), missing // 32 + 1), np.uint32)
            where = classes[self.listed[here]]
            np.bitwise_or.at(sets, (index, where >> 5), np.left_shift(1, where & 31).astype(np.uint32))
            to_left = self.missing_left[nodes].astype(np.uint32)
            sets[:, missing >> 5] |= to_left << np.uint32(missing & 31)
            yield Slot(feature, missing, np.empty(0), classes, sets), nodes, np.arange(len(nodes))

    def _by_feature(self, *, category: bool) -> Iterator[tuple[int, np.ndarray]]:
        nodes = self.inner[np.argsort(self.feature[self.inner], kind="stable")]
        features, starts = np.unique(self.feature[nodes], return_index=True)
        for feature, group in zip(features.tolist(), np.split(nodes, starts[1:]), strict=False):
            if (self.schema[feature].kind == "category") == category:
                yield feature, group


def _classes(listed: np.ndarray, sets: np.ndarray, num_categories: int) -> np.ndarray:
    """int32[categories]: categories that are in the same sets have one class, where they are too many for a byte.

    Args:
        listed: the categories of all sets.
        sets: the set of each of them, ascending.
    """
    if num_categories < 256:
        return np.arange(num_categories, dtype=np.int32)
    order = np.argsort(listed, kind="stable")
    ends = np.cumsum(np.bincount(listed, minlength=num_categories))
    classes: dict[bytes, int] = {}
    members = np.split(sets[order], ends[:-1])
    return np.array([classes.setdefault(of_one.tobytes(), len(classes)) for of_one in members], np.int32)


def _concatenated(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype, copy=False)
