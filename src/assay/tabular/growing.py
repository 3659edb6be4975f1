"""The growth of a tree behind `grow`: compiled (kernel.c), or in NumPy where there is no compiled library."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np

from assay.tabular import reference
from assay.tabular.fixed_point import Statistics
from assay.tabular.kernel import library
from assay.tabular.reference import MASK, Problem, RawTree

LAYOUTS = {"packed": 0, "wide": 1, "classes": 2}
CRITERIA = {"newton": 0, "gini": 1, "entropy": 2}
POINTERS = (
    "columns", "records", "num_bins", "is_category", "is_exact", "highs", "high_offsets", "features", "rows", "first",
    "second",
)  # fmt: skip


class _Problem(ctypes.Structure):
    """`Problem` of kernel.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in POINTERS),
        *((name, ctypes.c_int64) for name in ("num_rows", "stride", "num_kept")),
        ("units", ctypes.c_double * 2),
        *((name, ctypes.c_double) for name in ("l1", "l2", "max_delta_step", "min_gain")),
        *((name, ctypes.c_double) for name in ("features_per_level", "features_per_node")),
        *((name, ctypes.c_int64) for name in ("min_samples_split", "min_samples_leaf", "min_weight")),
        ("seed", ctypes.c_uint64),
        *((name, ctypes.c_int32) for name in ("width", "num_features", "num_used", "layout", "criterion")),
        *(
            (name, ctypes.c_int32)
            for name in ("num_classes", "counted", "has_hidden_rows", "max_depth", "max_leaves", "max_features")
        ),
        *((name, ctypes.c_int32) for name in ("random_thresholds", "max_categories_onehot", "threads")),
    ]


class _Tree(ctypes.Structure):
    """`Tree` of kernel.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("nodes", "sums", "bins_left")),
        *((name, ctypes.c_int64) for name in ("num_nodes", "num_bins_left")),
    ]


# `Node` of kernel.c.
NODE = np.dtype(
    [
        *((name, "f8") for name in ("drawn", "gain")),
        *((name, "i8") for name in ("begin", "count", "bins_begin")),
        ("key", "u8"),
        *((name, "i4") for name in ("feature", "left", "right", "cut", "below", "above", "missing_left")),
        *((name, "i4") for name in ("depth", "num_bins_left")),
    ],
    align=True,
)


def grow(problem: Problem, threads: int) -> RawTree:
    """The tree of a problem."""
    kernel = _compiled()
    if kernel is None:
        return reference.grow(problem)
    statistics, limits, layout = problem.statistics, problem.limits, problem.layout
    arrays = {
        "columns": problem.columns,
        "records": problem.records,
        "num_bins": layout.num_bins,
        "is_category": layout.is_category,
        "is_exact": layout.is_exact,
        "highs": layout.highs,
        "high_offsets": layout.high_offsets,
        "features": problem.features,
        "rows": statistics.rows,
        "first": statistics.first,
        "second": statistics.second,
    }
    l1, l2, max_delta_step = problem.penalties
    argument = _Problem(
        **{name: None if array is None else array.ctypes.data for name, array in arrays.items()},
        num_rows=problem.columns.shape[1],
        stride=problem.records.shape[1],
        num_kept=len(statistics.rows),
        units=statistics.units,
        l1=l1,
        l2=l2,
        max_delta_step=max_delta_step,
        min_gain=limits.min_gain,
        features_per_level=limits.features_per_level,
        features_per_node=limits.features_per_node,
        min_samples_split=limits.min_samples_split,
        min_samples_leaf=limits.min_samples_leaf,
        min_weight=problem.min_weight,
        seed=problem.seed & MASK,
        width=problem.columns.itemsize,
        num_features=len(layout.num_bins),
        num_used=len(problem.features),
        layout=LAYOUTS[statistics.layout],
        criterion=CRITERIA[statistics.criterion],
        num_classes=statistics.num_classes,
        counted=statistics.counted,
        has_hidden_rows=statistics.has_hidden_rows,
        **{
            name: -1 if getattr(limits, name) is None else min(getattr(limits, name), 2**31 - 1)
            for name in ("max_depth", "max_leaves", "max_features")
        },
        random_thresholds=limits.random_thresholds,
        max_categories_onehot=min(limits.max_categories_onehot, 2**31 - 1),
        threads=threads,
    )
    leaf = np.full(problem.columns.shape[1], -1, np.int32)
    tree = kernel.assay_grow(ctypes.byref(argument), leaf.ctypes.data)
    if not tree:
        raise MemoryError("no memory to grow a tree")
    try:
        return _raw_tree(tree.contents, statistics, leaf)
    finally:
        kernel.assay_free_tree(tree)


def _raw_tree(tree: _Tree, statistics: Statistics, leaf: np.ndarray) -> RawTree:
    layout, num_classes = statistics.layout, statistics.num_classes
    words = {"packed": 1, "wide": 3}.get(layout, num_classes + statistics.counted)
    nodes = _copied(tree.nodes, tree.num_nodes, NODE)
    sums = _copied(tree.sums, tree.num_nodes * words, np.dtype(np.int64)).reshape(-1, words)
    if layout == "packed":
        sums = np.column_stack([sums >> 32, sums & 0xFFFFFFFF])
    else:  # without the count
        sums = sums[:, : 2 if layout == "wide" else num_classes]
    return RawTree(
        feature=nodes["feature"],
        left=nodes["left"],
        right=nodes["right"],
        cut=nodes["cut"],
        below=nodes["below"],
        above=nodes["above"],
        drawn=nodes["drawn"],
        missing_left=nodes["missing_left"] != 0,
        bins_left=_copied(tree.bins_left, tree.num_bins_left, np.dtype(np.int32)),
        bins_begin=nodes["bins_begin"],
        num_bins_left=nodes["num_bins_left"],
        gain=nodes["gain"],
        count=nodes["count"],
        sums=sums,
        leaf=leaf,
    )


def _copied(address: int | None, length: int, dtype: np.dtype) -> np.ndarray:
    if not length:
        return np.empty(0, dtype)
    return np.frombuffer(ctypes.string_at(address, length * dtype.itemsize), dtype)


@cache
def _compiled() -> ctypes.CDLL | None:
    kernel = library()
    if kernel is not None:
        kernel.assay_grow.restype = ctypes.POINTER(_Tree)
        kernel.assay_grow.argtypes = [ctypes.POINTER(_Problem), ctypes.c_void_p]
        kernel.assay_free_tree.restype = None
        kernel.assay_free_tree.argtypes = [ctypes.POINTER(_Tree)]
    return kernel
