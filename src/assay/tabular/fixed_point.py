"""Targets of a tree as integers, so that their sums do not depend on the order of the rows or the threads.

All scales are powers of two: small integers (0/1 targets, bootstrap counts) are represented exactly, and so
is any number whose last bit lies inside the format.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np

from assay.tabular import fixed_point_passes as passes
from assay.tabular.fixed_point_reference import Extent

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
LOWEST_HIGH = -900  # smaller magnitudes are bounded by 2^-900, which keeps scales finite
PROBED = 256  # rows


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
    greatest = largest[0].bit_length() - int(np.frexp(extent.top)[1])
    greatest -= bool(np.ldexp(extent.top, greatest) > largest[0])
    room = largest[1] - len(rows)  # rounding adds at most half a unit per row
    if len(rows) * largest[0] > room:
        bound = extent.scaled_sum + len(rows)  # the sum is less than this times 2^-power
        halvings = (-(-bound // room) - 1).bit_length()
        shift = (room // bound).bit_length() - 1 if room >= bound else -halvings
        greatest = min(greatest, shift + extent.power)
    greatest = min(MAX_POWER, greatest)
    return 0 if greatest >= 0 and passes.all_whole(values, rows) else greatest


def measured(values: np.ndarray, rows: np.ndarray | None) -> Extent:
    """The extent of the values of some rows (None for all), with a sum in units of 31 bits of the largest.

    Which power that is, the first rows mostly tell; where they do not, a second pass is made.
    """
    probed = values[:PROBED] if rows is None else values[rows[:PROBED]]
    guess = _power_of(np.abs(probed).max(initial=0.0))
    found = passes.extent(values, rows, guess)
    right = _power_of(found.top)
    return found if right == guess else passes.extent(values, rows, right)


def _power_of(top: float) -> int:
    return 31 - max(int(np.frexp(top)[1]), LOWEST_HIGH)


def sum_of_magnitudes(values: np.ndarray) -> float:
    """The sum of |v|, each cut to 31 bits of the largest; found with integers, so the same in any order."""
    found = measured(values, None)
    return found.scaled_sum * 2.0**-found.power


def sum_of_squares(values: np.ndarray) -> float:
    """The sum of v^2, each v cut to 15 to 26 bits of the largest, the more the fewer they are; likewise."""
    bits = min(26, (62 - len(values).bit_length()) // 2)  # their squares have room for their sum
    shift = bits - 31 + measured(values, None).power
    root = math.sqrt(passes.scaled_squares(values, shift)) * 2.0**-shift
    return min(root * root, sys.float_info.max)


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
        kept = passes.not_zero(gradient, hessian, kept)
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
            kept = passes.not_zero(weights, weights, kept)
    if num_classes == 2:
        return _two_classes(labels, weights, criterion, kept, extent, wide=wide, count=count)
    if weights is None or extent is None:
        scale, units = 0, np.ones(len(labels), np.int64)
    else:
        scale = power(weights, kept, extent, WIDE)
        units = passes.quantise(weights, kept, scale, is_weight=True)
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
        records, packing = passes.pack_classes(labels, weights, rows, scales[0])
        fine = not wide and packing.hessian_sum >= COARSEST_MEAN * len(rows)
        if (packing.hessian_is_exact or fine) and not packing.has_zero_hessian:
            return _sums(criterion, rows, records, None, scales, is_exact=packing.hessian_is_exact)
    scales, weights = powers(WIDE), np.ones(len(labels)) if weights is None else weights
    units = passes.quantise(weights, rows, scales[1], is_weight=True)
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
        records, packing = passes.pack(gradient, hessian, rows, scales)
        enough = COARSEST_MEAN * len(rows)
        fine = (packing.gradient_is_exact or packing.gradient_sum >= enough) and (
            packing.hessian_is_exact or packing.hessian_sum >= enough
        )
        # A row without hessian could leave a cell zero, as if the node had no such row.
        if fine and not packing.has_zero_hessian:
            is_exact = packing.gradient_is_exact and packing.hessian_is_exact
            return _sums("newton", rows, records, None, scales, is_exact=is_exact)
    scales = powers(WIDE, WIDE)
    units = passes.quantise(gradient, rows, scales[0], is_weight=False)
    ones = np.broadcast_to(np.int64(1), len(gradient))  # one number in memory
    weights = ones if hessian is None else passes.quantise(hessian, rows, scales[1], is_weight=True)
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
    found = measured(values, rows)
    wrong = None
    if not found.top <= LARGEST:
        wrong, rule = ~(np.abs(values) <= LARGEST), f"must be finite and at most {LARGEST:g} in magnitude"
    elif positive and found.num_negative:
        wrong, rule = values < 0, "must not be negative"
    if wrong is not None and wrong.any():  # minus zero is not wrong
        row = int(np.flatnonzero(wrong)[0] if rows is None else rows[np.flatnonzero(wrong[rows])[0]])
        raise ValueError(f"{name} {rule}, got {values[row]} in row {row}")
    return found
