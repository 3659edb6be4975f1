"""The growth of a tree behind `grow`: compiled (kernel.c), or in NumPy where there is no compiled library."""

from __future__ import annotations

import ctypes
import math
import threading
from dataclasses import dataclass
from functools import cache
from weakref import WeakKeyDictionary

import numpy as np

from assay.tabular import reference
from assay.tabular.bins import Codes
from assay.tabular.kernel import address, library
from assay.tabular.problem import Nodes, Problem
from assay.tabular.reference import MASK

LAYOUTS = {"packed": 0, "wide": 1, "classes": 2}
CRITERIA = {"newton": 0, "gini": 1, "entropy": 2}
BUNDLES = ("bundle_begin", "members", "factors", "num_codes")
LAYOUT = (
    "num_bins", "is_category", "is_exact", "high_addresses", "threshold_addresses", "category_bins",
    "category_offsets",
)  # fmt: skip
NODES = (
    "feature", "left", "categories", "category_offsets", "count", "missing_left", "threshold", "gain",
    "weight", "value",
)  # fmt: skip
POINTERS = ("columns", "records", *BUNDLES, *LAYOUT, "features", "rows", "first", "second")


class _Problem(ctypes.Structure):
    """`Problem` of kernel.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in POINTERS),
        *((name, ctypes.c_int64) for name in ("num_rows", "stride", "num_kept")),
        ("units", ctypes.c_double * 2),
        *((name, ctypes.c_double) for name in ("l1", "l2", "max_delta_step", "noise", "min_gain")),
        *((name, ctypes.c_double) for name in ("features_per_level", "features_per_node")),
        *((name, ctypes.c_int64) for name in ("min_samples_split", "min_samples_leaf", "min_weight")),
        ("seed", ctypes.c_uint64),
        *((name, ctypes.c_int32) for name in ("width", "num_features", "num_used", "num_bundles")),
        *((name, ctypes.c_int32) for name in ("layout", "criterion", "num_classes", "counted")),
        *(
            (name, ctypes.c_int32)
            for name in ("has_short_weights", "max_depth", "max_leaves", "max_features")
        ),
        *((name, ctypes.c_int32) for name in ("random_thresholds", "max_categories_onehot", "threads")),
        ("is_alone", ctypes.c_int32),
    ]


class _Tree(ctypes.Structure):
    """The beginning of `Tree` of grower.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("num_nodes", "num_categories")),
    ]


