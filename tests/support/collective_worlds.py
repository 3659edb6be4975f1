"""Schedules and programs executed in one process by plain loops, and sums in an order written down."""

from collections import deque

import numpy as np

from assay.collectives.halving_doubling import HalvingDoubling
from assay.collectives.program import Send
from assay.collectives.ring import Ring
from assay.collectives.ring_pipelined import RingPipelined
from assay.collectives.tree import Tree

ALGORITHMS = {
    "ring": Ring(),
    "ring-pipelined": RingPipelined(segment_bytes=40),
    "halving-doubling": HalvingDoubling(),
    "halving-doubling in segments": HalvingDoubling(segment_bytes=24),
    "tree": Tree(),
    "tree in segments": Tree(segment_bytes=16),
}


def lengths(ranks):
    return sorted({0, 1, ranks - 1, ranks, ranks + 1, 3 * ranks + 2})


def drawn(ranks, length, seed=0):
    """A different array for each rank, of numbers whose sum depends on the order of adding."""
    rng = np.random.default_rng([seed, ranks, length])
    return [rng.standard_normal(length) * 10.0 ** rng.integers(-8, 9, length) for _ in range(ranks)]


def replay(schedule, arrays, combine=np.add):
    """What every rank holds when all transfers of a step happen at once."""
    held = [array.copy() for array in arrays]
    for step in schedule:
        before = [array.copy() for array in held]
        written = [np.zeros(len(array), bool) for array in held]
        for source, target, start, stop in zip(step.source, step.target, step.start, step.stop, strict=True):
            assert source != target
            assert not written[target][start:stop].any(), "two transfers of a step end in one place"
            written[target][start:stop] = True
            new = before[source][start:stop]
            held[target][start:stop] = combine(before[target][start:stop], new) if step.reduce else new
    return held


class _Message:
    """Its content is what stands there when it is looked at: late, as a slow network would."""

    def __init__(self, view):
        self._view, self._copy = view, None

    def leave(self):
        if self._copy is None:
            self._copy = self._view.copy()

    def content(self):
        self.leave()
        return self._copy


def interpret(programs, arrays, rng):
    """What every rank holds after its program; ranks take turns at random, messages leave as late as allowed.

    Fails when all ranks wait for each other, or when a message is left over.
    """
    held = [array.copy() for array in arrays]
    wires = {}
    sent = [{} for _ in programs]
    place = [0] * len(programs)
    while any(place[r] < len(program) for r, program in enumerate(programs)):
        able = []
        for r, program in enumerate(programs):
            if place[r] < len(program):
                op = program[place[r]]
                if isinstance(op, Send) or wires.get((op.peer, r)):
                    able.append(r)
        assert able, "every rank waits"
        r = int(rng.choice(able))
        op = programs[r][place[r]]
        view = held[r][op.start : op.stop]
        if isinstance(op, Send):
            message = _Message(view)
            sent[r][place[r]] = message
            wires.setdefault((r, op.peer), deque()).append(message)
        else:
            for conflict in op.conflicts:
                sent[r][conflict].leave()
            new = wires[op.peer, r].popleft().content()
            assert len(new) == op.stop - op.start
            view[:] = view + new if op.reduce else new
        place[r] += 1
    assert not any(wires.values())
    return held


def ring_sum(arrays):
    """Chunk c is ((x_c + x_c+1) + ...) + x_c+n-1."""
    n, length = len(arrays), len(arrays[0])
    result = np.empty(length)
    start = 0
    for c in range(n):
        stop = start + length // n + (1 if c < length % n else 0)
        total = arrays[c][start:stop].copy()
        for k in range(1, n):
            total = total + arrays[(c + k) % n][start:stop]
        result[start:stop] = total
        start = stop
    assert start == length
    return result


def balanced_sum(arrays):
    """((x0 + x1) + (x2 + x3)) + ...; for other n than 2^k the first pairs are added up before."""
    n = len(arrays)
    folded = n - 2 ** (n.bit_length() - 1)
    level = [arrays[2 * i] + arrays[2 * i + 1] for i in range(folded)] + arrays[2 * folded :]
    while len(level) > 1:
        level = [level[i] + level[i + 1] for i in range(0, len(level), 2)]
    return level[0]


def binomial_sum(arrays):
    """Neighbours at distance 1, then 2, then 4 ...; one without a partner goes on as it is."""
    level = list(arrays)
    while len(level) > 1:
        level = [sum_of_pair(level[i : i + 2]) for i in range(0, len(level), 2)]
    return level[0]


def sum_of_pair(pair):
    return pair[0] + pair[1] if len(pair) == 2 else pair[0]


def on_ranks(counts, target, *args):
    """What `target(*args)` returns on each rank, for each number of ranks."""
    from assay.collectives.ranks import run_ranks

    return {n: run_ranks(n, target, *args, timeout=120) for n in counts}
