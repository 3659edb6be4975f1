"""The packed form of an ensemble: eight bytes per node, and one small code per row and slot.

A slot is a feature together with the side that its missing values take. The code of a number is how many of
the ensemble's thresholds on that feature are below it; a missing value has the code of the smallest number
where it goes left and of the largest where it goes right. So a node asks one question, ``code > limit``,
whatever the value. A feature with more thresholds than a code can count has several slots, each with its part
of them. Categories that no split tells apart share a code, missing is one more category, and a node looks the
code up in a bit set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from assay.data.table import Column, Schema
from assay.tabular.binning import Coding, address, count_values, describe, encode
from assay.tabular.tree import Tree

# `Node` of predict.h. The right child follows the left one; a leaf is its own left child. Children count from
# their tree's root. No code exceeds NEVER, the limit of leaves and of category splits.
NODE = np.dtype([("left", "u4"), ("slot", "u2"), ("limit", "u2")])
NEVER = 65535
BYTE_SLOTS = 64  # so many slots of one byte are preferred to fewer of two: trees are then descended fastest
GROUP_NODES = 1 << 16  # trees are read in groups of so many nodes: fast for small trees, lean for large ones


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
    """An ensemble as arrays over all nodes of all trees; the values stay in the trees.

    Args:
        slots: what the record of a row consists of, numbers (at least one) before categories.
        num_numeric: how many slots hold numbers.
        dtype: uint8 or uint16, of the codes.
        nodes: NODE[nodes].
        sets: uint32; the bit set of a category split, in which bit k says that code k goes left.
        set_at: uint32[nodes], where the set of a node begins in `sets`; empty if no node has one.
        values: float64[nodes, outputs] of each tree.
        roots: int64[trees + 1], where the nodes of each tree begin.
        depths: int32[trees].
    """

    slots: tuple[Slot, ...]
    num_numeric: int
    dtype: np.dtype
    nodes: np.ndarray
    sets: np.ndarray
    set_at: np.ndarray
    values: tuple[np.ndarray, ...]
    roots: np.ndarray
    depths: np.ndarray

    @property
    def outputs(self) -> int:
        """The number of values in a leaf."""
        return self.values[0].shape[1] if self.values else 1

    @cached_property
    def sources(self) -> np.ndarray:
        """SOURCE[slots] without the values of the columns."""
        return describe(slot.coding for slot in self.slots)

    @cached_property
    def addresses(self) -> np.ndarray:
        """uintp[trees]: where the values of each tree lie."""
        return np.array([address(array) for array in self.values], np.uintp)


def pack(trees: Sequence[Tree], schema: Schema) -> Packed:
    """The packed form of `trees`.

    Raises:
        ValueError: a tree is malformed, does not fit `schema`, or has too many features or categories.
    """
    if len(outputs := {tree.value.shape[1] for tree in trees}) > 1:
        raise ValueError(f"the trees of an ensemble must have equally many outputs, got {sorted(outputs)}")
    roots = np.cumsum([0, *(tree.num_nodes for tree in trees)])
    nodes, depths = np.zeros(int(roots[-1]), NODE), np.zeros(len(trees), np.int32)
    nodes["limit"] = NEVER
    number_parts: defaultdict[tuple[int, bool], list[tuple[np.ndarray, ...]]] = defaultdict(list)
    category_parts: defaultdict[int, list[tuple[np.ndarray, ...]]] = defaultdict(list)
    for first, end in _groups(roots):
        joined = _Joined(trees[first:end], schema, first)
        start = int(roots[first])
        nodes["left"][start : start + joined.size] = joined.children()
        depths[first:end] = joined.depths()
        for feature, side, at, thresholds in joined.numbers():
            number_parts[feature, side].append(((start + at).astype(np.uint32), thresholds))
        for feature, at, listed, lists in joined.categories():
            category_parts[feature].append(((start + at).astype(np.uint32), listed, lists))
        del joined  # before the next one takes memory

    # Parts are let go as soon as they are joined: together they are as large as the trees.
    numbers = [_NumericSplits.of(*key, number_parts.pop(key)) for key in sorted(number_parts)]
    categories = [
        _CategorySplits.of(feature, len(schema[feature].categories), category_parts.pop(feature))
        for feature in sorted(category_parts)
    ]
    dtype = _code_dtype(numbers, categories)
    slots, num_numeric = _cut(numbers, nodes, int(np.iinfo(dtype).max))
    sets, set_at = [], np.zeros(len(nodes) if categories else 0, np.uint32)
    for split in categories:
        nodes["slot"][split.nodes] = len(slots)
        slots.append(Slot(split.feature, (np.empty(0), split.codes[:-1], int(split.codes[-1]))))
        width = split.sets.shape[1]
        set_at[split.nodes] = sum(map(len, sets)) + width * np.arange(len(split.nodes))
        sets.append(split.sets.ravel())
    if len(slots) > NEVER:
        raise ValueError(f"cannot pack an ensemble with {len(slots)} slots, at most {NEVER}")
    sets.append(np.zeros(np.iinfo(dtype).max // 32 + 1, np.uint32))  # what lies past the last set may be read
    return Packed(
        slots=tuple(slots),
        num_numeric=num_numeric,
        dtype=dtype,
        nodes=nodes,
        sets=np.concatenate(sets),
        set_at=set_at,
        values=tuple(np.require(tree.value, np.float64, ["C", "A"]) for tree in trees),
        roots=roots,
        depths=depths,
    )


def _groups(roots: np.ndarray) -> Iterator[tuple[int, int]]:
    """Consecutive trees, from the first to before the end, of GROUP_NODES nodes together or one larger."""
    first = 0
    while first < len(roots) - 1:
        end = max(first + 1, int(np.searchsorted(roots, roots[first] + GROUP_NODES, side="right")) - 1)
        yield first, end
        first = end


@dataclass(frozen=True, eq=False)
class _NumericSplits:
    """The nodes that split on a feature and send missing values to one side."""

    feature: int
    missing_left: bool
    thresholds: np.ndarray  # of all these nodes, ascending
    nodes: np.ndarray
    limits: np.ndarray  # the index of each node's threshold

    @classmethod
    def of(cls, feature: int, missing_left: bool, parts: list[tuple[np.ndarray, ...]]) -> _NumericSplits:
        """The splits that groups of trees have: nodes and thresholds of each group."""
        nodes, thresholds = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        distinct, _ = count_values(thresholds, None)
        values = [Column("threshold", "numeric", thresholds)]
        limits, _ = encode(values, [(distinct, None, 0)], np.dtype(np.uint32), threads=1)
        return cls(feature, missing_left, distinct, nodes, limits[0])


@dataclass(frozen=True, eq=False)
class _CategorySplits:
    """The nodes that split on a category feature."""

    feature: int
    codes: np.ndarray  # of each category, and of missing values
    nodes: np.ndarray
    sets: np.ndarray  # uint32[nodes, words]

    @classmethod
    def of(cls, feature: int, num_categories: int, parts: list[tuple[np.ndarray, ...]]) -> _CategorySplits:
        """The splits that groups of trees have: nodes, categories listed, and which node lists each."""
        starts = np.cumsum([0, *(len(nodes) for nodes, _, _ in parts)])
        codes = np.arange(num_categories + 1, dtype=np.int32)
        if len(codes) > 256:
            listed = np.concatenate([listed for _, listed, _ in parts])
            lists = np.concatenate([start + lists for start, (*_, lists) in zip(starts, parts, strict=False)])
            codes = _classes(listed, lists, len(codes))
        sets = np.zeros((int(starts[-1]), codes.max() // 32 + 1), np.uint32)
        for start, (_, listed, lists) in zip(starts, parts, strict=False):
            code = codes[listed]
            bits = np.uint32(1) << (code & 31).astype(np.uint32)
            np.bitwise_or.at(sets, (start + lists, code >> 5), bits)
        return cls(feature, codes, np.concatenate([nodes for nodes, _, _ in parts]), sets)


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
    """The nodes of some trees in one row of arrays, checked; `first` is the number of the first tree."""

    def __init__(self, trees: Sequence[Tree], schema: Schema, first: int):
        self.schema, self.first = schema, first
        sizes = np.array([tree.num_nodes for tree in trees], np.int64)
        self.roots = np.concatenate([[0], np.cumsum(sizes)])
        self.size = int(self.roots[-1])
        self.owner = np.repeat(np.arange(len(trees)), sizes)
        self.feature = np.concatenate([tree.feature for tree in trees])
        self.threshold = np.concatenate([tree.threshold for tree in trees])
        self.missing_left = np.concatenate([tree.missing_left for tree in trees])
        self.inner = np.flatnonzero(self.feature >= 0)
        self.split_on = self.feature[self.inner]
        self.root = self.roots[self.owner[self.inner]]  # of each inner node
        self.left = self.root + np.concatenate([tree.left for tree in trees])[self.inner]
        self.listed = np.concatenate([tree.categories for tree in trees])
        num_listed = np.concatenate([np.diff(tree.category_offsets) for tree in trees])
        if (num_listed < 0).any() or num_listed.sum() != len(self.listed):
            raise ValueError("a tree is malformed: its category_offsets do not part its categories")
        self.listing = np.repeat(np.arange(self.size), num_listed)  # the node of each listed category
        self._check()

    def _check(self) -> None:
        end = self.roots[self.owner[self.inner] + 1]
        wrong = (self.left <= self.inner) | (self.left + 1 >= end)
        self._refuse(self.inner[wrong], "a child that is no later node")
        above = np.bincount(self.left, minlength=self.size)
        above[1:] += above[:-1].copy()  # the right child stands next to the left one
        above[self.roots[:-1]] += 1
        self._refuse(np.flatnonzero(above != 1), "several parents or none")
        self._refuse(
            self.inner[self.split_on >= len(self.schema)], f"a feature beyond the {len(self.schema)} known"
        )
        number = np.array([field.kind != "category" for field in self.schema], bool)[self.split_on]
        self._refuse(self.inner[number & np.isnan(self.threshold[self.inner])], "no threshold")
        known = np.array([len(field.categories) for field in self.schema] + [0])[self.feature[self.listing]]
        self._refuse(self.listing[(self.listed < 0) | (self.listed >= known)], "a category that is not known")

    def _refuse(self, nodes: np.ndarray, what: str) -> None:
        if len(nodes):
            tree = self.owner[nodes[0]]
            node = nodes[0] - self.roots[tree]
            raise ValueError(f"tree {self.first + tree} is malformed: node {node} has {what}")

    def children(self) -> np.ndarray:
        """The left child, or the leaf itself, counted from the root."""
        children = np.arange(self.size) - self.roots[self.owner]
        children[self.inner] = self.left - self.root
        return children

    def depths(self) -> np.ndarray:
        """The depth of every tree."""
        left = np.zeros(self.size, np.int64)
        left[self.inner] = self.left
        depths = np.zeros(len(self.roots) - 1, np.int32)
        child, depth = self.roots[:-1], 0
        while len(child := (found := left[child])[found > 0]):
            depths[self.owner[child]] = depth = depth + 1
            child = np.concatenate([child, child + 1])
        return depths

    def numbers(self) -> Iterator[tuple[int, bool, np.ndarray, np.ndarray]]:
        """By feature and by the side of missing values, the splits on numbers and their thresholds."""
        for feature, nodes in self._by_feature:
            if self.schema[feature].kind == "category":
                continue
            missing_left = self.missing_left[nodes]
            for side in (False, True):
                if len(here := nodes[missing_left == side]):
                    yield feature, side, here, self.threshold[here]

    def categories(self) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """By feature, the splits on categories, what they list, and which of them lists it."""
        for feature, nodes in self._by_feature:
            if self.schema[feature].kind != "category":
                continue
            here = np.flatnonzero(self.feature[self.listing] == feature)
            missing = nodes[self.missing_left[nodes]]  # missing is one more category
            last = np.full(len(missing), len(self.schema[feature].categories), self.listed.dtype)
            lists = np.searchsorted(nodes, np.append(self.listing[here], missing)).astype(np.int32)
            yield feature, nodes, np.append(self.listed[here], last), lists

    @cached_property
    def _by_feature(self) -> list[tuple[int, np.ndarray]]:
        """The inner nodes, ascending, of each feature that some of them split on."""
        few_bits = self.split_on.astype(np.min_scalar_type(len(self.schema)))  # sort fast
        nodes = self.inner[np.argsort(few_bits, kind="stable")]
        features, starts = np.unique(self.feature[nodes], return_index=True)
        return list(zip(features.tolist(), np.split(nodes, starts[1:]), strict=False))


def _classes(listed: np.ndarray, sets: np.ndarray, num_categories: int) -> np.ndarray:
    """int32[categories]: classes, such that categories in the same sets share one.

    Args:
        listed: the categories of all sets.
        sets: the set of each of them.
        num_categories: categories are in [0, num_categories).
    """
    order = np.lexsort((sets, listed))
    ends = np.cumsum(np.bincount(listed, minlength=num_categories))
    classes: dict[bytes, int] = {}
    members = np.split(sets[order], ends[:-1])
    return np.array([classes.setdefault(of_one.tobytes(), len(classes)) for of_one in members], np.int32)
