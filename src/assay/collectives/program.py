"""A rank's program: its part of a schedule, cut into segments and put in the order that keeps links busy.

A segment is sent right after the last receive that it depends on, not when the step before has ended; so
segments flow through the ranks like a pipeline.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from assay.collectives.schedule import Schedule


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
    """

    peer: int
    start: int
    stop: int
    reduce: bool
    conflicts: tuple[int, ...]


Program = tuple[Send | Receive, ...]


def program(schedule: Schedule, rank: int, segment: int | None) -> Program:
    """What `rank` does, in order.

    Both ends of a transfer cut it alike, and what goes from one rank to another arrives in the order of the
    sends: both follow the steps, and within a step the segments.

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
        edges = np.array([(r.start, r.stop) for r in receives], np.int64).reshape(-1, 2)
        for row in np.flatnonzero(step.source == rank):
            for start, stop in _cut(int(step.start[row]), int(step.stop[row]), segment):
                needed = np.flatnonzero((edges[:, 0] < stop) & (edges[:, 1] > start))
                ready = max(ready, int(needed[-1]) + 1 if len(needed) else 0)
                sends.setdefault(ready, []).append(Send(int(step.target[row]), start, stop))
        for row in np.flatnonzero(step.target == rank):
            for start, stop in _cut(int(step.start[row]), int(step.stop[row]), segment):
                receives.append(Receive(int(step.source[row]), start, stop, step.reduce, ()))
        assert ready <= arrived  # What a step receives is sent by later steps only.
    ordered: list[Send | Receive] = list(sends.get(0, ()))
    for count, receive in enumerate(receives, start=1):
        ordered += [receive, *sends.get(count, ())]
    places = np.array([place for place, op in enumerate(ordered) if isinstance(op, Send)], np.int64)
    starts, stops = (np.array([ordered[place][i] for place in places], np.int64) for i in (1, 2))
    for place, op in enumerate(ordered):
        if isinstance(op, Receive):
            meets = (places < place) & (starts < op.stop) & (stops > op.start)
            ordered[place] = op._replace(conflicts=tuple(places[meets].tolist()))
    return tuple(ordered)


def _cut(start: int, stop: int, segment: int | None) -> list[tuple[int, int]]:
    """Pieces of nearly the same size; none of nothing."""
    size = stop - start
    pieces = -(-size // segment) if segment else min(size, 1)
    edges = [start + size * piece // pieces for piece in range(pieces + 1)] if pieces else [start]
    return list(pairwise(edges))
