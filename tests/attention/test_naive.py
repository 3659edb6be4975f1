import math

import numpy as np
import pytest
import torch
from attention_loops import loops, summed
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from assay.attention.naive import naive_attention
from assay.attention.pattern import Pattern


def drawn(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def naive(q, k, v, **pattern):
    return naive_attention(q, k, v, Pattern(**{"scale": q.shape[-1] ** -0.5} | pattern))[0]


SHAPES = [((1, 1, 1, 4), (1, 1, 1, 4)), ((2, 4, 5, 3), (2, 2, 7, 3)), ((1, 2, 6, 2), (1, 1, 4, 2))]


class TestOracle:
    @pytest.mark.parametrize(("q_shape", "k_shape"), SHAPES)
    @pytest.mark.parametrize("window", [(-1, -1), (-1, 0), (1, 0), (0, 0), (2, 1)])
    def test_value_lse_and_gradients_are_those_of_loops(self, q_shape, k_shape, window):
        q, k, v, g = (x.requires_grad_() for x in drawn(q_shape, k_shape, k_shape, q_shape))
        (bias,) = drawn((1, q_shape[1], 1, k_shape[2]), seed=1)
        bias.requires_grad_()
        (dlse,) = drawn(q_shape[:3], seed=2)
        pattern = Pattern(scale=0.7, window=window, bias=bias)
        out, lse = naive_attention(q, k, v, pattern)
        seen = lse.isfinite()
        total = (out * g.detach()).sum() + (lse.where(seen, 0.0) * dlse.where(seen, 0.0)).sum()
        found = torch.autograd.grad(total, (q, k, v, bias))
        arrays = [x.detach().numpy() for x in (q, k, v)]
        kept = dlse.where(seen, 0.0).numpy()
        wanted = loops(
            *arrays, scale=0.7, bias=bias.detach().numpy(), window=window, dout=g.detach().numpy(), dlse=kept
        )
        np.testing.assert_allclose(out.detach(), wanted[0], atol=1e-12)
        np.testing.assert_allclose(lse.detach(), wanted[1], atol=1e-12)
        for one, other in zip(found[:3], wanted[2:5], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)
        np.testing.assert_allclose(found[3], summed(wanted[5], bias.shape), atol=1e-10)

    def test_gradcheck_with_a_mask(self):
        q, k, v = (x.requires_grad_() for x in drawn((1, 2, 3, 2), (1, 1, 4, 2), (1, 1, 4, 3)))
        mask = torch.tensor([[True, False, True, False], [False] * 4, [True] * 4])[None, None]
        assert torch.autograd.gradcheck(lambda *qkv: naive(*qkv, mask=mask), (q, k, v))


class TestTraps:
    def test_a_row_that_sees_nothing_is_zero_with_zero_gradients(self):
        q, k, v = (x.requires_grad_() for x in drawn((1, 1, 3, 4), (1, 1, 5, 4), (1, 1, 5, 4)))
        mask = torch.ones(1, 1, 3, 5, dtype=torch.bool)
        mask[..., 1, :] = False
        out, lse = naive_attention(q, k, v, Pattern(scale=0.5, mask=mask))
        grads = torch.autograd.grad(out.sum() + lse[..., [0, 2]].sum(), (q, k, v))
        assert torch.equal(out[0, 0, 1], torch.zeros(4, dtype=torch.float64))
        assert lse[0, 0, 1] == -math.inf
        assert torch.equal(grads[0][0, 0, 1], torch.zeros(4, dtype=torch.float64))
        assert all(grad.isfinite().all() for grad in grads)

    def test_scale_is_applied_once(self):
        q, k, v = drawn((1, 2, 5, 64), (1, 2, 6, 64), (1, 2, 6, 64))
        torch.testing.assert_close(naive(q, k, v, scale=0.5), naive(q * 0.5, k, v, scale=1.0))

    def test_hidden_means_hidden_whatever_the_scores(self):
        q, k = torch.full((1, 1, 1, 1), 100.0), torch.tensor([-100.0, 100.0]).reshape(1, 1, 2, 1)
        v = torch.tensor([[1.0], [1e6]]).reshape(1, 1, 2, 1)
        mask = torch.tensor([[True, False]])[None, None]
        assert naive(q, k, v, scale=1.0, mask=mask).item() == 1.0

    def test_true_keeps(self):
        q, k, v = drawn((1, 2, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4))
        assert torch.equal(naive(q, k, v, mask=torch.eye(5, dtype=torch.bool)), v)

    def test_half_precision_is_summed_in_float32(self):
        q, k, v = drawn((1, 1, 40, 8), (1, 1, 64, 8), (1, 1, 64, 8), dtype=torch.float16)
        q = q * 10
        exact = naive(q.double(), k.double(), v.double())
        upcast = naive(q, k, v)
        plain = naive_attention(q, k, v, Pattern(scale=8**-0.5), upcast=False)[0]
        assert upcast.dtype == plain.dtype == torch.float16
        assert (upcast - exact).abs().max() < (plain - exact).abs().max()
        assert (upcast - exact).abs().max() < 2**-11 * exact.abs().max() * 1.01  # The last rounding alone.


class TestProperties:
    def test_constant_values_come_back(self):
        q, k = drawn((2, 2, 5, 4), (2, 2, 9, 4))
        v = torch.full((2, 2, 9, 3), 1.5, dtype=torch.float64)
        torch.testing.assert_close(naive(q, k, v), torch.full((2, 2, 5, 3), 1.5, dtype=torch.float64))

    def test_one_key_gives_its_value(self):
        q, k, v = drawn((1, 3, 4, 4), (1, 3, 1, 4), (1, 3, 1, 4))
        assert torch.equal(naive(q, k, v), v.expand(1, 3, 4, 4))

    def test_order_of_keys_does_not_matter(self):
        q, k, v = drawn((1, 2, 5, 4), (1, 2, 9, 4), (1, 2, 9, 4))
        order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(naive(q, k[:, :, order], v[:, :, order]), naive(q, k, v))

    def test_a_constant_added_to_a_row_changes_lse_only(self):
        q, k, v = drawn((1, 2, 5, 4), (1, 2, 9, 4), (1, 2, 9, 4))
        (rows,) = drawn((1, 2, 5, 1), seed=3)
        out, lse = naive_attention(q, k, v, Pattern(scale=0.5))
        shifted, shifted_lse = naive_attention(q, k, v, Pattern(scale=0.5, bias=rows))
        torch.testing.assert_close(shifted, out)
        torch.testing.assert_close(shifted_lse, lse + rows[..., 0])

    def test_no_keys_at_all(self):
        q, k, v = drawn((1, 1, 2, 4), (1, 1, 0, 4), (1, 1, 0, 4))
        out, lse = naive_attention(q, k, v, Pattern(scale=0.5))
        assert torch.equal(out, torch.zeros_like(out))
        assert (lse == -math.inf).all()


class TestParity:
    @pytest.mark.parametrize("causal", [False, True])
    def test_torchs_math_backend_value_and_gradient(self, causal):
        q, k, v, g = (x.requires_grad_() for x in drawn(*[(2, 4, 6, 8)] * 4))
        with sdpa_kernel(SDPBackend.MATH):
            theirs = scaled_dot_product_attention(q, k, v, is_causal=causal)
            wanted = torch.autograd.grad(theirs, (q, k, v), g)
        ours = naive(q, k, v, window=(-1, 0 if causal else -1))
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(torch.autograd.grad(ours, (q, k, v), g), wanted)
