"""A rank's program: its part of a schedule, cut into segments and put in the order that keeps links busy.

A segment is sent right after the last receive that it depends on, not when the step before has ended; so
segments flow through the ranks like a pipeline. But it is not sent long before its counterpart arrives: what
waits in the sockets has left the cache when it is read.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from assay.collectives.schedule import Schedule

AHEAD = 4  # segments of a step that may leave before the first one arrives, and receives that wait for theirs


class Send(NamedTuple):
    """Elements start to stop go to a peer."""

    peer: int
    start: int
    stop: int


class Receive(NamedTuple):
    """Elements start to stop come from a peer.

    Args:
        peer: who sends.
        start, stop: where they belong.
        reduce: combined with what is there, instead of replacing it.
        conflicts: places in the program of earlier sends of these elements, which must have left before.
        after: place of the last send or receive of these elements before it; what replaces may not be awaited
            sooner. -1 for none, and for what is combined, which arrives elsewhere.
    """

    peer: int
    start: int
    stop: int
    reduce: bool
    conflicts: tuple[int, ...] = ()
    after: int = -1


Program = tuple[Send | Receive, ...]


def program(schedule: Schedule, rank: int, segment: int | None) -> Program:
    """What `rank` does, in order.

    Both ends of a transfer cut it alike, and what goes from one rank to another arrives in the order of the
    sends: both follow the steps, and within a step the segments. Where a rank sends to one and receives in
    the same step, a segment leaves after all but AHEAD - 1 of the segments up to its counterpart have come.
    Ranks cannot end up waiting for each other in a circle, since each waits for earlier segments only.

    Args:
        schedule: of all ranks.
        rank: this one.
        segment: most elements of a message, or None for no limit.
    """
    receives: list[Receive] = []
    sends: dict[int, list[Send]] = {}  # How many receives come first -> sends.
    ready = 0
    for step in schedule:
        arrived = len(receives)
        for row in np.flatnonzero(step.target == rank):
            for start, stop in _cut(int(step.start[row]), int(step.stop[row]), segment):
                receives.append(Receive(int(step.source[row]), start, stop, step.reduce))
        rows = np.flatnonzero(step.source == rank)
        coming = len(receives) - arrived if len(rows) == 1 else 0
        edges = np.array([(r.start, r.stop) for r in receives[:arrived]], np.int64).reshape(-1, 2)
        for row in rows:
            for s, (start, stop) in enumerate(_cut(int(step.start[row]), int(step.stop[row]), segment)):
                needed = np.flatnonzero((edges[:, 0] < stop) & (edges[:, 1] > start))
                ready = max(ready, int(needed[-1]) + 1 if len(needed) else 0)
                if coming:
                    ready = max(ready, arrived + min(s - AHEAD + 1, coming))
                sends.setdefault(ready, []).append(Send(int(step.target[row]), start, stop))
    ordered: list[Send | Receive] = list(sends.get(0, ()))
    for count, receive in enumerate(receives, start=1):
        ordered += [receive, *sends.get(count, ())]
    starts, stops = (np.array([op[i] for op in ordered], np.int64) for i in (1, 2))
    leaves = np.array([isinstance(op, Send) for op in ordered], bool)
    for place, op in enumerate(ordered):
        if isinstance(op, Receive):
            meets = (starts[:place] < op.stop) & (stops[:place] > op.start)
            conflicts = tuple(np.flatnonzero(meets & leaves[:place]).tolist())
            before = np.flatnonzero(meets)
            after = -1 if op.reduce or not len(before) else int(before[-1])
            ordered[place] = op._replace(conflicts=conflicts, after=after)
    return tuple(ordered)


def _cut(start: int, stop: int, segment: int | None) -> list[tuple[int, int]]:
    """Pieces of nearly the same size; none of nothing."""
    size = stop - start
    pieces = -(-size // segment) if segment else min(size, 1)
    edges = [start + size * piece // pieces for piece in range(pieces + 1)] if pieces else [start]
    return list(pairwise(edges))
