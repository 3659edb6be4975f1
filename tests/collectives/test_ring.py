import numpy as np
import pytest
from collective_worlds import drawn, lengths, replay, ring_sum

from assay.collectives import ring
from assay.collectives.ring import Ring
from assay.collectives.schedule import chunk_bounds, elements_sent, steps_taken

RANKS = range(1, 9)


@pytest.mark.parametrize("n", RANKS)
class TestAllReduce:
    def test_is_the_sum_in_the_order_of_the_definition_bitwise(self, n):
        for length in lengths(n):
            arrays = drawn(n, length)
            expected = ring_sum(arrays)
            for result in replay(Ring().steps("all_reduce", n, length), arrays):
                assert np.array_equal(result, expected)

    def test_sends_the_fewest_bytes_possible(self, n):
        sent = elements_sent(Ring().steps("all_reduce", n, 12 * n), n)
        assert (sent == 2 * (n - 1) * 12).all()

    def test_sends_within_one_element_per_step_of_that_otherwise(self, n):
        for length in lengths(n):
            sent = elements_sent(Ring().steps("all_reduce", n, length), n)
            assert (np.abs(sent - 2 * (n - 1) * length / n) <= 2 * (n - 1)).all()

    def test_takes_two_n_minus_one_steps(self, n):
        assert (steps_taken(Ring().steps("all_reduce", n, n), n) == 2 * (n - 1)).all()

    def test_talks_to_neighbours_only(self, n):
        for step in Ring().steps("all_reduce", n, 5):
            assert (step.target == (step.source + 1) % n).all()


@pytest.mark.parametrize("n", RANKS)
class TestParts:
    def test_after_reduce_scatter_rank_r_owns_chunk_r_plus_one(self, n):
        length = 3 * n + 2
        arrays, bounds = drawn(n, length), chunk_bounds(length, n)
        start, stop = Ring().owned(n, length)
        held = replay(ring.reduce_scatter(n, length), arrays)
        expected = ring_sum(arrays)
        for r in range(n):
            assert (start[r], stop[r]) == (bounds[(r + 1) % n], bounds[(r + 1) % n + 1])
            assert np.array_equal(held[r][start[r] : stop[r]], expected[start[r] : stop[r]])

    def test_all_gather_spreads_what_is_owned(self, n):
        length = 3 * n + 2
        start, stop = Ring().owned(n, length)
        arrays = [np.full(length, np.nan) for _ in range(n)]
        for r in range(n):
            arrays[r][start[r] : stop[r]] = r
        for result in replay(ring.all_gather(n, length), arrays):
            assert [result[start[r] : stop[r]].tolist() for r in range(n)] == [
                [r] * (stop[r] - start[r]) for r in range(n)
            ]

    def test_broadcast_and_reduce_along_the_chain(self, n):
        arrays = drawn(n, 7)
        for result in replay(Ring().steps("broadcast", n, 7, root=n // 2), arrays):
            assert np.array_equal(result, arrays[n // 2])
        expected = arrays[1 % n].copy()
        for r in (*range(2, n), 0)[: n - 1]:
            expected = expected + arrays[r]
        assert np.array_equal(replay(ring.reduce(n, 7), arrays)[0], expected)


def test_another_order_gives_another_sum():
    arrays = [np.array([1e16]), np.array([-1e16]), np.array([1.0])]
    assert ring_sum(arrays)[0] == 1.0
    assert ring_sum(arrays[1:] + arrays[:1])[0] == 0.0


def test_rounding_in_half_precision_grows_with_the_ranks():
    errors = []
    for n in (2, 8):
        rng = np.random.default_rng(n)
        arrays = [rng.random(4000).astype(np.float16) for _ in range(n)]
        exact = np.sum([a.astype(np.float64) for a in arrays], axis=0)
        result = replay(Ring().steps("all_reduce", n, 4000), arrays)[0]
        errors.append(np.abs(result - exact).max() / exact.max())
        assert errors[-1] <= (n - 1) * 2.0**-11
    assert errors[1] > errors[0]


def test_refuses_a_segment_of_nothing():
    with pytest.raises(ValueError, match="segment_bytes must be at least 1, got 0"):
        Ring(segment_bytes=0)
