"""The NumPy twin of fixed_point.c: measuring and rounding targets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LARGEST_SCALED = 2.0**31 - 1


class Extent(NamedTuple):
    """What is asked of values before they are scaled.

    Args:
        top: the largest magnitude; not finite if some value is not.
        num_zeros: how many are zero.
        num_negative: how many have a minus sign, that of minus zero included.
        power: k.
        scaled_sum: the sum of |v| 2^k, each without its fraction, or 2^31 - 1 if that is less; exact in any
            order.
    """

    top: float
    num_zeros: int
    num_negative: int
    power: int
    scaled_sum: int


class Packing(NamedTuple):
    """What came of packing.

    Args:
        gradient_sum: of the magnitudes, in units.
        hessian_sum: in units.
        gradient_is_exact: whether none was rounded.
        hessian_is_exact: likewise.
        has_zero_hessian: whether a row has none.
    """

    gradient_sum: int
    hessian_sum: int
    gradient_is_exact: bool
    hessian_is_exact: bool
    has_zero_hessian: bool


def extent(values: np.ndarray, rows: np.ndarray, power: int) -> Extent:
    """The extent of the values of some rows."""
    values = values[rows]
    top = float(np.abs(values).max(initial=0.0))
    scaled = np.abs(values) * 2.0**power
    scaled_sum = int(np.where(scaled < LARGEST_SCALED, scaled, LARGEST_SCALED).astype(np.int64).sum())
    num_zeros, num_negative = np.count_nonzero(values == 0), np.count_nonzero(np.signbit(values))
    return Extent(top, int(num_zeros), int(num_negative), power, scaled_sum)


def not_zero(gradient: np.ndarray, hessian: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those of the rows whose gradient or hessian is not zero."""
    return rows[(gradient[rows] != 0) | (hessian[rows] != 0)]


def scaled_squares(values: np.ndarray, power: int) -> int:
    """The sum of (v 2^power)^2, each v 2^power without its fraction; exact in any order."""
    units = (values * 2.0**power).astype(np.int64)
    return int((units * units).sum())


def all_whole(values: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the values of some rows are whole numbers."""
    return bool((np.rint(values[rows]) == values[rows]).all())


def pack(
    gradient: np.ndarray, hessian: np.ndarray | None, rows: np.ndarray, powers: tuple[int, int]
) -> tuple[np.ndarray, Packing]:
    """int32 records, gradient 2^p << 16 | hessian 2^q, undefined outside ``rows``; no hessian means ones."""
    g = gradient[rows] * 2.0 ** powers[0]
    h = np.ones(len(rows)) if hessian is None else hessian[rows] * 2.0 ** powers[1]
    whole_g, whole_h = np.rint(g), _rounded_weight(h)
    records = np.zeros(len(gradient), np.int32)
    records[rows] = whole_g * 2**16 + whole_h
    exact = bool((whole_g == g).all()), bool((whole_h == h).all())
    return records, Packing(int(np.abs(whole_g).sum()), int(whole_h.sum()), *exact, not bool(h.all()))


def pack_classes(
    labels: np.ndarray, weights: np.ndarray | None, rows: np.ndarray, power: int
) -> tuple[np.ndarray, Packing]:
    """int32 records of two classes, those of class 1 with the gradient w 2^p; the hessian of all is w 2^p."""
    weight = np.ones(len(rows)) if weights is None else weights[rows] * 2.0**power
    whole, is_second = _rounded_weight(weight), labels[rows] == 1
    records = np.zeros(len(labels), np.int32)
    records[rows] = whole + 2**16 * whole * is_second
    exact, sums = bool((whole == weight).all()), (int(whole[is_second].sum()), int(whole.sum()))
    return records, Packing(*sums, exact, exact, not weight.all())


def quantise(values: np.ndarray, rows: np.ndarray, power: int, *, is_weight: bool) -> np.ndarray:
    """int64: v 2^power rounded to the nearest, or, of a weight, as a weight; undefined outside ``rows``."""
    units = np.zeros(len(values), np.int64)
    scaled = values[rows] * 2.0**power
    units[rows] = _rounded_weight(scaled) if is_weight else np.rint(scaled)
    return units


def _rounded_weight(values: np.ndarray) -> np.ndarray:
    """To the nearest, ties to even, but what is positive stays positive: no row is to vanish."""
    return np.where((values > 0) & (values < 1), 1.0, np.rint(values))
