import numpy as np
import pytest
from collective_worlds import balanced_sum, drawn, lengths, replay

from assay.collectives import halving_doubling as hd
from assay.collectives.halving_doubling import HalvingDoubling
from assay.collectives.schedule import elements_sent, steps_taken

RANKS = range(1, 17)
POWERS = (1, 2, 4, 8, 16)


@pytest.mark.parametrize("n", RANKS)
class TestAllReduce:
    def test_is_the_balanced_tree_bitwise(self, n):
        for length in {*lengths(n), 4 * n + 3}:
            arrays = drawn(n, length)
            expected = balanced_sum(arrays)
            for result in replay(HalvingDoubling().steps("all_reduce", n, length), arrays):
                assert np.array_equal(result, expected)

    def test_takes_twice_the_logarithm_and_two_steps_to_fold(self, n):
        taken = steps_taken(HalvingDoubling().steps("all_reduce", n, 64), n)
        level, folds = n.bit_length() - 1, n & (n - 1) != 0
        active = hd.active_ranks(n)
        assert taken.max() == 2 * level + 2 * folds
        assert (np.delete(taken, active) == 2).all()  # Those that were folded only hand over and wait.


@pytest.mark.parametrize("n", POWERS)
def test_sends_the_fewest_bytes_possible(n):
    assert (elements_sent(HalvingDoubling().steps("all_reduce", n, 5 * n), n) == 2 * (n - 1) * 5).all()


@pytest.mark.parametrize("n", [3, 5, 6, 7])
def test_folding_sends_everything_once_more_each_way(n):
    length = 16 * n
    sent = elements_sent(HalvingDoubling().steps("all_reduce", n, length), n)
    m = 1 << (n.bit_length() - 1)
    folded = n - m
    inner = 2 * (m - 1) * length // m
    for r in range(n):
        if r >= 2 * folded:
            assert sent[r] == inner
        else:
            assert sent[r] == (length if r % 2 == 0 else inner + length)


@pytest.mark.parametrize("n", RANKS)
class TestParts:
    def test_all_reduce_is_all_gather_after_reduce_scatter(self, n):
        arrays = drawn(n, 3 * n + 2)
        held = replay(hd.reduce_scatter(n, 3 * n + 2), arrays)
        start, stop = HalvingDoubling().owned(n, 3 * n + 2)
        for r in range(n):  # Nothing but what a rank owns is needed.
            held[r][: start[r]] = held[r][stop[r] :] = np.nan
            if start[r] == stop[r]:
                held[r][:] = np.nan
        for result in replay(hd.all_gather(n, 3 * n + 2), held):
            assert np.array_equal(result, balanced_sum(arrays))

    def test_broadcast_and_reduce(self, n):
        arrays = drawn(n, 11)
        for root in {0, n - 1}:
            for result in replay(HalvingDoubling().steps("broadcast", n, 11, root), arrays):
                assert np.array_equal(result, arrays[root])
        assert np.array_equal(replay(hd.reduce(n, 11), arrays)[0], balanced_sum(arrays))


def test_the_table_of_owners():
    assert np.stack(hd.owned(4, 8)).T.tolist() == [[0, 2], [4, 6], [2, 4], [6, 8]]
    assert np.stack(hd.owned(6, 8)).T.tolist() == [[0, 0], [0, 2], [0, 0], [4, 6], [2, 4], [6, 8]]


def test_the_half_that_is_kept_depends_on_the_partner():
    arrays = [np.arange(4.0) + 10 * r for r in range(4)]
    first = hd.reduce_scatter(4, 4)[0]
    assert first.target.tolist() == [1, 0, 3, 2]
    assert np.stack([first.start, first.stop]).T.tolist() == [[2, 4], [0, 2], [2, 4], [0, 2]]
    assert replay((first,), arrays)[1].tolist() == [10, 11, 14, 16]
