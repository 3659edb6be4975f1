import numpy as np
import pytest
from collective_worlds import drawn, interpret, ring_sum

from assay.collectives.program import program
from assay.collectives.ring import Ring
from assay.collectives.ring_pipelined import SEGMENT_BYTES, RingPipelined


@pytest.mark.parametrize("n", range(2, 6))
def test_is_bitwise_the_ring(n):
    length = 8 * n + 3
    arrays = drawn(n, length)
    schedule = RingPipelined().steps("all_reduce", n, length)
    for segment in (1, 3, None):
        programs = [program(schedule, r, segment) for r in range(n)]
        for result in interpret(programs, arrays, np.random.default_rng(n)):
            assert np.array_equal(result, ring_sum(arrays))


def test_has_the_steps_of_the_ring():
    ours, rings = (a.steps("all_reduce", 4, 10) for a in (RingPipelined(), Ring()))
    for mine, theirs in zip(ours, rings, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_cuts_by_default():
    assert RingPipelined().segment_bytes == SEGMENT_BYTES
    assert Ring().segment_bytes is None
