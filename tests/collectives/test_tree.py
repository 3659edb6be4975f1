import numpy as np
import pytest
from collective_worlds import binomial_sum, drawn, lengths, replay

from assay.collectives import tree
from assay.collectives.schedule import elements_sent, steps_taken
from assay.collectives.tree import Tree

RANKS = range(1, 10)


@pytest.mark.parametrize("n", RANKS)
class TestTree:
    def test_is_the_binomial_sum_bitwise(self, n):
        for length in lengths(n):
            arrays = drawn(n, length)
            for result in replay(Tree().steps("all_reduce", n, length), arrays):
                assert np.array_equal(result, binomial_sum(arrays))
            assert np.array_equal(replay(tree.reduce(n, length), arrays)[0], binomial_sum(arrays))

    def test_the_root_sends_a_message_per_level(self, n):
        messages = sum(int((step.source == 0).sum()) for step in tree.broadcast(n, 5))
        assert messages == (n - 1).bit_length()
        assert elements_sent(tree.broadcast(n, 5), n)[0] == 5 * (n - 1).bit_length()

    def test_no_rank_takes_more_steps_than_twice_the_levels(self, n):
        taken = steps_taken(Tree().steps("all_reduce", n, 5), n)
        assert taken[0] == taken.max() == 2 * (n - 1).bit_length()

    def test_every_other_rank_sends_once_up(self, n):
        sent = elements_sent(tree.reduce(n, 5), n)
        assert sent.tolist() == [0, *[5] * (n - 1)]

    def test_broadcast_from_any_root(self, n):
        arrays = drawn(n, 6)
        for root in range(n):
            for result in replay(Tree().steps("broadcast", n, 6, root), arrays):
                assert np.array_equal(result, arrays[root])

    def test_parts_make_the_whole(self, n):
        length = 3 * n + 2
        arrays = drawn(n, length)
        start, stop = Tree().owned(n, length)
        assert (stop[:-1] == start[1:]).all()
        assert stop[-1] == length
        held = replay(tree.reduce_scatter(n, length), arrays)
        for r in range(n):
            held[r][: start[r]] = held[r][stop[r] :] = np.nan
        for result in replay(tree.all_gather(n, length), held):
            assert np.array_equal(result, binomial_sum(arrays))
