"""Every number of the wing, defined once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assay.collectives.algorithm import Operation


def bytes_factor(operation: Operation, ranks: int) -> float:
    """Bytes that a rank must send at least, as a share of the whole array: what busbw corrects algbw by."""
    if operation == "all_reduce":
        return 2 * (ranks - 1) / ranks
    if operation in ("reduce_scatter", "all_gather"):
        return (ranks - 1) / ranks
    return 1.0


def algorithm_bandwidth(size: int, seconds: float) -> float:
    """algbw: bytes of the array per second."""
    return size / seconds


def bus_bandwidth(operation: Operation, size: int, seconds: float, ranks: int) -> float:
    """busbw as nccl-tests defines it, in bytes per second: algbw times `bytes_factor`.

    It compares with the speed of a link for any number of ranks.

    Args:
        operation: which.
        size: bytes of the whole array, for reduce-scatter and all-gather too.
        seconds: of the operation.
        ranks: how many.
    """
    return algorithm_bandwidth(size, seconds) * bytes_factor(operation, ranks)


def numeric_error(result: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    """max |result - exact| / max |exact|, with the exact sum in float64; 0 for empty arrays."""
    if exact.size == 0:
        return 0.0
    return float(np.abs(result - exact).max() / max(np.abs(exact).max(), np.finfo(float).tiny))


def exposed_communication(step_seconds: float, compute_seconds: float) -> float:
    """What communication adds to a step: its time minus its time without communication."""
    return step_seconds - compute_seconds


def overlap_fraction(exposed: float, alone: Sequence[float]) -> float:
    """The share of communication that computation hides: 1 - exposed / (sum of bucket times run alone)."""
    return 1.0 - exposed / sum(alone)


def scaling_efficiency(throughput: float, alone: float, ranks: int) -> float:
    """throughput(n) / (n throughput(1)) with the same batch per rank."""
    return throughput / (ranks * alone)
