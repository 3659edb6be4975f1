import numpy as np
import pytest
import torch
from attention_loops import sees

from assay.attention.pattern import Pattern, blocks

WINDOWS = [(-1, -1), (-1, 0), (0, 0), (3, 0), (5, 7), (0, 2), (-1, 1), (2, -1)]
LENGTHS = [(1, 1), (1, 8), (4, 2), (9, 9), (7, 12), (12, 5)]


def seen(nq, nk, window):
    return np.array([[sees(i, j, nq, nk, window=window) for j in range(nk)] for i in range(nq)])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("nq", "nk"), LENGTHS)
class TestWindow:
    def test_outside_is_what_the_definition_hides(self, nq, nk, window):
        pattern, wanted = Pattern(scale=1.0, window=window), seen(nq, nk, window)
        found = pattern.outside(range(nq), range(nk), nq, nk)
        if found is None:
            assert wanted.all()
        else:
            np.testing.assert_array_equal(~found.numpy(), wanted)

    def test_ranges_are_the_tightest_around_what_is_seen(self, nq, nk, window):
        pattern, wanted = Pattern(scale=1.0, window=window), seen(nq, nk, window)
        for rows in (range(1), range(nq), range(nq // 2, nq)):
            columns = np.flatnonzero(wanted[rows.start : rows.stop].any(0))
            found = pattern.columns(rows, nq, nk)
            tight = range(columns[0], columns[-1] + 1) if len(columns) else range(0)
            assert list(found) == list(tight)
        for columns in (range(1), range(nk), range(nk // 2, nk)):
            rows = np.flatnonzero(wanted[:, columns.start : columns.stop].any(1))
            found = pattern.rows(columns, nq, nk)
            assert list(found) == (list(range(rows[0], rows[-1] + 1)) if len(rows) else [])

    def test_blocks_cover_what_is_seen_once(self, nq, nk, window):
        pattern = Pattern(scale=1.0, window=window)
        by_rows, by_columns = np.zeros((nq, nk), int), np.zeros((nq, nk), int)
        for rows in blocks(range(nq), 2):
            for columns in pattern.by_rows(rows, nq, nk, 3):
                assert 0 < len(columns) <= 3
                by_rows[rows.start : rows.stop, columns.start : columns.stop] += 1
        for columns in blocks(range(nk), 3):
            for rows in pattern.by_columns(columns, nq, nk, 2):
                assert 0 < len(rows) <= 2
                by_columns[rows.start : rows.stop, columns.start : columns.stop] += 1
        wanted = seen(nq, nk, window)
        for count in (by_rows, by_columns):
            assert count.max() <= 1
            assert (count[wanted] == 1).all()


class TestCausal:
    def test_one_new_query_sees_every_key_and_early_queries_may_see_none(self):
        assert seen(1, 8, (-1, 0)).all()
        assert seen(4, 2, (-1, 0)).tolist() == [[False, False], [False, False], [True, False], [True, True]]

    def test_half_of_the_blocks_are_visited(self):
        pattern = Pattern(scale=1.0, window=(-1, 0))
        n, size = 1024, 64
        visited = sum(1 for rows in blocks(range(n), size) for _ in pattern.by_rows(rows, n, n, size))
        count = n // size
        assert visited == count * (count + 1) // 2


class TestScored:
    def test_modified_then_biased_then_hidden(self):
        bias = torch.full((1, 1, 1, 3), 10.0)
        pattern = Pattern(
            scale=1.0,
            window=(-1, 0),
            bias=bias,
            score_mod=lambda s, b, h, i, j: 2 * s + h,
            mask_mod=lambda b, h, i, j: j != 1,
            mask=torch.tensor([True, True, True])[None, None, None],
        )
        scores = pattern.scored(torch.ones(1, 2, 3, 3))
        inf = float("inf")
        rows = [[12.0, -inf, -inf], [12.0, -inf, -inf], [12.0, -inf, 12.0]]
        assert scores[0, 0].tolist() == rows
        assert scores[0, 1].tolist() == [[x + 1 for x in row] for row in rows]

    def test_plain_says_whether_anything_is_added(self):
        assert Pattern(scale=1.0, window=(3, 0), mask_mod=lambda b, h, i, j: i == j).plain
        assert not Pattern(scale=1.0, bias=torch.zeros(1, 1, 1, 1)).plain
        assert not Pattern(scale=1.0, score_mod=lambda s, b, h, i, j: s).plain


def test_blocks_of_a_range():
    assert list(blocks(range(2, 9), 3)) == [range(2, 5), range(5, 8), range(8, 9)]
    assert list(blocks(range(4, 4), 3)) == []
