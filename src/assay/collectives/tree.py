"""Binomial tree: sums flow down a tree to rank 0, and the result flows back up.

The whole tensor is sent at every level, so that few but long messages are sent: 2 log2(n) steps, and for the
root log2(n) times all bytes. It needs no power of two and cuts nothing, which is best for the shortest
tensors.

Reference:
    Thakur, Rabenseifner, Gropp. "Optimization of Collective Communication Operations in MPICH". International
    Journal of High Performance Computing Applications 19(1), 2005 (binomial trees, as in MPI practice).
    Implements: binomial reduce, broadcast, gather and scatter; all-reduce as reduce and broadcast.
    Omits: two trees at once (Sanders, Speck, Traeff 2009), which would use both directions of a link.
    Verified: bitwise against the binomial sum; log2(n) messages of the root in a broadcast; values against
        gloo.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from assay.collectives.algorithm import Algorithm, Tables
from assay.collectives.schedule import Ints, Schedule, chunk_bounds, step


def _children(ranks: int) -> list[tuple[int, Ints]]:
    """For every level the distance 2^i and the ranks that are at this distance from their parents."""
    distances = [1 << i for i in range((ranks - 1).bit_length())]
    return [(distance, np.arange(distance, ranks, 2 * distance)) for distance in distances]


def reduce(ranks: int, length: int) -> Schedule:
    """Level i: ranks whose lowest bit is i send everything to r - 2^i and are done."""
    return tuple(step(r, r - distance, 0, length, reduce=True) for distance, r in _children(ranks))


def broadcast(ranks: int, length: int) -> Schedule:
    """The reduction backwards: the root sends to its farthest child first."""
    return tuple(step(r - distance, r, 0, length, reduce=False) for distance, r in reversed(_children(ranks)))


def _gather(ranks: int, length: int) -> Schedule:
    """Chunks r to r + 2^i - 1, which rank r has gathered from its children, go to its parent."""
    bounds = chunk_bounds(length, ranks)
    return tuple(
        step(r, r - distance, bounds[r], bounds[np.minimum(r + distance, ranks)], reduce=False)
        for distance, r in _children(ranks)
    )


def _scatter(ranks: int, length: int) -> Schedule:
    return tuple(s._replace(source=s.target, target=s.source) for s in reversed(_gather(ranks, length)))


def reduce_scatter(ranks: int, length: int) -> Schedule:
    """Everything is summed at rank 0, and handed out."""
    return reduce(ranks, length) + _scatter(ranks, length)


def all_gather(ranks: int, length: int) -> Schedule:
    """All chunks come together at rank 0, and go back to everyone."""
    return _gather(ranks, length) + broadcast(ranks, length)


def all_reduce(ranks: int, length: int) -> Schedule:
    """Reduce, then broadcast."""
    return reduce(ranks, length) + broadcast(ranks, length)


@dataclass(frozen=True, kw_only=True)
class Tree(Algorithm):
    """The binomial tree.

    Args:
        segment_bytes: cut messages into pieces of about so many bytes; None for whole ones.
    """

    tables: ClassVar[Tables] = {
        "all_reduce": all_reduce,
        "reduce_scatter": reduce_scatter,
        "all_gather": all_gather,
        "broadcast": broadcast,
        "reduce": reduce,
    }
    segment_bytes: int | None = None

    def owned(self, ranks: int, length: int) -> tuple[Ints, Ints]:
        """Chunk r for rank r."""
        bounds = chunk_bounds(length, ranks)
        return bounds[:-1], bounds[1:]
