"""Ring all-reduce in segments: while one segment is added up, the next is on its way.

The steps are those of the ring. A segment is passed on as soon as it has been added, not when its whole chunk
has, so that no link waits for an addition, and what is added is still in the cache.

Reference:
    Patarasuk, Yuan. "Bandwidth optimal all-reduce algorithms for clusters of workstations". Journal of
    Parallel and Distributed Computing 69(2), 2009. gloo's `allreduce_ring_chunked` cuts each chunk in two.
    Implements: the ring's steps, cut and reordered by `assay.collectives.program`.
    Departs: segments have a size in bytes, not a number.
    Verified: bitwise equal to the ring; bytes exactly.
"""

from dataclasses import dataclass

from assay.collectives.ring import Ring

SEGMENT_BYTES = 2**21


@dataclass(frozen=True, kw_only=True)
class RingPipelined(Ring):
    """The ring in segments.

    Args:
        segment_bytes: pieces of a message; large enough that a message's fixed cost does not count, small
            enough to stay in the cache.
    """

    segment_bytes: int | None = SEGMENT_BYTES
