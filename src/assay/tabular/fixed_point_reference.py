"""The NumPy twin of fixed_point.c: measuring and rounding targets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LOWEST_HIGH = -900  # magnitudes below 2^-900 are bounded by it, which keeps scales finite


class Extent(NamedTuple):
    """What is asked of values before they are scaled.

    Args:
        top: the largest magnitude; NaN if a value is not finite.
        least: the smallest value.
        num_zeros: how many are zero.
        bound: with ``high`` of the top, the sum of the magnitudes is less than bound 2^(high - 31).
        all_whole: whether all are whole numbers.
    """

    top: float
    least: float
    num_zeros: int
    bound: int
    all_whole: bool


class Packing(NamedTuple):
    """What came of packing.

    Args:
        gradient_sum: of the magnitudes, in units.
        hessian_sum: in units.
        is_exact: whether nothing was rounded.
        has_hidden_rows: whether a hessian was rounded to zero.
    """

    gradient_sum: int
    hessian_sum: int
    is_exact: bool
    has_hidden_rows: bool


def high(top: float) -> int:
    """The least h with top < 2^h, or `LOWEST_HIGH`."""
    return max(int(np.frexp(top)[1]), LOWEST_HIGH)


def extent(values: np.ndarray, rows: np.ndarray) -> Extent:
    """The extent of the values of some rows; of a top that is not positive, the rest is 0."""
    values = values[rows]
    size = np.abs(values)
    finite = bool(np.isfinite(values).all())
    top = float(size.max(initial=0.0)) if finite else np.nan
    least = float(np.fmin.reduce(values, initial=np.inf))
    zeros = int(np.count_nonzero(values == 0))
    if not top > 0:
        return Extent(top, least, zeros, 0, False)
    bound = int((size * 2.0 ** (31 - high(top))).astype(np.int64).sum()) + len(values)
    return Extent(top, least, zeros, bound, bool((np.rint(values) == values).all()))


def pack(
    gradient: np.ndarray, hessian: np.ndarray | None, rows: np.ndarray, powers: tuple[int, int]
) -> tuple[np.ndarray, Packing]:
    """int32 records of gradient 2^p << 16 | hessian 2^q, undefined outside ``rows``; no hessian stands for ones."""
    g = gradient[rows] * 2.0 ** powers[0]
    h = np.ones(len(rows)) if hessian is None else hessian[rows] * 2.0 ** powers[1]
    whole_g, whole_h = np.rint(g), np.rint(h)
    records = np.zeros(len(gradient), np.int32)
    records[rows] = whole_g * 2**16 + whole_h
    is_exact = bool((whole_g == g).all() and (whole_h == h).all())
    return records, Packing(
        int(np.abs(whole_g).sum()), int(whole_h.sum()), is_exact, not bool((whole_h > 0).all())
    )


def quantise(values: np.ndarray, rows: np.ndarray, power: int) -> np.ndarray:
    """int64: v 2^power rounded to the nearest, ties to even; undefined outside ``rows``."""
    units = np.zeros(len(values), np.int64)
    units[rows] = np.rint(values[rows] * 2.0**power)
    return units
