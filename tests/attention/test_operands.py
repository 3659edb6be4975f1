import math

import pytest
import torch

from assay.attention.operands import LOG2E, Operands, Sizes, computing
from assay.attention.pattern import Pattern


def drawn(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def operands(pattern, dtype=torch.float64, batch=0):
    q, k, v = drawn((2, 4, 6, 3), (2, 2, 8, 3), (2, 2, 8, 5), dtype=dtype)
    return Operands(q, k, v, pattern, batch=batch), q, k, v


TILES = [
    (range(1), range(3), range(8)),
    (range(2, 7), range(1, 6), range(3, 5)),
    (range(8), range(6), range(8)),
]


@pytest.mark.parametrize(("heads", "rows", "columns"), TILES)
class TestTile:
    def test_parts_are_those_of_the_heads(self, heads, rows, columns):
        tiled, q, k, v = operands(Pattern(scale=0.5))
        for at, head in enumerate(heads):
            b, h = divmod(head, 4)
            assert torch.equal(tiled.queries(heads, rows)[at], q[b, h, rows.start : rows.stop])
            assert torch.equal(tiled.keys(heads, columns)[at], k[b, h // 2, columns.start : columns.stop])
            assert torch.equal(tiled.values(heads, columns)[at], v[b, h // 2, columns.start : columns.stop])

    @pytest.mark.parametrize("name", ["plain", "window", "bias", "mask", "functions"])
    def test_scores_are_the_dense_ones_in_units_of_ln_2(self, heads, rows, columns, name):
        (bias,) = drawn((2, 1, 6, 1), seed=5)
        pattern = {
            "plain": Pattern(scale=0.5),
            "window": Pattern(scale=0.5, window=(2, 1)),
            "bias": Pattern(scale=0.5, bias=bias, window=(-1, 0)),
            "mask": Pattern(scale=0.5, mask=drawn((1, 4, 6, 8), seed=6)[0] > 0),
            "functions": Pattern(
                scale=0.5,
                score_mod=lambda s, b, h, i, j: torch.tanh(s) + h - b,
                mask_mod=lambda b, h, i, j: (i + j) % 3 != h % 2,
            ),
        }[name]
        tiled, q, k, _ = operands(pattern)
        scaled = q @ k.repeat_interleave(2, 1).transpose(-2, -1) * 0.5
        dense = (pattern.scored(scaled) * LOG2E).flatten(0, 1)
        queries = tiled.queries(heads, rows) * tiled.unit
        found = tiled.scores(queries, tiled.keys(heads, columns), heads, rows, columns)
        cut = dense[heads.start : heads.stop, rows.start : rows.stop, columns.start : columns.stop]
        torch.testing.assert_close(found, cut, atol=1e-12, rtol=0)


def test_numbers_of_batches_count_from_the_first_one():
    tiled, *_ = operands(Pattern(scale=1.0), batch=7)
    b, h, i, j = tiled.indices(range(3, 6), range(2, 4), range(5, 8))
    assert b.flatten().tolist() == [7, 8, 8]
    assert h.flatten().tolist() == [3, 0, 1]
    assert (i.flatten().tolist(), j.tolist()) == ([2, 3], [5, 6, 7])
    assert torch.broadcast_shapes(b.shape, h.shape, i.shape, j.shape) == (3, 2, 3)


def test_products_reuse_their_memory():
    tiled, *_ = operands(Pattern(scale=1.0))
    a, b = drawn((2, 3, 4), (2, 5, 4))
    first = tiled.product(a, b)
    other = tiled.product(a, b, scratch=1)
    torch.testing.assert_close(first, a @ b.transpose(1, 2))
    again = tiled.product(a[:1], b[:1])
    assert again.data_ptr() == first.data_ptr() != other.data_ptr()
    torch.testing.assert_close(other, a @ b.transpose(1, 2))


class TestSizes:
    def test_small_tiles_are_shared_by_many_heads(self):
        sizes = Sizes(256, 512)
        assert sizes.heads(4096, 4096) == 1
        assert sizes.heads(128, 128) == 8
        assert sizes.heads(1, 100_000) == 256
        assert [len(heads) for heads in operands(Pattern(scale=1.0))[0].head_blocks(sizes)] == [8]

    @pytest.mark.parametrize("wrong", [(0, 1), (1, -1)])
    def test_must_be_positive(self, wrong):
        with pytest.raises(ValueError, match="at least one row and column"):
            Sizes(*wrong)


def test_half_precision_is_computed_in_float32():
    kinds = [computing(x) for x in (torch.float16, torch.bfloat16, torch.float32, torch.float64)]
    assert kinds == [torch.float32] * 3 + [torch.float64]
    tiled, *_ = operands(Pattern(scale=1.0), dtype=torch.bfloat16)
    assert tiled.queries(range(1), range(2)).dtype == torch.float32
    assert math.isclose(tiled.unit, LOG2E)
