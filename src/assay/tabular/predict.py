"""Prediction with a packed ensemble: compiled (predict.c), or in NumPy where there is no compiled library."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np

from assay.data.table import Table
from assay.tabular import predict_reference
from assay.tabular.binning import address, in_shares, sources
from assay.tabular.kernel import library
from assay.tabular.packing import Packed

RECORDS_SIZE = 1 << 16  # bytes of the records of a block of rows: they should stay in the cache


class _Sets(ctypes.Structure):
    _fields_ = [("sets", ctypes.c_void_p), ("words", ctypes.c_int64)]


class _Model(ctypes.Structure):
    """`Model` of predict.c."""

    _fields_ = [
        ("sources", ctypes.c_void_p),
        ("sets", ctypes.c_void_p),
        ("nodes", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("original", ctypes.c_void_p),
        ("roots", ctypes.c_void_p),
        ("depths", ctypes.c_void_p),
        ("num_trees", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("num_slots", ctypes.c_int32),
        ("num_numeric", ctypes.c_int32),
        ("width", ctypes.c_int32),
    ]


def leaves(packed: Packed, table: Table, threads: int) -> np.ndarray:
    """int32[rows, trees]: the node of its tree that every row ends in."""
    kernel = _compiled()
    if kernel is None:
        return predict_reference.leaves(packed, table)
    found = np.empty((table.num_rows, len(packed.depths)), np.int32)
    _predict(kernel, packed, table, threads, 1, None, address(found))
    return found


def add(packed: Packed, table: Table, total: np.ndarray, threads: int) -> None:
    """Adds the value of every tree's leaf to `total`, float64[rows, groups, outputs], tree after tree."""
    kernel = _compiled()
    if kernel is None:
        predict_reference.add(packed, table, total)
    else:
        _predict(kernel, packed, table, threads, total.shape[1], address(total), None)


def _predict(
    kernel: ctypes.CDLL,
    packed: Packed,
    table: Table,
    threads: int,
    groups: int,
    total: int | None,
    found: int | None,
) -> None:
    columns = [table.columns[slot.feature] for slot in packed.slots]
    described = sources(columns, [slot.coding for slot in packed.slots])
    sets = (_Sets * len(packed.slots))(*((address(s.sets), s.sets.shape[-1]) for s in packed.slots))
    width = packed.dtype.itemsize
    model = _Model(
        sources=address(described),
        sets=ctypes.addressof(sets),
        nodes=address(packed.nodes),
        values=address(packed.values),
        original=address(packed.original),
        roots=address(packed.roots),
        depths=address(packed.depths),
        num_trees=len(packed.depths),
        outputs=packed.values.shape[1],
        num_slots=len(packed.slots),
        num_numeric=packed.num_numeric,
        width=width,
    )
    record_size = width * max(1, len(packed.slots))
    block = max(1, RECORDS_SIZE // record_size)

    def predict_share(first: int, count: int) -> None:
        records = np.zeros(min(block, count) * record_size, np.uint8)
        kernel.assay_predict(
            ctypes.byref(model), first, count, address(records), record_size, block, groups, total, found
        )

    in_shares(predict_share, table.num_rows, threads)


def _compiled() -> ctypes.CDLL | None:
    kernel = library()
    return None if kernel is None else _declared(kernel)


@cache
def _declared(kernel: ctypes.CDLL) -> ctypes.CDLL:
    pointer, int64 = ctypes.c_void_p, ctypes.c_int64
    kernel.assay_predict.argtypes = [
        pointer, int64, int64, pointer, int64, int64, int64, pointer, pointer
    ]  # fmt: skip
    kernel.assay_predict.restype = None
    return kernel
