import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from assay.attention.entry import attention_and_lse
from assay.attention.online import State, merge, online_rows
from assay.attention.operands import LOG2E, Sizes


def drawn(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def parts(scores, values, cuts):
    edges = [0, *sorted(cuts), scores.shape[-1]]
    for start, stop in pairwise(edges):
        if stop > start:
            yield scores[..., start:stop], values[:, start:stop]


def wanted(scores, values):
    return torch.softmax(scores, -1) @ values, torch.logsumexp(scores, -1)


class TestRows:
    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(1, 16), max_size=6), st.integers(0, 1000))
    def test_any_partition_of_the_keys_gives_the_same(self, cuts, seed):
        scores, values = drawn((2, 3, 17), (2, 17, 4), seed=seed)
        out, lse = online_rows(parts(scores * 5, values, cuts))
        expected = wanted(scores * 5, values)
        torch.testing.assert_close(out, expected[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(lse, expected[1], atol=1e-12, rtol=0)

    def test_every_block_raises_the_maximum(self):
        scores = torch.arange(40.0, dtype=torch.float64).reshape(1, 1, 40) * 7
        (values,) = drawn((1, 40, 3))
        out, lse = online_rows((scores[..., [j]], values[:, [j]]) for j in range(40))
        expected = wanted(scores, values)
        torch.testing.assert_close(out, expected[0])
        torch.testing.assert_close(lse, expected[1])

    def test_scores_of_thousands_in_half_precision(self):
        scores = torch.tensor([[[2000.0, 2001.0, 1999.0]]], dtype=torch.float16)
        values = torch.tensor([[[1.0], [2.0], [3.0]]], dtype=torch.float16)
        out, lse = online_rows([(scores[..., :1], values[:, :1]), (scores[..., 1:], values[:, 1:])])
        expected = wanted(scores.double(), values.double())
        assert out.dtype == lse.dtype == torch.float32
        torch.testing.assert_close(out.double(), expected[0], atol=1e-3, rtol=0)
        torch.testing.assert_close(lse.double(), expected[1], atol=1e-3, rtol=0)

    def test_hidden_blocks_first_in_the_middle_and_all(self):
        scores, values = drawn((1, 3, 9), (1, 9, 2))
        scores[0, 0, :3], scores[0, 1, 3:6], scores[0, 2] = -math.inf, -math.inf, -math.inf
        out, lse = online_rows(parts(scores, values, [3, 6]))
        expected = wanted(scores[:, :2], values)
        torch.testing.assert_close(out[:, :2], expected[0])
        torch.testing.assert_close(lse[:, :2], expected[1])
        assert out[0, 2].tolist() == [0.0, 0.0]
        assert lse[0, 2] == -math.inf

    def test_an_empty_stream_is_refused(self):
        with pytest.raises(ValueError, match="at least one block"):
            online_rows([])

    def test_memory_does_not_grow_with_the_number_of_keys(self):
        class Largest(TorchDispatchMode):
            elements = 0

            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                out = func(*args, **(kwargs or {}))
                if isinstance(out, torch.Tensor):
                    self.elements = max(self.elements, out.numel())
                return out

        def largest(count):
            with Largest() as seen:
                online_rows((torch.ones(1, 1, 16), torch.ones(1, 16, 8)) for _ in range(count))
            return seen.elements

        assert largest(2) == largest(64) == 16 * 8


class TestState:
    def test_papers_recurrence_step_by_step(self):
        scores, values = drawn((1, 1, 6), (1, 6, 2))
        m, total, o = -math.inf, 0.0, torch.zeros(2, dtype=torch.float64)
        state = State.empty(1, 1, 2, scores)
        for j in range(6):
            s = float(scores[0, 0, j])
            peak = max(m, s)
            total = total * math.exp(m - peak) + math.exp(s - peak)
            o = o * math.exp(m - peak) + math.exp(s - peak) * values[0, j]
            m = peak
            state.absorb(scores[..., [j]] * LOG2E, values[:, [j]])
            assert float(state.m) == pytest.approx(m * LOG2E, rel=1e-14)
            assert float(state.l) == pytest.approx(total, rel=1e-13)
            torch.testing.assert_close(state.o[0, 0], o)

    def test_parts_share_memory(self):
        scores, values = drawn((2, 5, 4), (2, 4, 3))
        whole, pieces = State.empty(2, 5, 3, scores), State.empty(2, 5, 3, scores)
        whole.absorb(scores.clone(), values)
        for rows in (slice(0, 2), slice(2, 5)):
            pieces.part(slice(None), rows).absorb(scores[:, rows].clone(), values)
        torch.testing.assert_close(pieces.output(), whole.output())
        torch.testing.assert_close(pieces.lse(), whole.lse())


class TestMerge:
    @settings(max_examples=30, deadline=None)
    @given(st.randoms(use_true_random=False), st.integers(2, 8))
    def test_the_shape_of_the_tree_does_not_matter(self, random, count):
        scores, values = drawn((2, 3, 4 * count), (2, 4 * count, 5), seed=count)
        piles = [
            online_rows([(scores[..., at : at + 4], values[:, at : at + 4])]) for at in range(0, 4 * count, 4)
        ]
        random.shuffle(piles)
        while len(piles) > 1:
            at = random.randrange(len(piles) - 1)
            piles[at : at + 2] = [merge(*piles[at], *piles[at + 1])]
        expected = wanted(scores, values)
        torch.testing.assert_close(piles[0][0], expected[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(piles[0][1], expected[1], atol=1e-12, rtol=0)

    def test_merging_with_nothing_gives_the_other_side_bit_for_bit(self):
        out, lse = drawn((2, 3, 4), (2, 3), dtype=torch.float32)
        nothing = torch.full_like(out, 7.0), torch.full_like(lse, -math.inf)
        for one, other in ((merge(out, lse, *nothing)), (merge(*nothing, out, lse))):
            assert torch.equal(one, out)
            assert torch.equal(other, lse)
        empty = torch.zeros_like(out), torch.full_like(lse, -math.inf)
        both, both_lse = merge(*empty, *empty)
        assert torch.equal(both, empty[0])
        assert torch.equal(both_lse, empty[1])

    def test_attention_over_two_halves_of_the_keys_with_gradients(self):
        q, k, v, g = (x.requires_grad_() for x in drawn(*[(1, 2, 6, 4)] * 4))
        halves = [
            attention_and_lse(q, k[:, :, part], v[:, :, part], method="flash2")
            for part in (slice(0, 2), slice(2, 6))
        ]
        out, _ = merge(*halves[0], *halves[1])
        whole, _ = attention_and_lse(q, k, v, method="naive")
        torch.testing.assert_close(out, whole, atol=1e-12, rtol=0)
        ours, theirs = (torch.autograd.grad(x, (q, k, v), g) for x in (out, whole))
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)


@pytest.mark.parametrize("columns", [1, 3, 64])
def test_the_method_equals_naive_for_any_number_of_keys_at_once(columns):
    q, k, v = drawn((2, 4, 7, 5), (2, 2, 10, 5), (2, 2, 10, 3))
    out, lse = attention_and_lse(q, k, v, causal=True, method="online", sizes=Sizes(columns=columns))
    wanted_out, wanted_lse = attention_and_lse(q, k, v, causal=True, method="naive")
    torch.testing.assert_close(out, wanted_out, atol=1e-12, rtol=0)
    torch.testing.assert_close(lse, wanted_lse, atol=1e-12, rtol=0)
