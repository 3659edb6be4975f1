"""The passes over all rows that turn targets into integers: compiled (fixed_point.c), or their NumPy twin.

What each returns is said in fixed_point_reference.py.
"""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np

from assay.tabular import fixed_point_reference as twin
from assay.tabular.fixed_point_reference import Extent, Packing
from assay.tabular.kernel import address, library


class _Extent(ctypes.Structure):
    """`Extent` of fixed_point.c."""

    _fields_ = [
        ("top", ctypes.c_double),
        *((name, ctypes.c_int64) for name in ("num_zeros", "num_negative", "scaled_sum")),
    ]


class _Packing(ctypes.Structure):
    """`Packing` of fixed_point.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("gradient_sum", "hessian_sum")),
        *((name, ctypes.c_int32) for name in ("gradient_is_exact", "hessian_is_exact", "has_zero_hessian")),
    ]


def _address(array: np.ndarray | None) -> int | None:
    return None if array is None else address(array)


def extent(values: np.ndarray, rows: np.ndarray | None, power: int) -> Extent:
    """The extent of the values of some rows; None for all."""
    kernel = _compiled()
    if kernel is None:
        return twin.extent(values, np.arange(len(values)) if rows is None else rows, power)
    found = _Extent()
    count = len(values) if rows is None else len(rows)
    kernel.assay_extent(_address(values), _address(rows), count, 2.0**power, ctypes.byref(found))
    return Extent(found.top, found.num_zeros, found.num_negative, power, found.scaled_sum)


def not_zero(gradient: np.ndarray, hessian: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those of the rows whose gradient or hessian is not zero."""
    kernel = _compiled()
    if kernel is None:
        return twin.not_zero(gradient, hessian, rows)
    kept = np.empty_like(rows)
    count = kernel.assay_not_zero(
        _address(gradient), _address(hessian), _address(rows), len(rows), _address(kept)
    )
    return kept[:count]


def scaled_squares(values: np.ndarray, power: int) -> int:
    """The sum of (v 2^power)^2, each v 2^power, below 2^26, without its fraction."""
    kernel = _compiled()
    if kernel is None:
        return twin.scaled_squares(values, power)
    return kernel.assay_scaled_squares(_address(values), len(values), 2.0**power)


def all_whole(values: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the values of some rows are whole numbers."""
    kernel = _compiled()
    if kernel is None:
        return twin.all_whole(values, rows)
    return bool(kernel.assay_all_whole(_address(values), _some(rows, values), len(rows)))


def pack(
    gradient: np.ndarray, hessian: np.ndarray | None, rows: np.ndarray, powers: tuple[int, int]
) -> tuple[np.ndarray, Packing]:
    """Records of gradient and hessian, and what came of it."""
    kernel = _compiled()
    if kernel is None:
        return twin.pack(gradient, hessian, rows, powers)
    records, found = np.empty(len(gradient), np.int32), _Packing()
    scales = (ctypes.c_double * 2)(2.0 ** powers[0], 2.0 ** powers[1])
    kernel.assay_pack(
        _address(gradient), _address(hessian), _some(rows, gradient), len(rows), scales, _address(records),
        ctypes.byref(found),
    )  # fmt: skip
    return records, _packing(found)


def pack_classes(
    labels: np.ndarray, weights: np.ndarray | None, rows: np.ndarray, power: int
) -> tuple[np.ndarray, Packing]:
    """Records of two classes, and what came of it."""
    kernel = _compiled()
    if kernel is None:
        return twin.pack_classes(labels, weights, rows, power)
    records, found = np.empty(len(labels), np.int32), _Packing()
    kernel.assay_pack_classes(
        _address(labels), _address(weights), _some(rows, labels), len(rows), 2.0**power, _address(records),
        ctypes.byref(found),
    )  # fmt: skip
    return records, _packing(found)


def _packing(found: _Packing) -> Packing:
    exact = bool(found.gradient_is_exact), bool(found.hessian_is_exact)
    return Packing(found.gradient_sum, found.hessian_sum, *exact, bool(found.has_zero_hessian))


def quantise(values: np.ndarray, rows: np.ndarray, power: int, *, is_weight: bool) -> np.ndarray:
    """v 2^power rounded to the nearest, or, of a weight, as a weight."""
    kernel = _compiled()
    if kernel is None:
        return twin.quantise(values, rows, power, is_weight=is_weight)
    units = np.empty(len(values), np.int64)
    kernel.assay_quantise(
        _address(values), _some(rows, values), len(rows), 2.0**power, is_weight, _address(units)
    )
    return units


def _some(rows: np.ndarray, values: np.ndarray) -> int | None:
    """The address of rows, unless they are all."""
    return None if len(rows) == len(values) else _address(rows)


@cache
def _compiled() -> ctypes.CDLL | None:
    kernel = library()
    if kernel is not None:
        pointer, count = ctypes.c_void_p, ctypes.c_int64
        kernel.assay_extent.argtypes = [pointer, pointer, count, ctypes.c_double, pointer]
        kernel.assay_pack.argtypes = [pointer, pointer, pointer, count, pointer, pointer, pointer]
        kernel.assay_quantise.argtypes = [pointer, pointer, count, ctypes.c_double, ctypes.c_int32, pointer]
        numbers = [count, ctypes.c_double]
        kernel.assay_pack_classes.argtypes = [pointer, pointer, pointer, *numbers, pointer, pointer]
        kernel.assay_pack_classes.restype = None
        kernel.assay_scaled_squares.argtypes = [pointer, *numbers]
        kernel.assay_all_whole.argtypes = [pointer, pointer, count]
        for function in (kernel.assay_extent, kernel.assay_pack, kernel.assay_quantise):
            function.restype = None
        kernel.assay_not_zero.argtypes = [pointer, pointer, pointer, count, pointer]
        kernel.assay_scaled_squares.restype = kernel.assay_not_zero.restype = count
    return kernel
