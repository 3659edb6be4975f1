"""Targets of a tree as integers, so that their sums do not depend on the order of the rows or the threads.

All scales are powers of two: small integers (0/1 targets, bootstrap counts) are represented exactly, and so
is any number whose last bit lies inside the format.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from assay.tabular import fixed_point_reference as twin
from assay.tabular.fixed_point_reference import Extent, Packing
from assay.tabular.kernel import address, library

Layout = Literal["packed", "wide", "classes"]
Criterion = Literal["newton", "gini", "entropy"]

# With fewer units per row on average, rounding to the nearest would bias gradients by more than 2 %.
COARSEST_MEAN = 32
Format = tuple[int, int]  # largest magnitude of a row, largest sum of magnitudes
PACKED_GRADIENT: Format = (2**15 - 1, 2**31 - 1)
PACKED_HESSIAN: Format = (2**16 - 1, 2**31 - 1)
WIDE: Format = (2**62, 2**62)
MAX_POWER = 1000
LARGEST = 1e270  # magnitude, so that scales of sums stay finite
LOWEST_HIGH = -900  # smaller magnitudes are bounded by 2^-900, which keeps 2^(31 - high) finite


@dataclass(frozen=True, eq=False)
class Statistics:
    """What every row adds to the cell of its bin, in integers.

    Two classes are stored as gradient = weight of class 1 and hessian = weight.

    Args:
        layout: "packed": 16 + 16 bits per row, 32 + 32 bits per cell; "wide": 64-bit gradient, hessian and
            count; "classes": the weight of every class, and a count if ``counted``.
        criterion: how a cell is scored.
        rows: int32, ascending: the rows of the table that count.
        first: one element per row of the table, undefined where it does not count; packed: int32, gradient in
            the upper half, hessian in the lower; wide: int64 gradient; classes: int32 label.
        second: likewise; packed: None; wide: int64 hessian; classes: int64 weight.
        units: value of one unit of the gradient and of the hessian (or weight).
        num_classes: K; 0 for Newton targets.
        counted: whether a cell counts rows; if not, its weight is the count, or no count is needed.
        has_short_weights: of classes: whether no row's weight exceeds 15 bits.
        is_exact: whether no row was rounded, as far as is known.
    """

    layout: Layout
    criterion: Criterion
    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray | None
    units: tuple[float, float]
    num_classes: int
    counted: bool
    has_short_weights: bool
    is_exact: bool


def power(values: np.ndarray, rows: np.ndarray, extent: Extent, largest: Format) -> int:
    """The k of the scale 2^k that fits some rows into a format: 0 for whole numbers, or else the greatest.

    It is found with integers, so it does not depend on the order of the rows.
    """
    if not extent.top > 0:
        return 0
    high = int(np.frexp(extent.top)[1])  # top < 2^high
    greatest = largest[0].bit_length() - high
    greatest -= bool(np.ldexp(extent.top, greatest) > largest[0])
    room = largest[1] - len(rows)  # rounding adds at most half a unit per row
    if len(rows) * largest[0] > room:
        high = max(high, LOWEST_HIGH)
        bound = _scaled_sum(values, rows, 31 - high) + len(
            rows
        )  # the sum is less than this times 2^(high - 31)
        halvings = (-(-bound // room) - 1).bit_length()
        shift = (room // bound).bit_length() - 1 if room >= bound else -halvings
        greatest = min(greatest, shift + 31 - high)
    greatest = min(MAX_POWER, greatest)
    return 0 if greatest >= 0 and _all_whole(values, rows) else greatest


def newton(
    gradient: np.ndarray, hessian: np.ndarray | None, rows: np.ndarray | None, *, wide: bool, count: bool
) -> Statistics:
    """The statistics of a gradient and a hessian (None for ones).

    Args:
        gradient: float64[n].
        hessian: float64[n].
        rows: int32, ascending, the rows to look at; None for all.
        wide: whether to use the wide layout in any case.
        count: whether rows must be counted; where the hessian does not do it, the layout is wide.

    Raises:
        ValueError: a number is not finite, or a hessian negative.
    """
    extents = [_checked("gradient", gradient, rows)]
    if hessian is not None:
        extents.append(_checked("hessian", hessian, rows, positive=True))
    kept = _all(len(gradient)) if rows is None else rows
    if hessian is not None and extents[0].num_zeros and extents[1].num_zeros:
        kept = _not_zero(gradient, hessian, kept)
    return _two_sums(kept, gradient, hessian, extents, wide=wide, count=count)


def classes(
    labels: np.ndarray,
    num_classes: int,
    weights: np.ndarray | None,
    criterion: Criterion,
    rows: np.ndarray | None,
    *,
    wide: bool,
    count: bool,
) -> Statistics:
    """The statistics of class labels.

    Args:
        labels: int32[n], in [0, num_classes).
        num_classes: K, at least 1.
        weights: float64[n], not negative; None for ones.
        criterion: "gini" or "entropy".
        rows: as in ``newton``.
        wide: whether the packed layout of two classes is only for weights that it holds exactly. Rounded
            ones make the tree depend, a little, on the unit of the weights.
        count: as in ``newton``.

    Raises:
        ValueError: a weight is not finite, or negative.
    """
    kept = _all(len(labels)) if rows is None else rows
    extent = None
    if weights is not None:
        extent = _checked("weights", weights, rows, positive=True)
        if extent.num_zeros:
            kept = _not_zero(weights, weights, kept)
    if num_classes == 2:
        return _two_classes(labels, weights, criterion, kept, extent, wide=wide, count=count)
    if weights is None or extent is None:
        scale, units = 0, np.ones(len(labels), np.int64)
    else:
        scale = power(weights, kept, extent, WIDE)
        units = _quantise(weights, kept, scale, is_weight=True)
    return Statistics(
        layout="classes",
        criterion=criterion,
        rows=kept,
        first=labels,
        second=units,
        units=(2.0**-scale, 2.0**-scale),
        num_classes=num_classes,
        counted=count and weights is not None,
        has_short_weights=scale == 0 and (extent is None or extent.top <= PACKED_GRADIENT[0]),
        is_exact=scale == 0,
    )


def _two_classes(
    labels: np.ndarray,
    weights: np.ndarray | None,
    criterion: Criterion,
    rows: np.ndarray,
    extent: Extent | None,
    *,
    wide: bool,
    count: bool,
) -> Statistics:
    """One unit for both sums: their difference is the weight of class 0."""

    def powers(largest: Format) -> tuple[int, int]:
        k = 0 if weights is None or extent is None else power(weights, rows, extent, largest)
        return k, k

    if weights is None or not count:
        scales = powers(PACKED_GRADIENT)
        records, packing = _pack_classes(labels, weights, rows, scales[0])
        fine = not wide and packing.hessian_sum >= COARSEST_MEAN * len(rows)
        if (packing.hessian_is_exact or fine) and not packing.has_zero_hessian:
            return _sums(criterion, rows, records, None, scales, is_exact=packing.hessian_is_exact)
    scales, weights = powers(WIDE), np.ones(len(labels)) if weights is None else weights
    units = _quantise(weights, rows, scales[1], is_weight=True)
    second = np.where(labels == 1, units, 0)
    return _sums(criterion, rows, second, units, scales, is_exact=scales == (0, 0))


def _two_sums(
    rows: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray | None,
    extents: list[Extent],
    *,
    wide: bool,
    count: bool,
) -> Statistics:
    def powers(first: Format, second: Format) -> tuple[int, int]:
        of_hessian = 0 if hessian is None else power(hessian, rows, extents[1], second)
        return power(gradient, rows, extents[0], first), of_hessian

    if not wide and (hessian is None or not count):
        scales = powers(PACKED_GRADIENT, PACKED_HESSIAN)
        records, packing = _pack(gradient, hessian, rows, scales)
        enough = COARSEST_MEAN * len(rows)
        fine = (packing.gradient_is_exact or packing.gradient_sum >= enough) and (
            packing.hessian_is_exact or packing.hessian_sum >= enough
        )
        # A row without hessian could leave a cell zero, as if the node had no such row.
        if fine and not packing.has_zero_hessian:
            is_exact = packing.gradient_is_exact and packing.hessian_is_exact
            return _sums("newton", rows, records, None, scales, is_exact=is_exact)
    scales = powers(WIDE, WIDE)
    units = _quantise(gradient, rows, scales[0], is_weight=False)
    ones = np.ones(len(gradient), np.int64)
    weights = ones if hessian is None else _quantise(hessian, rows, scales[1], is_weight=True)
    return _sums("newton", rows, units, weights, scales, is_exact=scales == (0, 0))


def _sums(
    criterion: Criterion,
    rows: np.ndarray,
    first: np.ndarray,
    second: np.ndarray | None,
    scales: tuple[int, int],
    *,
    is_exact: bool,
) -> Statistics:
    """Packed if there is no second array, or else wide."""
    packed = second is None
    return Statistics(
        layout="packed" if packed else "wide",
        criterion=criterion,
        rows=rows,
        first=first,
        second=second,
        units=(2.0 ** -scales[0], 2.0 ** -scales[1]),
        num_classes=0 if criterion == "newton" else 2,
        counted=not packed,
        has_short_weights=packed,
        is_exact=is_exact,
    )


def _all(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32)


def _checked(name: str, values: np.ndarray, rows: np.ndarray | None, *, positive: bool = False) -> Extent:
    extent = _extent(values, rows)
    wrong = None
    if not extent.top <= LARGEST:
        wrong, rule = ~(np.abs(values) <= LARGEST), f"must be finite and at most {LARGEST:g} in magnitude"
    elif positive and extent.num_negative:
        wrong, rule = values < 0, "must not be negative"
    if wrong is not None and wrong.any():  # minus zero is not wrong
        row = int(np.flatnonzero(wrong)[0] if rows is None else rows[np.flatnonzero(wrong[rows])[0]])
        raise ValueError(f"{name} {rule}, got {values[row]} in row {row}")
    return extent


# -- the passes over the rows, compiled or in NumPy --------------------------------------------------------


class _Extent(ctypes.Structure):
    """`Extent` of fixed_point.c."""

    _fields_ = [
        ("top", ctypes.c_double),
        *((name, ctypes.c_int64) for name in ("num_zeros", "num_negative")),
    ]


class _Packing(ctypes.Structure):
    """`Packing` of fixed_point.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("gradient_sum", "hessian_sum")),
        *((name, ctypes.c_int32) for name in ("gradient_is_exact", "hessian_is_exact", "has_zero_hessian")),
    ]


