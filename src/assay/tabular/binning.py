"""The two passes over rows behind `Bins`: compiled (binning.c), or in NumPy without a compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np

from assay.data.table import Column
from assay.tabular import binning_reference
from assay.tabular.kernel import address, library

# `Source` of codes.h.
SOURCE = np.dtype(
    [
        ("values", "u8"),
        ("stride", "i8"),
        ("thresholds", "u8"),
        ("classes", "u8"),
        ("size", "i4"),
        ("missing", "i4"),
    ]
)
FEW = 4096  # of binning.c: so many distinct values are sorted even where n is far larger
ROWS_PER_THREAD = 4096  # fewer are not worth a thread
Item = TypeVar("Item")
Result = TypeVar("Result")
# Thresholds; the code of each category, None for a column of numbers; the code of a missing value.
Coding = tuple[np.ndarray, np.ndarray | None, int]


def count_values(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, ascending, and the weight of each; NaN and rows of weight zero do not count.

    Args:
        values: float64[rows].
        weights: float64[rows], not negative; None counts rows.
    """
    kernel = _compiled()
    if kernel is None:
        return binning_reference.count_values(values, weights)
    n = len(values)
    weights = None if weights is None else np.ascontiguousarray(weights, np.float64)
    distinct, *room = (np.empty(min(n, FEW) if weights is None else n) for _ in range(4))
    counts = room[0]
    found = kernel.assay_count_values(
        address(values), values.strides[0], None if weights is None else address(weights), n,
        *map(address, (distinct, *room)),
    )  # fmt: skip
    if found < 0:
        distinct, counts = values + 0.0, np.empty(n)  # -0.0 becomes 0.0
        distinct.sort()  # by vectors, faster than any sort of keys with weights
        found = kernel.assay_count_sorted(address(distinct), n, address(counts))
    for array in (distinct, counts):
        array.resize(found, refcheck=False)
    return distinct, counts


def encode(
    columns: Sequence[Column], codings: Sequence[Coding], dtype: np.dtype, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes [features, rows]; has_missing[features].

    Args:
        columns: what to encode.
        codings: how, for each column.
        dtype: of the codes: uint8, uint16 or uint32.
        threads: at least 1.
    """
    kernel = _compiled()
    if kernel is None:
        return binning_reference.encode(columns, codings, dtype)
    num_rows = len(columns[0].values) if columns else 0
    by_column = np.empty((len(columns), num_rows), dtype)
    sources = describe(codings)
    sources["values"] = [address(column.values) for column in columns]
    sources["stride"] = [column.values.strides[0] for column in columns]
    missing = []

    def encode_share(first: int, count: int) -> None:
        missing.append(np.zeros(len(columns), np.bool_))
        kernel.assay_encode(
            address(sources), len(columns), first, count, num_rows, address(by_column), dtype.itemsize,
            address(missing[-1]),
        )  # fmt: skip

    in_shares(encode_share, num_rows, threads)
    return by_column, np.logical_or.reduce(missing)


def describe(codings: Iterable[Coding]) -> np.ndarray:
    """SOURCE[columns] without the values; what the codings hold must outlive it."""
    records = [
        (0, 0, address(thresholds), 0, len(thresholds), missing)
        if classes is None
        else (0, 0, 0, address(classes), len(classes), missing)
        for thresholds, classes, missing in codings
    ]
    return np.array(records, SOURCE)


def in_shares(work: Callable[[int, int], None], num_rows: int, threads: int) -> None:
    """Calls ``work(first, count)`` on shares of the rows, each in a thread of its own."""
    shares = max(1, min(threads, num_rows // ROWS_PER_THREAD))
    edges = [num_rows * share // shares for share in range(shares + 1)]
    in_threads(lambda share: work(edges[share], edges[share + 1] - edges[share]), range(shares), shares)


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """``work(item)`` of every item, in the order of the items."""
    if threads <= 1 or len(items) <= 1:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        return list(pool.map(work, items))


def _compiled() -> ctypes.CDLL | None:
    kernel = library()
    return None if kernel is None else _declared(kernel)


@cache
def _declared(kernel: ctypes.CDLL) -> ctypes.CDLL:
    pointer, int64, int32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    kernel.assay_count_values.argtypes = [pointer, int64, pointer, int64, pointer, pointer, pointer, pointer]
    kernel.assay_count_sorted.argtypes = [pointer, int64, pointer]
    kernel.assay_count_values.restype = kernel.assay_count_sorted.restype = int64
    kernel.assay_encode.argtypes = [pointer, int32, int64, int64, int64, pointer, int32, pointer]
    kernel.assay_encode.restype = None
    return kernel
