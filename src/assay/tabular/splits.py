"""The splits of trees, by feature: compiled (splits.c), or in NumPy where there is no compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from assay.data.table import Schema
from assay.tabular import splits_reference
from assay.tabular.binning import address
from assay.tabular.kernel import library
from assay.tabular.splits_reference import FAULTS, NODE
from assay.tabular.tree import Tree

# `View` of splits.c, without the counts: the arrays of a tree.
VIEW = (
    ("feature", np.int32), ("left", np.int32), ("categories", np.int32), ("category_offsets", np.int32),
    ("threshold", np.float64), ("missing_left", np.bool_),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Splits:
    """Where the trees of an ensemble split.

    Args:
        trees: all of them, their arrays of the types and layout that the kernel reads.
        nodes: NODE[nodes] with the children; a leaf is its own. Slots are 0 and limits NEVER.
        depths: int32[trees].
        which: uint32, the inner nodes, counted over all trees and ascending, of each feature and side.
        thresholds: float64, the threshold of each, undefined for categories.
        starts: int64[2 * features + 1]; those of feature f whose missing values go left begin at 2 f + 1, the
            others, and all of a category, at 2 f.
    """

    trees: list[tuple[np.ndarray, ...]]
    nodes: np.ndarray
    depths: np.ndarray
    which: np.ndarray
    thresholds: np.ndarray
    starts: np.ndarray

    def by_feature(self) -> Iterator[tuple[int, bool, slice]]:
        """The features and sides that occur, ascending, and where their splits are."""
        for key in np.flatnonzero(np.diff(self.starts)).tolist():
            yield key // 2, bool(key % 2), slice(int(self.starts[key]), int(self.starts[key + 1]))


def splits_of(trees: Sequence[Tree], schema: Schema) -> Splits:
    """The splits of trees.

    Raises:
        ValueError: a tree is malformed or does not fit the schema.
    """
    views = [_view(number, tree) for number, tree in enumerate(trees)]
    sizes = [len(view[0]) for view in views]
    pointers, spare = _pointers(views), np.empty(2 * max(sizes, default=0), np.int32)
    known = [len(field.categories) if field.kind == "category" else -1 for field in schema]
    num_known = np.array(known, np.int32)
    nodes, depths = np.empty(sum(sizes), NODE), np.empty(len(trees), np.int32)
    counts = np.zeros(2 * len(schema) + 1, np.int64)
    kernel = _compiled()
    if kernel is None:
        fault, tree, node = splits_reference.link(views, num_known, nodes, counts, depths)
    else:
        place = np.zeros(2, np.int64)
        fault = kernel.assay_link_trees(
            address(pointers), len(views), len(schema),
            *map(address, (num_known, nodes, spare, counts, depths, place)),
        )  # fmt: skip
        tree, node = place.tolist()
    if fault:
        raise ValueError(f"tree {tree} is malformed: {FAULTS[fault].format(node=node, known=len(schema))}")
    starts = np.concatenate([[0], np.cumsum(counts[:-1])])
    which, thresholds = np.empty(int(starts[-1]), np.uint32), np.empty(int(starts[-1]))
    if kernel is None:
        splits_reference.gather(views, num_known, which, thresholds)
    else:
        following = starts.copy()
        kernel.assay_gather_splits(
            address(pointers), len(views), *map(address, (num_known, spare, following, which, thresholds))
        )
    return Splits(views, nodes, depths, which, thresholds, starts)


def set_limits(nodes: np.ndarray, which: np.ndarray, limits: np.ndarray, largest: int, slot: int) -> None:
    """Sets slot and limit of some nodes: a slot has at most `largest` thresholds, and further ones follow."""
    kernel = _compiled()
    if kernel is None:
        splits_reference.set_limits(nodes, which, limits, largest, slot)
    else:
        kernel.assay_set_limits(address(nodes), address(which), address(limits), len(which), largest, slot)


def sets_of(splits: Splits, which: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """uint32[len(which), words]: bit k says that code k goes left.

    Args:
        splits: of the trees.
        which: the nodes that split on one category feature.
        codes: int32, of each category and, last, of missing values.
    """
    sets = np.zeros((len(which), int(codes.max()) // 32 + 1), np.uint32)
    kernel = _compiled()
    if kernel is None:
        splits_reference.fill_sets(splits.trees, which, codes, sets)
    else:
        pointers = _pointers(splits.trees)
        kernel.assay_fill_sets(
            address(pointers), address(which), len(which), address(codes), len(codes) - 1,
            sets.shape[1], address(sets),
        )  # fmt: skip
    return sets


def _view(number: int, tree: Tree) -> tuple[np.ndarray, ...]:
    view = tuple(np.ascontiguousarray(getattr(tree, name), dtype) for name, dtype in VIEW)
    lengths = {name: len(array) for (name, _), array in zip(VIEW, view, strict=True)}
    expected = {**dict.fromkeys(lengths, tree.num_nodes), "categories": lengths["categories"]}
    expected["category_offsets"] = tree.num_nodes + 1
    if lengths != expected or not tree.num_nodes:
        raise ValueError(f"tree {number} is malformed: its arrays have the lengths {lengths}")
    return view


def _pointers(views: Sequence[tuple[np.ndarray, ...]]) -> np.ndarray:
    """uint64[trees, 8]: `View` of splits.c."""
    rows = [(*map(address, view), len(view[0]), len(view[2])) for view in views]
    return np.array(rows, np.uint64).reshape(len(views), len(VIEW) + 2)


def _compiled() -> ctypes.CDLL | None:
    kernel = library()
    return None if kernel is None else _declared(kernel)


@cache
def _declared(kernel: ctypes.CDLL) -> ctypes.CDLL:
    pointer, int64, int32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    kernel.assay_link_trees.argtypes = [pointer, int64, int32, *[pointer] * 6]
    kernel.assay_link_trees.restype = int32
    kernel.assay_gather_splits.argtypes = [pointer, int64, *[pointer] * 5]
    kernel.assay_set_limits.argtypes = [pointer, pointer, pointer, int64, ctypes.c_uint32, int32]
    kernel.assay_fill_sets.argtypes = [pointer, pointer, int64, pointer, int32, int64, pointer]
    for function in (kernel.assay_gather_splits, kernel.assay_set_limits, kernel.assay_fill_sets):
        function.restype = None
    return kernel