def _address(array: np.ndarray | None) -> int | None:
    return None if array is None else address(array)


def _extent(values: np.ndarray, rows: np.ndarray | None) -> Extent:
    kernel = _compiled()
    if kernel is None:
        return twin.extent(values, _all(len(values)) if rows is None else rows)
    found = _Extent()
    count = len(values) if rows is None else len(rows)
    kernel.assay_extent(_address(values), _address(rows), count, ctypes.byref(found))
    return Extent(found.top, found.num_zeros, found.num_negative)


def _not_zero(gradient: np.ndarray, hessian: np.ndarray, rows: np.ndarray) -> np.ndarray:
    kernel = _compiled()
    if kernel is None:
        return twin.not_zero(gradient, hessian, rows)
    kept = np.empty_like(rows)
    count = kernel.assay_not_zero(
        _address(gradient), _address(hessian), _address(rows), len(rows), _address(kept)
    )
    return kept[:count]


def _scaled_sum(values: np.ndarray, rows: np.ndarray, power: int) -> int:
    kernel = _compiled()
    if kernel is None:
        return twin.scaled_sum(values, rows, power)
    return kernel.assay_scaled_sum(_address(values), _some(rows, values), len(rows), 2.0**power)


def _all_whole(values: np.ndarray, rows: np.ndarray) -> bool:
    kernel = _compiled()
    if kernel is None:
        return twin.all_whole(values, rows)
    return bool(kernel.assay_all_whole(_address(values), _some(rows, values), len(rows)))


