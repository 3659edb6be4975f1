"""The packed form of an ensemble: eight bytes per node, and one small code per row and slot.

A slot is a feature together with the side that its missing values take. The code of a number is how many of
the ensemble's thresholds on that feature are below it; a missing value has the code of the smallest number
where it goes left and of the largest where it goes right. So a node asks one question, ``code > limit``,
whatever the value. A feature with more thresholds than a code can count has several slots, each with its part
of them. Categories that no split tells apart share a code, missing is one more category, and a node looks the
code up in a bit set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from assay.data.table import Schema
from assay.tabular.binning import Coding, describe
from assay.tabular.tree import Tree

# `Node` of predict.h. The right child follows the left one; a leaf is its own left child. Children count from
# their tree's root. No code exceeds NEVER, the limit of leaves and of category splits.
NODE = np.dtype([("left", "u4"), ("slot", "u2"), ("limit", "u2")])
NEVER = 65535
BYTE_SLOTS = 64  # so many slots of one byte are preferred to fewer of two: trees are then descended fastest


@dataclass(frozen=True, eq=False)
class Slot:
    """How a column becomes codes.

    Args:
        feature: the column's index, -1 for a slot whose code is always 0.
        coding: what turns the column into codes.
    """

    feature: int
    coding: Coding


@dataclass(frozen=True, eq=False)
class Packed:
    """An ensemble as arrays over all nodes of all trees.

    Args:
        slots: what the record of a row consists of, numbers (at least one) before categories.
        num_numeric: how many slots hold numbers.
        dtype: uint8 or uint16, of the codes.
        nodes: NODE[nodes].
        sets: uint32; the bit set of a category split, in which bit k says that code k goes left.
        set_at: uint32[nodes], where the set of a node begins in `sets`; empty if no node has one.
        values: float64[nodes, outputs].
        original: int32[nodes], the index of each node in its tree.
        roots: int64[trees + 1], where the nodes of each tree begin.
        depths: int32[trees].
    """

    slots: tuple[Slot, ...]
    num_numeric: int
    dtype: np.dtype
    nodes: np.ndarray
    sets: np.ndarray
    set_at: np.ndarray
    values: np.ndarray
    original: np.ndarray
    roots: np.ndarray
    depths: np.ndarray

    @cached_property
    def sources(self) -> np.ndarray:
        """SOURCE[slots] without the values of the columns."""
        return describe(slot.coding for slot in self.slots)


def pack(trees: Sequence[Tree], schema: Schema) -> Packed:
    """The packed form of `trees`.

    Raises:
        ValueError: a tree is malformed, does not fit `schema`, or has too many features or categories.
    """
    if len(outputs := {tree.value.shape[1] for tree in trees}) > 1:
        raise ValueError(f"the trees of an ensemble must have equally many outputs, got {sorted(outputs)}")
    joined = _Joined(trees, schema)
    numbers, categories = list(joined.numbers()), list(joined.categories())
    dtype = _code_dtype(numbers, categories)

    nodes = np.zeros(joined.size, NODE)
    nodes["limit"] = NEVER
    slots, num_numeric = _cut(numbers, nodes, int(np.iinfo(dtype).max))
    sets, set_at = [], np.zeros(joined.size if categories else 0, np.uint32)
    for split in categories:
        nodes["slot"][split.nodes] = len(slots)
        slots.append(Slot(split.feature, (np.empty(0), split.codes[:-1], int(split.codes[-1]))))
        width = split.sets.shape[1]
        set_at[split.nodes] = sum(map(len, sets)) + width * np.arange(len(split.nodes))
        sets.append(split.sets.ravel())
    if len(slots) > NEVER:
        raise ValueError(f"cannot pack an ensemble with {len(slots)} slots, at most {NEVER}")
    sets.append(np.zeros(np.iinfo(dtype).max // 32 + 1, np.uint32))  # what lies past the last set may be read

    place, nodes["left"], depths = joined.layout()
    order = np.empty_like(place)
    order[place] = np.arange(len(place))
    values = np.concatenate([tree.value for tree in trees]) if trees else np.empty((0, 1))
    return Packed(
        slots=tuple(slots),
        num_numeric=num_numeric,
        dtype=dtype,
        nodes=nodes[order],
        sets=np.concatenate(sets),
        set_at=set_at[order] if categories else set_at,
        values=values[order].astype(np.float64, copy=False),
        original=(order - joined.roots[joined.owner]).astype(np.int32),
        roots=joined.roots,
        depths=depths,
    )


@dataclass(frozen=True, eq=False)
class _NumericSplits:
    """The nodes that split on a feature and send missing values to one side."""

    feature: int
    missing_left: bool
    thresholds: np.ndarray  # of all nodes that split on the feature, ascending
    nodes: np.ndarray
    limits: np.ndarray  # the index of each node's threshold


@dataclass(frozen=True, eq=False)
class _CategorySplits:
    """The nodes that split on a category feature."""

    feature: int
    codes: np.ndarray  # of each category, and of missing values
    nodes: np.ndarray
    sets: np.ndarray  # uint32[nodes, words]


def _code_dtype(numbers: list[_NumericSplits], categories: list[_CategorySplits]) -> np.dtype:
    """uint8 where categories allow it and features need not be cut into many slots, else uint16."""
    most = max((int(split.codes.max()) for split in categories), default=0)
    if most > NEVER:
        raise ValueError(f"cannot pack an ensemble that tells {most} categories apart, at most {NEVER}")
    in_bytes = sum(max(1, -(-len(split.thresholds) // 255)) for split in numbers)
    return np.dtype(np.uint8 if most < 256 and in_bytes <= max(BYTE_SLOTS, len(numbers)) else np.uint16)


def _cut(numbers: list[_NumericSplits], nodes: np.ndarray, largest: int) -> tuple[list[Slot], int]:
    """The slots of numbers, none with more than `largest` thresholds; sets slot and limit of the nodes."""
    slots = []
    for split in numbers:
        for start in range(0, len(split.thresholds), largest):
            thresholds = split.thresholds[start : start + largest]
            here = (split.limits >= start) & (split.limits < start + largest)
            nodes["slot"][split.nodes[here]] = len(slots)
            nodes["limit"][split.nodes[here]] = split.limits[here] - start
            coding = (thresholds, None, 0 if split.missing_left else len(thresholds))
            slots.append(Slot(split.feature, coding))
    if not slots:
        slots.append(Slot(-1, (np.empty(0), None, 0)))  # leaves read slot 0 and take it for a number
    return slots, len(slots)


class _Joined:
    """The nodes of all trees in one row of arrays, checked."""

    def __init__(self, trees: Sequence[Tree], schema: Schema):
        self.schema = schema
        sizes = np.array([tree.num_nodes for tree in trees], np.int64)
        self.roots = np.concatenate([[0], np.cumsum(sizes)])
        self.size = int(self.roots[-1])
        self.owner = np.repeat(np.arange(len(trees)), sizes)
        self.feature = _concatenated([tree.feature for tree in trees], np.int64)
        self.threshold = _concatenated([tree.threshold for tree in trees], np.float64)
        self.missing_left = _concatenated([tree.missing_left for tree in trees], np.bool_)
        self.inner = np.flatnonzero(self.feature >= 0)
        self.root = self.roots[self.owner[self.inner]]  # of each inner node
        self.left = self.root + _concatenated([tree.left for tree in trees], np.int64)[self.inner]
        self.right = self.root + _concatenated([tree.right for tree in trees], np.int64)[self.inner]
        self.listed = _concatenated([tree.categories for tree in trees], np.int64)
        num_listed = _concatenated([np.diff(tree.category_offsets) for tree in trees], np.int64)
        if (num_listed < 0).any() or num_listed.sum() != len(self.listed):
            raise ValueError("a tree is malformed: its category_offsets do not part its categories")
        self.listing = np.repeat(np.arange(self.size), num_listed)  # the node of each listed category
        self._check()

    def _check(self) -> None:
        end = self.roots[self.owner[self.inner] + 1]
        for child in (self.left, self.right):
            self._refuse(self.inner[(child <= self.inner) | (child >= end)], "a child that is no later node")
        above = np.bincount(np.concatenate([self.roots[:-1], self.left, self.right]), minlength=self.size)
        self._refuse(np.flatnonzero(above != 1), "several parents or none")
        split_on = self.feature[self.inner]
        self._refuse(
            self.inner[split_on >= len(self.schema)], f"a feature beyond the {len(self.schema)} known"
        )
        number = np.array([field.kind != "category" for field in self.schema], bool)[split_on]
        self._refuse(self.inner[number & np.isnan(self.threshold[self.inner])], "no threshold")
        known = np.array([len(field.categories) for field in self.schema] + [0])[self.feature[self.listing]]
        self._refuse(self.listing[(self.listed < 0) | (self.listed >= known)], "a category that is not known")

    def _refuse(self, nodes: np.ndarray, what: str) -> None:
        if len(nodes):
            tree = self.owner[nodes[0]]
            raise ValueError(f"tree {tree} is malformed: node {nodes[0] - self.roots[tree]} has {what}")

    def layout(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The place of every node, siblings side by side; its left child there; the depth of every tree."""
        is_inner = self.feature >= 0
        inner_before = np.cumsum(is_inner) - is_inner
        rank = inner_before[self.inner] - inner_before[self.root]
        place = np.arange(self.size)  # the roots stay where they are
        place[self.left], place[self.right] = self.root + 2 * rank + 1, self.root + 2 * rank + 2
        left = place - self.roots[self.owner]
        left[self.inner] = 2 * rank + 1

        children = np.zeros((2, self.size), np.int64)
        children[:, self.inner] = self.left, self.right
        depths = np.zeros(len(self.roots) - 1, np.int32)
        level = self.roots[:-1]
        while len(level := level[is_inner[level]]):
            depths[self.owner[level]] += 1  # once per tree: an indexed sum counts no index twice
            level = children[:, level].ravel()
        return place, left, depths

    def numbers(self) -> Iterator[_NumericSplits]:
        """The splits on numbers by feature and by the side of missing values."""
        for feature, nodes in self._by_feature:
            if self.schema[feature].kind == "category":
                continue
            thresholds, limits = np.unique(self.threshold[nodes], return_inverse=True)
            missing_left = self.missing_left[nodes]
            for side in (False, True):
                if (here := missing_left == side).any():
                    yield _NumericSplits(feature, side, thresholds, nodes[here], limits[here])

    def categories(self) -> Iterator[_CategorySplits]:
        """The splits on categories by feature."""
        for feature, nodes in self._by_feature:
            if self.schema[feature].kind != "category":
                continue
            num_categories = len(self.schema[feature].categories)
            here = np.flatnonzero(self.feature[self.listing] == feature)
            missing = np.flatnonzero(self.missing_left[nodes])  # missing is one more category
            listed = np.concatenate([self.listed[here], np.full(len(missing), num_categories)])
            index = np.concatenate([np.searchsorted(nodes, self.listing[here]), missing])
            codes = _classes(listed, index, num_categories + 1)
            sets = np.zeros((len(nodes), codes.max() // 32 + 1), np.uint32)
            code = codes[listed]
            np.bitwise_or.at(sets, (index, code >> 5), np.uint32(1) << (code & 31).astype(np.uint32))
            yield _CategorySplits(feature, codes, nodes, sets)

    @cached_property
    def _by_feature(self) -> list[tuple[int, np.ndarray]]:
        """The inner nodes, ascending, of each feature that some of them split on."""
        feature = self.feature[self.inner].astype(np.min_scalar_type(len(self.schema)))  # few bits sort fast
        nodes = self.inner[np.argsort(feature, kind="stable")]
        features, starts = np.unique(self.feature[nodes], return_index=True)
        return list(zip(features.tolist(), np.split(nodes, starts[1:]), strict=False))


def _classes(listed: np.ndarray, sets: np.ndarray, num_categories: int) -> np.ndarray:
    """int32[categories]: classes; where a byte is too small, categories in the same sets share one.

    Args:
        listed: the categories of all sets.
        sets: the set of each of them.
        num_categories: categories are in [0, num_categories).
    """
    if num_categories <= 256:
        return np.arange(num_categories, dtype=np.int32)
    order = np.lexsort((sets, listed))
    ends = np.cumsum(np.bincount(listed, minlength=num_categories))
    classes: dict[bytes, int] = {}
    members = np.split(sets[order], ends[:-1])
    return np.array([classes.setdefault(of_one.tobytes(), len(classes)) for of_one in members], np.int32)


def _concatenated(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype, copy=False)
