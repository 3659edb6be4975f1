"""Halving-doubling: partners at distance 1, 2, 4 ... exchange halves of halves, then retrace their steps.

It sends no more bytes than the ring and takes 2 log2(n) steps instead of 2(n - 1), which decides for short
tensors. Its partners are far apart, where they may have to share links.

Reference:
    Thakur, Rabenseifner, Gropp. "Optimization of Collective Communication Operations in MPICH". International
    Journal of High Performance Computing Applications 19(1), 2005. Rabenseifner. "Optimization of Collective
    Reduction Operations". ICCS 2004.
    Implements: recursive halving, recursive doubling; broadcast as scatter and all-gather, reduce as
        reduce-scatter and gather.
    Departs: n that are no power of two are folded: with e = n - 2^k, each even one of the first 2e ranks
        hands everything to its odd neighbour, and is sent the result.
    Omits: binary blocks, gloo's way with such n.
    Verified: bitwise against the balanced tree ((x0 + x1) + (x2 + x3)) + ... for n = 2^k; bytes and steps
        exactly; values against gloo.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from assay.collectives.algorithm import Algorithm, Tables
from assay.collectives.schedule import Ints, Schedule, Step, chunk_bounds, step


class Level(NamedTuple):
    """Chunks that every active rank has after so many halvings: from `low` up to `high`."""

    low: Ints
    high: Ints


def active_ranks(ranks: int) -> Ints:
    """The ranks that halve and double, a power of two of them, in the order in which they are renumbered."""
    folded = ranks - (1 << (ranks.bit_length() - 1))
    return np.concatenate([np.arange(1, 2 * folded, 2), np.arange(2 * folded, ranks)])


def levels(count: int) -> list[Level]:
    """The chunks held before the first and after every halving among `count` = 2^k ranks."""
    v = np.arange(count)
    found = [Level(np.zeros(count, np.int64), np.full(count, count, np.int64))]
    for i in range(count.bit_length() - 1):
        low, high = found[-1]
        middle = (low + high) // 2
        upper = (v >> i) & 1 == 1  # The partner's bit is the other one: each keeps its own half.
        found.append(Level(np.where(upper, middle, low), np.where(upper, high, middle)))
    return found


def _fold(ranks: int, length: int) -> Schedule:
    even = np.arange(0, 2 * (ranks - len(active_ranks(ranks))), 2)
    return (step(even, even + 1, 0, length, reduce=True),) if len(even) else ()


def reduce_scatter(ranks: int, length: int) -> Schedule:
    """Step i: partners r and r xor 2^i exchange the halves that they do not keep."""
    active = active_ranks(ranks)
    v, bounds, held = np.arange(len(active)), chunk_bounds(length, len(active)), levels(len(active))
    steps = list(_fold(ranks, length))
    for i in range(len(held) - 1):
        partner = v ^ (1 << i)
        kept = held[i + 1]  # What the partner keeps is what it is sent.
        start, stop = bounds[kept.low[partner]], bounds[kept.high[partner]]
        steps.append(step(active, active[partner], start, stop, reduce=True))
    return tuple(steps)


def all_gather(ranks: int, length: int) -> Schedule:
    """The steps of reduce-scatter backwards: partners exchange all that they have."""
    active = active_ranks(ranks)
    v, bounds, held = np.arange(len(active)), chunk_bounds(length, len(active)), levels(len(active))
    steps = []
    for i in reversed(range(len(held) - 1)):
        mine = held[i + 1]
        start, stop = bounds[mine.low], bounds[mine.high]
        steps.append(step(active, active[v ^ (1 << i)], start, stop, reduce=False))
    for fold in _fold(ranks, length):
        steps.append(Step(fold.target, fold.source, fold.start, fold.stop, reduce=False))
    return tuple(steps)


def _gather(ranks: int, length: int) -> Schedule:
    """What the ranks own comes together at rank 0."""
    active = active_ranks(ranks)
    bounds, held = chunk_bounds(length, len(active)), levels(len(active))
    steps = []
    for i in reversed(range(len(held) - 1)):
        sender = np.arange(1 << i, 2 << i)
        start, stop = bounds[held[i + 1].low[sender]], bounds[held[i + 1].high[sender]]
        steps.append(step(active[sender], active[sender - (1 << i)], start, stop, reduce=False))
    if active[0] != 0:
        steps.append(step(active[0], 0, 0, length, reduce=False))
    return tuple(steps)


def reduce(ranks: int, length: int) -> Schedule:
    """Reduce-scatter, then gather at rank 0."""
    return reduce_scatter(ranks, length) + _gather(ranks, length)


def broadcast(ranks: int, length: int) -> Schedule:
    """Gather backwards, which is a scatter, then all-gather."""
    scatter = tuple(
        Step(s.target, s.source, s.start, s.stop, reduce=False) for s in reversed(_gather(ranks, length))
    )
    return scatter + all_gather(ranks, length)


def owned(ranks: int, length: int) -> tuple[Ints, Ints]:
    """Start and stop of what each rank owns after reduce-scatter; nothing for a rank that was folded."""
    active = active_ranks(ranks)
    bounds, last = chunk_bounds(length, len(active)), levels(len(active))[-1]
    start, stop = np.zeros(ranks, np.int64), np.zeros(ranks, np.int64)
    start[active], stop[active] = bounds[last.low], bounds[last.high]
    return start, stop


@dataclass(frozen=True, kw_only=True)
class HalvingDoubling(Algorithm):
    """Recursive halving and doubling.

    Args:
        segment_bytes: cut messages into pieces of about so many bytes; None for whole ones.
    """

    tables: ClassVar[Tables] = {
        "reduce_scatter": reduce_scatter,
        "all_gather": all_gather,
        "broadcast": broadcast,
        "reduce": reduce,
    }
    segment_bytes: int | None = None

    def owned(self, ranks: int, length: int) -> tuple[Ints, Ints]:
        """What is left after the halvings."""
        return owned(ranks, length)