class _Nodes(ctypes.Structure):
    """`Nodes` of kernel.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in NODES]


@dataclass(frozen=True, eq=False)
class Records:
    """The codes row by row, for histograms of all features at once.

    Features of few codes share a byte: the fewer bytes, the fewer additions. A bundle's code is the sum of
    its features' codes, each times its factor.

    Args:
        bundle_begin: int32[bundles + 1], where each bundle's features begin in ``members``.
        members: int32[features], the features by bundle.
        factors: int32[features].
        num_codes: int32[features], bins, and the missing one where it occurs.
        codes: unsigned [rows, stride], padded to 16 bytes.
    """

    bundle_begin: np.ndarray
    members: np.ndarray
    factors: np.ndarray
    num_codes: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, codes: Codes) -> Records:
        """The records of codes; their content is left to the kernel."""
        num_codes = (
            np.array([feature.num_bins for feature in codes.bins.features], np.int32) + codes.has_missing
        )
        itemsize = codes.columns.itemsize
        bundles: list[list[int]] = []
        for feature in np.argsort(-num_codes, kind="stable").tolist():
            for bundle in bundles if itemsize == 1 else ():
                if math.prod(num_codes[[*bundle, feature]].tolist()) <= 256:
                    bundle.append(feature)
                    break
            else:
                bundles.append([feature])
        factors = np.ones(len(num_codes), np.int32)
        for bundle in bundles:
            factors[bundle[1:]] = np.cumprod(num_codes[bundle[:-1]])
        stride = -(-len(bundles) * itemsize // 16) * 16 // itemsize
        return cls(
            bundle_begin=np.cumsum([0, *map(len, bundles)], dtype=np.int32),
            members=np.concatenate(bundles).astype(np.int32),
            factors=factors,
            num_codes=num_codes.astype(np.int32),
            codes=np.empty((codes.num_rows, stride), codes.columns.dtype),
        )


_records: WeakKeyDictionary[Codes, Records] = WeakKeyDictionary()
_records_lock = threading.Lock()


def grow(problem: Problem, threads: int, *, alone: bool = False) -> Nodes:
    """The tree of a problem.

    Args:
        problem: checked.
        threads: at most so many.
        alone: no other tree follows: memory is given back to the system instead of being kept for it.
    """
    kernel = _compiled()
    if kernel is None:
        return reference.grow(problem)
    argument = _argument(problem, threads, alone=alone)
    if _wants_histograms(problem):
        with _records_lock:
            records = _records.get(problem.codes)
            if records is None:
                records = Records.of(problem.codes)
                _set_records(argument, records)
                kernel.assay_bundle(argument, address(records.codes))
                _records[problem.codes] = records
        _set_records(argument, records)
    leaf = np.empty(problem.codes.num_rows, np.int32)
    if len(problem.statistics.rows) < len(leaf):
        leaf.fill(-1)
    tree = kernel.assay_grow(argument, address(leaf))
    if not tree:
        raise MemoryError("no memory to grow a tree")
    try:
        num_nodes, num_classes = tree.contents.num_nodes, problem.statistics.num_classes
        if tree.contents.num_categories >= 2**31:
            raise MemoryError("the splits of a tree list more categories than can be counted")
        nodes = Nodes(
            feature=np.empty(num_nodes, np.int32),
            left=np.empty(num_nodes, np.int32),
            missing_left=np.empty(num_nodes, bool),
            threshold=np.empty(num_nodes),
            categories=np.empty(tree.contents.num_categories, np.int32),
            category_offsets=np.empty(num_nodes + 1, np.int32),
            gain=np.empty(num_nodes),
            count=np.empty(num_nodes, np.int32),
            weight=np.empty(num_nodes),
            value=np.empty((num_nodes, num_classes or 1)),
            leaf=leaf,
        )
        pointers = _Nodes(*(address(getattr(nodes, name)) for name in NODES))
        kernel.assay_copy_tree(argument, tree, pointers)
    finally:
        kernel.assay_free_tree(tree)
    return nodes


def set_means(leaf: np.ndarray, target: np.ndarray, weight: np.ndarray | None, value: np.ndarray) -> None:
    """Replaces the values of leaves by the weighted means of their rows' targets.

    Args:
        leaf: int32[rows]; -1 for a row in none.
        target: float64[rows].
        weight: float64[rows], more than zero in a leaf; None for ones.
        value: float64[nodes], contiguous.
    """
    target = np.ascontiguousarray(target, np.float64)
    weight = None if weight is None else np.ascontiguousarray(weight, np.float64)
    sums = np.zeros((len(value) + 1, 2))  # Of rows without a leaf, the last.
    kernel = _compiled()
    if kernel is None:
        np.add.at(sums[:, 0], leaf, 1.0 if weight is None else weight)
        np.add.at(sums[:, 1], leaf, target if weight is None else weight * target)
        np.divide(sums[:-1, 1], sums[:-1, 0], out=value, where=sums[:-1, 0] > 0)
        return
    weights = None if weight is None else address(weight)
    kernel.assay_set_means(
        len(leaf), address(leaf), address(target), weights, len(value), address(sums), address(value)
    )


def _wants_histograms(problem: Problem) -> bool:
    """Whether most features are looked at in every node, so that sums of all of them pay.

    Of more bins than every second row has, an unlimited tree would keep many histograms for little: it spends
    its time in nodes of few rows, which have none.
    """
    limits = problem.limits
    if limits.max_depth is None and 2 * int(problem.layout.num_bins.sum()) > problem.codes.num_rows:
        return False
    every = limits.max_features is None or limits.max_features >= len(problem.features)
    return every and limits.features_per_level * limits.features_per_node >= 0.5


def _argument(problem: Problem, threads: int, *, alone: bool) -> _Problem:
    """The argument of the kernel, without records; it points into the arrays of ``problem``."""
    statistics, limits, layout, codes = problem.statistics, problem.limits, problem.layout, problem.codes
    l1, l2, max_delta_step = problem.penalties
    is_one = (
        statistics.layout == "wide" and statistics.second is not None and not any(statistics.second.strides)
    )
    return _Problem(
        columns=address(codes.columns),
        **{name: address(getattr(layout, name)) for name in LAYOUT},
        features=address(problem.features),
        rows=address(statistics.rows),
        first=address(statistics.first),
        second=None if statistics.second is None or is_one else address(statistics.second),
        num_rows=codes.num_rows,
        num_kept=len(statistics.rows),
        units=statistics.units,
        l1=l1,
        l2=l2,
        max_delta_step=max_delta_step,
        noise=problem.noise,
        min_gain=limits.min_gain,
        features_per_level=limits.features_per_level,
        features_per_node=limits.features_per_node,
        min_samples_split=limits.min_samples_split,
        min_samples_leaf=limits.min_samples_leaf,
        min_weight=problem.min_weight,
        seed=problem.seed & MASK,
        width=codes.columns.itemsize,
        num_features=len(layout.num_bins),
        num_used=len(problem.features),
        layout=LAYOUTS[statistics.layout],
        criterion=CRITERIA[statistics.criterion],
        num_classes=statistics.num_classes,
        counted=statistics.counted and not is_one,
        has_short_weights=statistics.has_short_weights,
        **{
            name: -1 if getattr(limits, name) is None else min(getattr(limits, name), 2**31 - 1)
            for name in ("max_depth", "max_leaves", "max_features")
        },
        random_thresholds=limits.random_thresholds,
        max_categories_onehot=min(limits.max_categories_onehot, 2**31 - 1),
        threads=threads,
        is_alone=alone,
    )


def _set_records(argument: _Problem, records: Records) -> None:
    argument.records = address(records.codes)
    argument.stride = records.codes.shape[1]
    argument.num_bundles = len(records.bundle_begin) - 1
    for name in BUNDLES:
        setattr(argument, name, address(getattr(records, name)))


@cache
def _compiled() -> ctypes.CDLL | None:
    kernel = library()
    if kernel is not None:
        kernel.assay_grow.restype = ctypes.POINTER(_Tree)
        kernel.assay_grow.argtypes = [ctypes.POINTER(_Problem), ctypes.c_void_p]
        kernel.assay_bundle.restype = None
        kernel.assay_bundle.argtypes = [ctypes.POINTER(_Problem), ctypes.c_void_p]
        kernel.assay_copy_tree.restype = None
        kernel.assay_copy_tree.argtypes = [ctypes.POINTER(kind) for kind in (_Problem, _Tree, _Nodes)]
        kernel.assay_set_means.restype = None
        kernel.assay_set_means.argtypes = [
            ctypes.c_int64, *[ctypes.c_void_p] * 3, ctypes.c_int64, *[ctypes.c_void_p] * 2,
        ]  # fmt: skip
        kernel.assay_free_tree.restype = None
        kernel.assay_free_tree.argtypes = [ctypes.POINTER(_Tree)]
    return kernel
