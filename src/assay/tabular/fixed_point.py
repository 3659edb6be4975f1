"""Targets of a tree as integers, so that their sums do not depend on the order of the rows or the threads.

All scales are powers of two: small integers (0/1 targets, bootstrap counts) are represented exactly, and so
is any number whose last bit lies inside the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Layout = Literal["packed", "wide", "classes"]
Criterion = Literal["newton", "gini", "entropy"]

# With fewer units per row on average, rounding to the nearest would bias gradients by more than 1 %.
COARSEST_MEAN = 64
PACKED_GRADIENT = (2**15 - 1, 2**31 - 1)  # largest |value| of a row, largest sum of |values|
PACKED_HESSIAN = (2**16 - 1, 2**32 - 1)
WIDE = (2**62, 2**62)
MAX_EXPONENT = 1000


@dataclass(frozen=True, eq=False)
class Statistics:
    """What every row adds to the cell of its bin, in integers.

    Two classes are stored as gradient = weight of class 1 and hessian = weight.

    Args:
        layout: "packed": 16 + 16 bits per row, 32 + 32 bits per cell; "wide": 64-bit gradient, hessian and
            count; "classes": the weight of every class, and a count if ``counted``.
        criterion: how a cell is scored.
        rows: int32, ascending: the rows of the table that count.
        first: one element per row of the table, 0 where it does not count; packed: int32, gradient in the
            upper half, hessian in the lower; wide: int64 gradient; classes: int32 label.
        second: likewise; packed: None; wide: int64 hessian; classes: int64 weight.
        units: value of one unit of the gradient and of the hessian (or weight).
        num_classes: K; 0 for Newton targets.
        counted: whether a cell counts rows; if not, its weight is the count, or no count is needed.
        exact: whether every row is represented without rounding.
    """

    layout: Layout
    criterion: Criterion
    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray | None
    units: tuple[float, float]
    num_classes: int
    counted: bool
    exact: bool


def exponent(values: np.ndarray, largest: int, total: int) -> int:
    """The greatest k such that no |v| 2^k exceeds ``largest`` and no sum of rounded v 2^k exceeds ``total``.

    It is found with integers, so it does not depend on the order of ``values``.
    """
    top = float(np.abs(values).max(initial=0.0))
    if top == 0:
        return 0
    high = int(np.frexp(top)[1])  # top < 2^high
    by_row = largest.bit_length() - high
    by_row -= bool(np.ldexp(top, by_row) > largest)
    # A bound of the sum, in units of 2^(high - 31); rounding adds at most half a unit per row.
    bound = int(np.ldexp(np.abs(values), 31 - high).astype(np.int64).sum()) + len(values)
    room = total - len(values)
    shift = (room // bound).bit_length() - 1 if room >= bound else -(-(-bound // room) - 1).bit_length()
    return max(-MAX_EXPONENT, min(MAX_EXPONENT, by_row, shift + 31 - high))


def quantise(values: np.ndarray, power: int) -> np.ndarray:
    """int64: v 2^power, rounded to the nearest, ties to even."""
    return np.rint(np.ldexp(values, power)).astype(np.int64)


def newton(
    gradient: np.ndarray, hessian: np.ndarray | None, rows: np.ndarray | None, *, wide: bool, count: bool
) -> Statistics:
    """The statistics of a gradient and a hessian (None for ones).

    Args:
        gradient: float64[n].
        hessian: float64[n], not negative.
        rows: int32, ascending, the rows to look at; None for all.
        wide: whether to use the wide layout in any case.
        count: whether rows must be counted; where the hessian does not do it, the layout is wide.
    """
    kept = np.arange(len(gradient), dtype=np.int32) if rows is None else rows
    if hessian is None:
        g, h = gradient[kept], np.ones(len(kept))
    else:
        kept = kept[(gradient[kept] != 0) | (hessian[kept] != 0)]
        g, h = gradient[kept], hessian[kept]
    return _two_sums("newton", kept, g, h, len(gradient), ones=hessian is None, wide=wide, count=count)


def classes(
    labels: np.ndarray,
    num_classes: int,
    weights: np.ndarray | None,
    criterion: Criterion,
    rows: np.ndarray | None,
    *,
    count: bool,
) -> Statistics:
    """The statistics of class labels; arguments as in ``newton``."""
    kept = np.arange(len(labels), dtype=np.int32) if rows is None else rows
    if weights is not None:
        kept = kept[weights[kept] > 0]
    w = np.ones(len(kept)) if weights is None else weights[kept]
    if num_classes == 2:
        g = np.where(labels[kept] == 1, w, 0.0)
        # Rounded weights would make the tree depend on the scale of the weights, hence packed only if exact.
        packed = _two_sums(criterion, kept, g, w, len(labels), ones=weights is None, wide=False, count=count)
        if packed.layout == "wide" or packed.exact:
            return packed
        return _two_sums(criterion, kept, g, w, len(labels), ones=False, wide=True, count=count)
    whole = bool((w == np.rint(w)).all()) and float(w.sum()) < 2**31
    power = 0 if whole else exponent(w, *WIDE)
    weight = quantise(w, power)
    return Statistics(
        layout="classes",
        criterion=criterion,
        rows=kept,
        first=labels,
        second=_scatter(weight, kept, len(labels)),
        units=(2.0**-power, 2.0**-power),
        num_classes=num_classes,
        counted=count and weights is not None,
        exact=True,
    )


def _two_sums(
    criterion: Criterion,
    kept: np.ndarray,
    g: np.ndarray,
    h: np.ndarray,
    num_rows: int,
    *,
    ones: bool,
    wide: bool,
    count: bool,
) -> Statistics:
    num_classes = 0 if criterion == "newton" else 2
    if not wide and (ones or not count):
        powers = _powers(criterion, g, h, PACKED_GRADIENT, PACKED_HESSIAN, ones)
        gradient, hessian = quantise(g, powers[0]), quantise(h, powers[1])
        exact = bool((np.ldexp(gradient.astype(np.float64), -powers[0]) == g).all())
        exact_hessian = bool((np.ldexp(hessian.astype(np.float64), -powers[1]) == h).all())
        enough = COARSEST_MEAN * len(kept)
        if (exact or np.abs(gradient).sum() >= enough) and (exact_hessian or hessian.sum() >= enough):
            record = (gradient << 16 | hessian).astype(np.int32)
            return Statistics(
                layout="packed",
                criterion=criterion,
                rows=kept,
                first=_scatter(record, kept, num_rows),
                second=None,
                units=(2.0 ** -powers[0], 2.0 ** -powers[1]),
                num_classes=num_classes,
                counted=False,
                exact=exact and exact_hessian,
            )
    powers = _powers(criterion, g, h, WIDE, WIDE, ones)
    return Statistics(
        layout="wide",
        criterion=criterion,
        rows=kept,
        first=_scatter(quantise(g, powers[0]), kept, num_rows),
        second=_scatter(quantise(h, powers[1]), kept, num_rows),
        units=(2.0 ** -powers[0], 2.0 ** -powers[1]),
        num_classes=num_classes,
        counted=True,
        exact=True,
    )


def _powers(
    criterion: Criterion,
    g: np.ndarray,
    h: np.ndarray,
    first: tuple[int, int],
    second: tuple[int, int],
    ones: bool,
) -> tuple[int, int]:
    if criterion != "newton":  # one unit for both: their difference is the weight of class 0
        power = 0 if ones else exponent(h, *first)
        return power, power
    return exponent(g, *first), 0 if ones else exponent(h, *second)


def _scatter(values: np.ndarray, rows: np.ndarray, num_rows: int) -> np.ndarray:
    if len(rows) == num_rows:
        return values
    full = np.zeros(num_rows, values.dtype)
    full[rows] = values
    return full
