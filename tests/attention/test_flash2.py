import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.attention.entry import attention, attention_and_lse
from assay.attention.operands import Operands, Sizes

MATRIX = [(1, 1), (1, 128), (127, 129), (128, 128), (200, 77), (77, 200)]
MASKS = {
    "none": {},
    "causal": {"causal": True},
    "window (0,0)": {"window": (0, 0)},
    "window (3,0)": {"window": (3, 0)},
    "window (5,7)": {"window": (5, 7)},
}


def drawn(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


class TestMatrix:
    @pytest.mark.parametrize(("nq", "nk"), MATRIX)
    @pytest.mark.parametrize("mask", MASKS)
    def test_all_methods_agree_in_float64(self, nq, nk, mask):
        q, k, v = drawn((1, 2, nq, 16), (1, 1, nk, 16), (1, 1, nk, 8))
        wanted, wanted_lse = attention_and_lse(q, k, v, method="naive", **MASKS[mask])
        for method in ("online", "flash1", "flash2", "flash3"):
            out, lse = attention_and_lse(q, k, v, method=method, sizes=Sizes(64, 48), **MASKS[mask])
            torch.testing.assert_close(out, wanted, atol=1e-12, rtol=0)
            torch.testing.assert_close(lse, wanted_lse, atol=1e-12, rtol=0)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    @pytest.mark.parametrize("dim", [16, 40, 64, 80, 96, 128, 256])
    def test_the_fields_rule_twice_the_error_of_naive_and_thrice_for_gradients(self, dtype, dim):
        heads = {40: (8, 1), 64: (4, 4), 96: (8, 2)}.get(dim, (2, 1))
        of_q, of_k = (1, heads[0], 70, dim), (1, heads[1], 90, dim)
        given = [x.requires_grad_() for x in drawn(of_q, of_k, of_k, of_q, dtype=dtype)]
        q, k, v, g = given
        exact = _with_gradients(*(x.double() for x in given), method="naive")
        again = _with_gradients(*(x.float() for x in given), method="naive")
        plain = _plain(q, k, v, g)
        for method in ("online", "flash1", "flash2", "flash3"):
            ours = _with_gradients(q, k, v, g, method=method)
            for at, (mine, theirs) in enumerate(zip(ours, plain, strict=True)):
                factor = 3 if at else 2
                noise = (again[at].to(dtype).double() - again[at]).abs().max()  # Of rounding the reference.
                allowed = factor * (theirs - exact[at]).abs().max() + noise
                assert (mine - exact[at]).abs().max() <= allowed, (method, at)


class TestTraps:
    def test_causal_is_aligned_at_the_bottom_right(self):
        q, k, v = drawn((1, 1, 1, 4), (1, 1, 8, 4), (1, 1, 8, 4))
        out = attention(q, k, v, causal=True, method="flash2")
        assert torch.equal(out, attention(q, k, v, method="flash2"))
        q, k, v = drawn((1, 1, 4, 4), (1, 1, 2, 4), (1, 1, 2, 4))
        out = attention(q, k, v, causal=True, method="flash2")
        assert not out[0, 0, :2].any()
        torch.testing.assert_close(out[0, 0, 2], v[0, 0, 0])

    def test_lse_is_natural(self):
        q, k, v = drawn(*[(1, 2, 5, 4)] * 3)
        _, lse = attention_and_lse(q, k, v, method="flash2")
        torch.testing.assert_close(lse, torch.logsumexp(q @ k.transpose(-2, -1) / 2, -1))

    def test_query_heads_read_the_key_head_of_their_group(self):
        q, v = torch.zeros(1, 4, 1, 2), torch.arange(2.0).reshape(1, 2, 1, 1).expand(1, 2, 3, 1)
        out = attention(q, torch.zeros(1, 2, 3, 2), v, method="flash2")
        assert out.flatten().tolist() == [0.0, 0.0, 1.0, 1.0]

    def test_windows_in_closed_form(self):
        q, k, v = drawn(*[(1, 1, 9, 4)] * 3)
        torch.testing.assert_close(attention(q, k, v, window=(0, 0), method="flash2"), v)
        out = attention(q, k, v, window=(1, 0), scale=1.0, method="flash2", sizes=Sizes(2, 3))
        for i in range(1, 9):
            a, b = (math.exp(float(q[0, 0, i] @ k[0, 0, j])) for j in (i - 1, i))
            wanted = (a * v[0, 0, i - 1] + b * v[0, 0, i]) / (a + b)
            torch.testing.assert_close(out[0, 0, i], wanted)

    def test_a_window_narrower_than_a_block_far_from_the_diagonal(self):
        q, k, v = drawn((1, 1, 40, 4), (1, 1, 40, 4), (1, 1, 40, 4))
        out = attention(q, k, v, window=(2, 1), method="flash2", sizes=Sizes(16, 16))
        torch.testing.assert_close(out, attention(q, k, v, window=(2, 1), method="naive"))
        assert out.isfinite().all()

    def test_huge_and_tiny_scores_stay_finite(self):
        q, k, v = drawn(*[(1, 1, 6, 4)] * 3, dtype=torch.float32)
        out = attention(q * 1e4, k * 1e4, v, method="flash2", sizes=Sizes(2, 2))
        assert out.isfinite().all()
        torch.testing.assert_close(out, attention(q * 1e4, k * 1e4, v, method="naive"))

    def test_not_a_number_is_not_hidden(self):
        q, k, v = drawn(*[(1, 1, 6, 4)] * 3)
        q[0, 0, 3] = math.nan
        out = attention(q, k, v, method="flash2", sizes=Sizes(4, 2))
        assert out[0, 0, 3].isnan().all()
        assert out[0, 0, [0, 1, 2, 4, 5]].isfinite().all()


class TestBlocks:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 24), st.integers(1, 24), st.booleans())
    def test_block_sizes_do_not_matter(self, rows, columns, nq, nk, causal):
        q, k, v = drawn((1, 2, nq, 4), (1, 2, nk, 4), (1, 2, nk, 4))
        out = attention(q, k, v, causal=causal, method="flash2", sizes=Sizes(rows, columns))
        torch.testing.assert_close(out, attention(q, k, v, causal=causal, method="naive"), atol=1e-12, rtol=0)

    def test_every_length_up_to_two_blocks_and_one(self):
        for n in range(1, 10):
            q, k, v = drawn(*[(1, 1, n, 3)] * 3, seed=n)
            out = attention(q, k, v, causal=True, method="flash2", sizes=Sizes(4, 4))
            torch.testing.assert_close(out, attention(q, k, v, causal=True, method="naive"))

    def test_it_is_repeatable_bit_by_bit(self):
        q, k, v = drawn(*[(1, 3, 50, 8)] * 3, dtype=torch.float32)
        first, second = (attention(q, k, v, method="flash2", sizes=Sizes(16, 16)) for _ in range(2))
        assert torch.equal(first, second)

    def test_causal_work_is_half(self, monkeypatch):
        visited = []
        scores = Operands.scores

        def counting(self, queries, keys, heads, rows, columns):
            visited.append(len(heads) * len(rows) * len(columns))
            return scores(self, queries, keys, heads, rows, columns)

        monkeypatch.setattr(Operands, "scores", counting)
        q, k, v = drawn(*[(1, 1, 256, 4)] * 3)
        counts = []
        for causal in (False, True):
            visited.clear()
            attention(q, k, v, causal=causal, method="flash2", sizes=Sizes(16, 16))
            counts.append(sum(visited))
        assert counts[0] == 256 * 256
        assert counts[1] == 16 * 16 * (16 * 17 // 2)


def _with_gradients(q, k, v, g, **options):
    out = attention(q, k, v, **options)
    return [x.double() for x in (out, *torch.autograd.grad(out, (q, k, v), g))]


def _plain(q, k, v, g):
    """What one writes without a fused kernel, in the operands' own dtype."""
    group = q.shape[1] // k.shape[1]
    wide_k, wide_v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    out = torch.softmax(q @ wide_k.transpose(-2, -1) * q.shape[-1] ** -0.5, -1) @ wide_v
    return [x.double() for x in (out, *torch.autograd.grad(out, (q, k, v), g))]
