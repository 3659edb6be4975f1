"""The passes over all rows that every round of boosting makes: compiled (losses.c), or the same in NumPy.

Exponential and logarithm are polynomials spelled out here, so that both ways, and every processor, give the
same numbers to the last bit.
"""

from __future__ import annotations

import ctypes
from functools import cache
from math import factorial

import numpy as np

from assay.tabular.kernel import address, library

Array = np.ndarray
FURTHEST = 708.0  # beyond it exp leaves the normal numbers
SHIFT = 1.5 * 2.0**52  # added to a number, it leaves the nearest integer in the lowest bits
LOG2_E, LN_2 = float.fromhex("0x1.71547652b82fep+0"), ("0x1.62e42fee00000p-1", "0x1.a39ef35793c76p-33")
LN_2_HIGH, LN_2_LOW = map(float.fromhex, LN_2)
SIDE_BY_SIDE, FACTORS = 16, 256  # sums that rows take turns in, and how many factors make a product
LEAF_TURNS = 4  # sums of a leaf that rows take turns in


def exponential(x: Array) -> Array:
    """Return exp(x) to about one unit in the last place; x is moved into [-708, 708] first."""
    x = np.clip(x, -FURTHEST, FURTHEST)
    shifted = x * LOG2_E + SHIFT
    k = shifted - SHIFT
    r = x - k * LN_2_HIGH  # x = k ln 2 + r
    r = r - k * LN_2_LOW
    value = np.full_like(x, 1 / factorial(12))
    for degree in range(11, -1, -1):
        value = value * r + 1 / factorial(degree)
    return (value.view(np.int64) + (shifted.view(np.int64) << 52)).view(np.float64)


def sigmoid(margins: Array) -> Array:
    """Return 1 / (1 + exp(-m)) of float64 margins."""
    kernel = _compiled()
    if kernel is None:
        decay = exponential(-np.abs(margins))
        share = 1.0 / (1.0 + decay)
        return np.where(margins < 0, decay * share, share)
    margins, p = np.ascontiguousarray(margins), np.empty(margins.shape)
    kernel.assay_sigmoid(margins.size, _at(margins), _at(p))
    return p


def softmax(margins: Array) -> Array:
    """Return the probabilities of ``[classes, n]`` margins; every column sums to 1."""
    e = exponential(margins - margins.max(axis=0))
    return e / _sum(e)


def logistic_slopes(y: Array, margins: Array, weight: Array | None, gradient: Array, hessian: Array) -> None:
    """Set gradient p - y and hessian p (1 - p) of two classes' log-loss, ``[n]``, times the weights."""
    kernel = _compiled()
    if kernel is None:
        p = sigmoid(margins)
        _set(gradient, p - y, weight)
        _set(hessian, p * (1.0 - p), weight)
    else:
        kernel.assay_logistic_slopes(len(y), *map(_at, (y, margins, weight, gradient, hessian)))


def logistic_losses(y: Array, margins: Array) -> Array:
    """Return log(1 + exp(m)) - y m of every row, ``[n]``."""
    kernel = _compiled()
    if kernel is None:
        e = exponential(-np.abs(margins))
        return _log_of_one_plus(e) + np.maximum(margins, 0.0) - y * margins
    losses = np.empty(margins.shape)
    kernel.assay_logistic_losses(len(y), _at(y), _at(margins), _at(losses))
    return losses


