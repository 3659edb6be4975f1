"""Prediction with a packed ensemble: compiled (predict.c), or in NumPy where there is no compiled library."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np

from assay.data.table import Table
from assay.tabular import predict_reference
from assay.tabular.binning import address, in_shares
from assay.tabular.kernel import library
from assay.tabular.packing import Packed

# Bytes of the records of the rows that are predicted together. They stay in the cache, but the larger a tree
# is, the more rows must descend it before the next one takes its place there.
RECORDS_SIZE, LARGEST_RECORDS_SIZE = 1 << 16, 1 << 20

ZERO = np.zeros(1)


class _Model(ctypes.Structure):
    """`Model` of predict.h."""

    _fields_ = [
        ("sources", ctypes.c_void_p),
        ("nodes", ctypes.c_void_p),
        ("sets", ctypes.c_void_p),
        ("set_at", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("roots", ctypes.c_void_p),
        ("depths", ctypes.c_void_p),
        ("num_trees", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("num_slots", ctypes.c_int32),
        ("num_numeric", ctypes.c_int32),
        ("width", ctypes.c_int32),
    ]


class _Target(ctypes.Structure):
    """`Target` of predict.h."""

    _fields_ = [("sums", ctypes.c_void_p), ("leaves", ctypes.c_void_p), ("groups", ctypes.c_int64)]


def leaves(packed: Packed, table: Table, threads: int) -> np.ndarray:
    """int32[rows, trees]: the node of its tree that every row ends in."""
    kernel = _compiled()
    if kernel is None:
        return predict_reference.leaves(packed, table)
    found = np.empty((table.num_rows, len(packed.depths)), np.int32)
    _predict(kernel, packed, table, _Target(None, address(found), 1), threads)
    return found


def add(packed: Packed, table: Table, sums: np.ndarray, threads: int) -> None:
    """Adds the value of every tree's leaf to `sums`, float64[rows, groups, outputs], tree after tree."""
    kernel = _compiled()
    if kernel is None:
        predict_reference.add(packed, table, sums)
    else:
        _predict(kernel, packed, table, _Target(address(sums), None, sums.shape[1]), threads)


def _predict(kernel: ctypes.CDLL, packed: Packed, table: Table, target: _Target, threads: int) -> None:
    sources = packed.sources.copy()
    columns = {slot.feature: table.columns[slot.feature].values for slot in packed.slots if slot.feature >= 0}
    places = {feature: (address(values), values.strides[0]) for feature, values in columns.items()}
    places[-1] = (address(ZERO), 0)  # the same for every row
    sources["values"], sources["stride"] = zip(*(places[slot.feature] for slot in packed.slots), strict=True)
    model = _Model(
        sources=address(sources),
        nodes=address(packed.nodes),
        sets=address(packed.sets),
        set_at=address(packed.set_at),
        values=address(packed.addresses),
        roots=address(packed.roots),
        depths=address(packed.depths),
        num_trees=len(packed.depths),
        outputs=packed.outputs,
        num_slots=len(packed.slots),
        num_numeric=packed.num_numeric,
        width=packed.dtype.itemsize,
    )
    record_size = len(packed.slots) * packed.dtype.itemsize
    largest_tree = int(np.diff(packed.roots).max(initial=0)) * packed.nodes.itemsize
    records_size = min(max(RECORDS_SIZE, 4 * largest_tree), LARGEST_RECORDS_SIZE)
    block = max(64, records_size // record_size & -64)

    def predict_share(first: int, count: int) -> None:
        scratch = np.empty(min(block, count + 63) * record_size, np.uint8)  # whole groups of 64 rows
        for start in range(first, first + count, block):
            size = min(block, first + count - start)
            kernel.assay_predict(ctypes.byref(model), ctypes.byref(target), start, size, address(scratch))

    in_shares(predict_share, table.num_rows, threads)


def _compiled() -> ctypes.CDLL | None:
    kernel = library()
    return None if kernel is None else _declared(kernel)


@cache
def _declared(kernel: ctypes.CDLL) -> ctypes.CDLL:
    pointer, int64 = ctypes.c_void_p, ctypes.c_int64
    kernel.assay_predict.argtypes = [pointer, pointer, int64, int64, pointer]
    kernel.assay_predict.restype = None
    return kernel
