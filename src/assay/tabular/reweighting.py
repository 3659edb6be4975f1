"""What AdaBoost does to the weights of all rows between two rounds: compiled (reweighting.c), or in NumPy."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np

from assay.tabular.kernel import address, library
from assay.tabular.slopes import sum_by_turns

Array = np.ndarray


def missed_weight(missed: Array, weight: Array) -> float:
    """Return the weight of the rows that were missed.

    Args:
        missed: bool ``[n]``.
        weight: float64 ``[n]``, contiguous.
    """
    kernel = _compiled()
    if kernel is None:
        return sum_by_turns(weight * missed)
    return kernel.assay_missed_weight(len(weight), address(missed), address(weight))


def raise_missed(missed: Array, factor: float, least: float, weight: Array) -> None:
    """Multiply the weights of the rows that were missed, in place, and divide all by their sum.

    Args:
        missed: bool ``[n]``.
        factor: more than 0.
        least: what smaller positive weights are raised to in the end.
        weight: float64 ``[n]``, contiguous; fresh memory for the result would take longer than the passes.
    """
    kernel = _compiled()
    if kernel is None:
        weight *= np.where(missed, factor, 1.0)
        weight /= sum_by_turns(weight)
        weight[(weight > 0) & (weight < least)] = least
    else:
        kernel.assay_raise_missed(len(weight), address(missed), factor, least, address(weight))


def _compiled() -> ctypes.CDLL | None:
    kernel = library()
    return None if kernel is None else _declared(kernel)


@cache
def _declared(kernel: ctypes.CDLL) -> ctypes.CDLL:
    count, pointer, number = ctypes.c_int64, ctypes.c_void_p, ctypes.c_double
    kernel.assay_missed_weight.argtypes = [count, pointer, pointer]
    kernel.assay_missed_weight.restype = number
    kernel.assay_raise_missed.argtypes = [count, pointer, number, number, pointer]
    kernel.assay_raise_missed.restype = None
    return kernel