def logistic_loss(y: Array, margins: Array) -> float:
    """Return the sum of `logistic_losses` over the rows, which takes half the time.

    The logarithm of a product of 1 + exp(-|m|) stands for a sum of logarithms, so a row's loss below 1e-16
    counts as zero.
    """
    kernel = _compiled()
    if kernel is not None:
        return kernel.assay_logistic_loss(len(y), _at(y), _at(margins))
    blocks = -(-len(y) // (SIDE_BY_SIDE * FACTORS))
    factors, plain = np.ones((blocks, FACTORS, SIDE_BY_SIDE)), np.zeros((blocks, FACTORS, SIDE_BY_SIDE))
    factors.reshape(-1)[: len(y)] = 1.0 + exponential(-np.abs(margins))
    plain.reshape(-1)[: len(y)] = np.maximum(margins, 0.0) - y * margins
    total = np.zeros(SIDE_BY_SIDE)
    for block in range(blocks):
        product = np.ones(SIDE_BY_SIDE)
        for turn in range(FACTORS):
            product *= factors[block, turn]
            total += plain[block, turn]
        total += _logarithm(product)
    return float(_sum(total))


def logistic_loss_and_slopes(y: Array, margins: Array, gradient: Array, hessian: Array) -> float:
    """Return `logistic_loss`, and set the slopes of `logistic_slopes` without weights: one pass for both."""
    kernel = _compiled()
    if kernel is None:
        logistic_slopes(y, margins, None, gradient, hessian)
        return logistic_loss(y, margins)
    return kernel.assay_logistic_loss_and_slopes(len(y), *map(_at, (y, margins, gradient, hessian)))


def softmax_slopes(y: Array, margins: Array, weight: Array | None, gradient: Array, hessian: Array) -> None:
    """Set p - [y = k] and p (1 - p) of K classes' log-loss, ``[classes, n]``, times the weights."""
    kernel = _compiled()
    if kernel is None:
        p = softmax(margins)
        _set(gradient, p - (y == np.arange(len(p))[:, None]), weight)
        _set(hessian, p * (1.0 - p), weight)
    else:
        classes, n = margins.shape
        kernel.assay_softmax_slopes(n, classes, *map(_at, (y, margins, weight, gradient, hessian)))


def softmax_loss_and_slopes(y: Array, margins: Array, gradient: Array, hessian: Array) -> float:
    """Return the sum of the rows' log-losses, and set the slopes of `softmax_slopes` without weights."""
    kernel = _compiled()
    if kernel is not None:
        classes, n = margins.shape
        return kernel.assay_softmax_loss_and_slopes(n, classes, *map(_at, (y, margins, gradient, hessian)))
    softmax_slopes(y, margins, None, gradient, hessian)
    peak = margins.max(axis=0)
    true = margins[y.astype(np.int64), np.arange(len(y))]
    return sum_by_turns(_logarithm(_sum(exponential(margins - peak))) + peak - true)


def leaf_sums(leaf: Array, values: Array | None, size: int) -> Array:
    """Return the sum of the rows' values (None: ones) in each of ``size`` leaves."""
    kernel = _compiled()
    if kernel is None:
        turn = np.arange(len(leaf)) % LEAF_TURNS
        sums = np.bincount(LEAF_TURNS * leaf.astype(np.int64) + turn, values, size * LEAF_TURNS)
        return _sum(sums.astype(np.float64).reshape(size, LEAF_TURNS).T)
    sums = np.zeros((size, LEAF_TURNS))
    kernel.assay_leaf_sums(len(leaf), *map(_at, (leaf, values, sums)))
    return _sum(sums.T)


def leaf_pairs(leaf: Array, first: Array, second: Array, size: int) -> tuple[Array, Array]:
    """Return what `leaf_sums` does for each of two values of the rows."""
    kernel = _compiled()
    if kernel is None:
        return leaf_sums(leaf, first, size), leaf_sums(leaf, second, size)
    sums = np.zeros((size, LEAF_TURNS, 2))
    kernel.assay_leaf_pairs(len(leaf), *map(_at, (leaf, first, second, sums)))
    return _sum(sums[:, :, 0].T), _sum(sums[:, :, 1].T)


def route(columns: Array, rows: Array, feature: Array, left: Array, first: Array, goes_left: Array) -> Array:
    """Return the leaf in which each of ``rows`` ends, int32.

    Args:
        columns: codes, ``[features, all rows]``.
        rows: int64, positions of rows.
        feature: int32 ``[nodes]``, -1 for a leaf.
        left: int32 ``[nodes]``, the child of rows that go left; the other child is next.
        first: int64 ``[nodes]``; a code goes left where ``goes_left[first[node] + code]`` says so.
        goes_left: bool, for all inner nodes one after the other.
    """
    leaf = np.zeros(len(rows), np.int32)
    kernel = _compiled()
    if kernel is None:
        while len(inner := np.flatnonzero(feature[leaf] >= 0)):
            node = leaf[inner]
            code = columns[feature[node], rows[inner]]
            leaf[inner] = left[node] + ~goes_left[first[node] + code]
    else:
        nodes = [np.ascontiguousarray(array) for array in (feature, left, first, goes_left)]
        arrays = (rows, columns, *nodes, leaf)
        kernel.assay_route(len(rows), columns.shape[1], columns.itemsize, *map(_at, arrays))
    return leaf


def step(margins: Array, leaf: Array, value: Array) -> None:
    """Add to every row's margin ``[n]`` the value ``[nodes]`` of its leaf ``[n]``, in place."""
    kernel = _compiled()
    if kernel is None:
        margins += value[leaf]
    else:
        kernel.assay_step(len(leaf), _at(leaf), _at(value), _at(margins))


def sum_by_turns(values: Array) -> float:
    """Return the sum of ``[n]`` in the order of the kernel: several sums that take turns, then their sum."""
    padded = np.zeros((max(1, -(-len(values) // SIDE_BY_SIDE)), SIDE_BY_SIDE))
    padded.reshape(-1)[: len(values)] = values
    return float(np.add.accumulate(np.add.accumulate(padded)[-1])[-1])


def _logarithm(x: Array) -> Array:
    """Return log(x) for x of at least 1."""
    fraction, power = np.frexp(x)
    return (power - 1) * (LN_2_HIGH + LN_2_LOW) + _log_of_one_plus(2.0 * fraction - 1.0)


def _log_of_one_plus(e: Array) -> Array:
    """Return log(1 + e) for e in [0, 1]: the series of 2 artanh(e / (2 + e))."""
    s = e / (2.0 + e)
    square, series = s * s, np.full_like(s, 1 / 31)
    for odd in range(29, 0, -2):
        series = series * square + 1 / odd
    return 2.0 * s * series


def _sum(values: Array) -> Array:
    """Return the sum over the first axis, one after the other as the kernel adds."""
    total = np.zeros(values.shape[1:])
    for row in values:
        total += row
    return total


def _set(out: Array, values: Array, weight: Array | None) -> None:
    out[...] = values if weight is None else values * weight


def _at(array: Array | None) -> int | None:
    """Return where the elements of a contiguous array are."""
    if array is None:
        return None
    if not array.flags.c_contiguous:
        raise ValueError("the passes of boosting need contiguous arrays")
    return address(array)


def _compiled() -> ctypes.CDLL | None:
    kernel = library()
    return None if kernel is None else _declared(kernel)


@cache
def _declared(kernel: ctypes.CDLL) -> ctypes.CDLL:
    for name, counts, pointers, returns in (
        ("sigmoid", 1, 2, None),
        ("logistic_slopes", 1, 5, None),
        ("logistic_losses", 1, 3, None),
        ("logistic_loss", 1, 2, ctypes.c_double),
        ("logistic_loss_and_slopes", 1, 4, ctypes.c_double),
        ("softmax_slopes", 2, 5, None),
        ("softmax_loss_and_slopes", 2, 4, ctypes.c_double),
        ("leaf_sums", 1, 3, None),
        ("leaf_pairs", 1, 4, None),
        ("route", 3, 7, None),
        ("step", 1, 3, None),
    ):
        function = getattr(kernel, f"assay_{name}")
        function.argtypes = [ctypes.c_int64] * counts + [ctypes.c_void_p] * pointers
        function.restype = returns
    return kernel
