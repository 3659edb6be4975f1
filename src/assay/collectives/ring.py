"""Ring all-reduce: chunks travel round a ring, first gathering the sum, then spreading it.

Every rank talks to two neighbours only and all links are busy all the time, so that the time for long tensors
does not depend on the number of ranks. The price is 2(n - 1) steps, too many for short ones.

Reference:
    Patarasuk, Yuan. "Bandwidth optimal all-reduce algorithms for clusters of workstations". Journal of
    Parallel and Distributed Computing 69(2), 2009. Spread by Baidu's baidu-allreduce (2017) and by Sergeev,
    Del Balso. "Horovod". arXiv:1802.05799.
    Implements: reduce-scatter and all-gather round the ring; broadcast and reduce along the chain that is
        left when one link of the ring is cut.
    Departs: after reduce-scatter rank r owns chunk r + 1, as the steps leave it, not chunk r.
    Omits: several rings at once, each on links of its own.
    Verified: bitwise against a NumPy loop in the order of the sum, ((x_c + x_c+1) + ...) + x_c+n-1 for chunk
        c; bytes and steps exactly; values against gloo.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from assay.collectives.algorithm import Algorithm, Tables
from assay.collectives.schedule import Ints, Schedule, Step, chunk_bounds, step


def reduce_scatter(ranks: int, length: int) -> Iterator[Step]:
    """Step s: rank r sends chunk r - s to r + 1, which adds it. In the end r owns chunk r + 1."""
    r, bounds = np.arange(ranks), chunk_bounds(length, ranks)
    for s in range(ranks - 1):
        chunk = (r - s) % ranks
        yield step(r, (r + 1) % ranks, bounds[chunk], bounds[chunk + 1], reduce=True)


def all_gather(ranks: int, length: int) -> Iterator[Step]:
    """Step s: rank r sends chunk r + 1 - s to r + 1, beginning with the one it owns."""
    r, bounds = np.arange(ranks), chunk_bounds(length, ranks)
    for s in range(ranks - 1):
        chunk = (r + 1 - s) % ranks
        yield step(r, (r + 1) % ranks, bounds[chunk], bounds[chunk + 1], reduce=False)


def broadcast(ranks: int, length: int) -> Schedule:
    """The chain 0, 1, ..., n - 1; in segments, all links of it are busy at once."""
    return tuple(step(r, r + 1, 0, length, reduce=False) for r in range(ranks - 1))


def reduce(ranks: int, length: int) -> Schedule:
    """The chain 1, 2, ..., n - 1, 0, adding on the way."""
    return tuple(step(r, (r + 1) % ranks, 0, length, reduce=True) for r in range(1, ranks))


def owned(ranks: int, length: int) -> tuple[Ints, Ints]:
    """Start and stop of what each rank owns between reduce-scatter and all-gather: chunk r + 1."""
    chunk, bounds = (np.arange(ranks) + 1) % ranks, chunk_bounds(length, ranks)
    return bounds[chunk], bounds[chunk + 1]


@dataclass(frozen=True, kw_only=True)
class Ring(Algorithm):
    """The ring, a chunk in one message.

    Args:
        segment_bytes: cut messages into pieces of about so many bytes; None for whole chunks.
    """

    tables: ClassVar[Tables] = {
        "reduce_scatter": reduce_scatter,
        "all_gather": all_gather,
        "broadcast": broadcast,
        "reduce": reduce,
    }
    segment_bytes: int | None = None

    def owned(self, ranks: int, length: int) -> tuple[Ints, Ints]:
        """Chunk r + 1 for rank r."""
        return owned(ranks, length)