def _pack(
    gradient: np.ndarray, hessian: np.ndarray | None, rows: np.ndarray, powers: tuple[int, int]
) -> tuple[np.ndarray, Packing]:
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


def _pack_classes(
    labels: np.ndarray, weights: np.ndarray | None, rows: np.ndarray, power: int
) -> tuple[np.ndarray, Packing]:
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


def _quantise(values: np.ndarray, rows: np.ndarray, power: int, *, is_weight: bool) -> np.ndarray:
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
        kernel.assay_extent.argtypes = [pointer, pointer, count, pointer]
        kernel.assay_pack.argtypes = [pointer, pointer, pointer, count, pointer, pointer, pointer]
        kernel.assay_quantise.argtypes = [pointer, pointer, count, ctypes.c_double, ctypes.c_int32, pointer]
        numbers = [count, ctypes.c_double]
        kernel.assay_pack_classes.argtypes = [pointer, pointer, pointer, *numbers, pointer, pointer]
        kernel.assay_pack_classes.restype = None
        kernel.assay_scaled_sum.argtypes = [pointer, pointer, count, ctypes.c_double]
        kernel.assay_all_whole.argtypes = [pointer, pointer, count]
        for function in (kernel.assay_extent, kernel.assay_pack, kernel.assay_quantise):
            function.restype = None
        kernel.assay_not_zero.argtypes = [pointer, pointer, pointer, count, pointer]
        kernel.assay_not_zero.restype = kernel.assay_scaled_sum.restype = count
    return kernel
