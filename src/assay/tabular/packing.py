"""The packed form of an ensemble: eight bytes per node, and one small code per row and slot.

A slot is a feature together with the side that its missing values take. The code of a number is how many of
the ensemble's thresholds on that feature are below it; a missing value has the code of the smallest number
where it goes left and of the largest where it goes right. So a node asks one question, ``code > limit``,
whatever the value. A feature with more thresholds than a code can count has several slots, each with its part
of them. Categories that no split tells apart share a code, missing is one more category, and a node looks the
code up in a bit set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from assay.data.table import Column, Schema
from assay.tabular.binning import Coding, address, count_values, describe, encode
from assay.tabular.splits import Splits, set_limits, sets_of, splits_of
from assay.tabular.splits_reference import NEVER, listed_categories
from assay.tabular.tree import Tree

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
    splits = splits_of(trees, schema)
    roots, nodes = np.cumsum([0, *(tree.num_nodes for tree in trees)]), splits.nodes
    numbers, categories = [], []
    for feature, side, here in splits.by_feature():
        if schema[feature].kind == "category":
            categories.append(_CategorySplits.of(feature, schema, splits.which[here], splits))
        else:
            numbers.append(_NumericSplits.of(feature, side, splits.which[here], splits.thresholds[here]))
    dtype = _code_dtype(numbers, categories)
    slots, num_numeric = _cut(numbers, nodes, int(np.iinfo(dtype).max))
    sets, set_at = [], np.zeros(len(nodes) if categories else 0, np.uint32)
    for split in categories:
        set_limits(nodes, split.nodes, np.full(len(split.nodes), NEVER, np.uint32), NEVER + 1, len(slots))
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
        depths=splits.depths,
    )


@dataclass(frozen=True, eq=False)
class _NumericSplits:
    """The nodes that split on a feature and send missing values to one side."""

    feature: int
    missing_left: bool
    thresholds: np.ndarray  # of all these nodes, ascending
    nodes: np.ndarray
    limits: np.ndarray  # the index of each node's threshold

    @classmethod
    def of(
        cls, feature: int, missing_left: bool, nodes: np.ndarray, thresholds: np.ndarray
    ) -> _NumericSplits:
        """The splits of some nodes."""
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
    def of(cls, feature: int, schema: Schema, nodes: np.ndarray, splits: Splits) -> _CategorySplits:
        """The splits of some nodes, ascending."""
        codes = np.arange(len(schema[feature].categories) + 1, dtype=np.int32)
        if len(codes) > 256:
            sets, listed = listed_categories(splits.trees, nodes, len(codes) - 1)
            codes = _classes(listed, sets, len(codes))
        return cls(feature, codes, nodes, sets_of(splits, nodes, codes))


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
        set_limits(nodes, split.nodes, split.limits, largest, len(slots))
        for start in range(0, len(split.thresholds), largest):
            thresholds = split.thresholds[start : start + largest]
            coding = (thresholds, None, 0 if split.missing_left else len(thresholds))
            slots.append(Slot(split.feature, coding))
    if not slots:
        slots.append(Slot(-1, (np.empty(0), None, 0)))  # leaves read slot 0 and take it for a number
    return slots, len(slots)


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
