import numpy as np
import pytest

from assay.collectives.ring import Ring
from assay.collectives.schedule import chunk_bounds, elements_sent, rotated, step, steps_taken, sum_order
from assay.collectives.tree import Tree


class TestChunkBounds:
    @pytest.mark.parametrize("chunks", range(1, 9))
    def test_the_first_chunks_have_one_more(self, chunks):
        for length in (0, 1, chunks - 1, chunks, chunks + 1, 3 * chunks + 2):
            sizes = np.diff(chunk_bounds(length, chunks))
            assert sizes.tolist() == [length // chunks + (c < length % chunks) for c in range(chunks)]
            assert sizes.sum() == length

    def test_refuses_what_cannot_be_cut(self):
        with pytest.raises(ValueError, match="at least one chunk of a length from 0 up, got 0 of 5"):
            chunk_bounds(5, 0)
        with pytest.raises(ValueError, match="got 2 of -1"):
            chunk_bounds(-1, 2)


def test_a_step_repeats_numbers_for_all_rows():
    made = step(np.arange(3), [1, 2, 0], 0, 7, reduce=True)
    assert made.start.tolist() == [0, 0, 0]
    assert made.sizes.tolist() == [7, 7, 7]
    assert step(4, 2, 0, 1, reduce=False).source.tolist() == [4]


def test_counts_elements_and_steps_of_each_rank():
    schedule = (step([0, 1], [1, 0], [0, 2], [2, 3], reduce=True), step(2, 0, 0, 5, reduce=False))
    assert elements_sent(schedule, 4).tolist() == [2, 1, 5, 0]
    assert steps_taken(schedule, 4).tolist() == [2, 1, 1, 0]


def test_rotated_renames_ranks():
    broadcast = Tree().steps("broadcast", 5, 3)
    for before, after in zip(broadcast, rotated(broadcast, 3, 5), strict=True):
        assert ((before.source + 3) % 5 == after.source).all()
        assert ((before.target + 3) % 5 == after.target).all()
        assert (before.stop == after.stop).all()


def test_the_order_of_a_sum_in_words():
    ring = Ring().steps("all_reduce", 3, 3)
    assert [sum_order(ring, 3, c) for c in range(3)] == ["((0 + 1) + 2)", "((1 + 2) + 0)", "((2 + 0) + 1)"]
    assert {sum_order(ring, 3, 1, rank) for rank in range(3)} == {"((1 + 2) + 0)"}
    assert sum_order(Tree().steps("all_reduce", 4, 1), 4, 0) == "((3 + 2) + (1 + 0))"
