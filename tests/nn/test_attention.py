"""Attention against a triple loop, its ways against each other, and which biases matter."""

import math

import pytest
import torch

from assay.nn.attention import SelfAttention, attend


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def looped(q, k, v, bias=None, causal=False):
    """Eq. (1) by loops over single numbers."""
    batch, heads, queries, dim = q.shape
    keys = k.shape[2]
    out = torch.zeros(batch, heads, queries, v.shape[-1], dtype=q.dtype)
    for b in range(batch):
        for h in range(heads):
            for i in range(queries):
                seen = [j for j in range(keys) if not causal or j <= i]
                score = [
                    sum(float((q[b, h, i, d] * k[b, h, j, d]).detach()) for d in range(dim)) / math.sqrt(dim)
                    + (0.0 if bias is None else float(bias.expand(batch, heads, queries, keys)[b, h, i, j]))
                    for j in seen
                ]
                top = max(score)
                weight = [math.exp(s - top) for s in score]
                for w, j in zip(weight, seen, strict=True):
                    out[b, h, i] += w / sum(weight) * v[b, h, j]
    return out


@pytest.mark.parametrize("tokens", [1, 5, 40])  # Below and above the size at which the way changes.
@pytest.mark.parametrize("kind", ["free", "bias", "causal"])
def test_equals_loops(tokens, kind):
    q, k, v = (drawn(2, 2, tokens, 3, seed=s) for s in range(3))
    bias = drawn(1, 2, tokens, tokens, seed=3) if kind == "bias" else None
    found = attend(q, k, v, bias=bias, causal=kind == "causal")
    assert torch.allclose(found, looped(q, k, v, bias, kind == "causal"), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tokens", [8, 48])
@pytest.mark.parametrize("kind", ["free", "bias", "causal"])
def test_value_and_gradients_are_those_of_torch(dtype, tokens, kind):
    inputs = [drawn(2, 3, tokens, 8, seed=s, dtype=dtype).requires_grad_() for s in range(3)]
    bias = drawn(3, tokens, tokens, seed=4, dtype=dtype).requires_grad_() if kind == "bias" else None
    cotangent = drawn(2, 3, tokens, 8, seed=5, dtype=dtype)
    wanted = [*inputs] if bias is None else [*inputs, bias]
    ours = attend(*inputs, bias=bias, causal=kind == "causal")
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *inputs, attn_mask=bias, is_causal=kind == "causal"
    )
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 5e-2}[dtype]
    assert torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    for a, b in zip(
        torch.autograd.grad(ours, wanted, cotangent),
        torch.autograd.grad(theirs, wanted, cotangent),
        strict=True,
    ):
        assert torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def test_heads_are_slices_of_the_width():
    layer = SelfAttention(12, 3).double()
    x = drawn(2, 5, 12)
    q, k, v = (x @ w.T + b for w, b in zip(layer.qkv.weight.chunk(3), layer.qkv.bias.chunk(3), strict=True))
    mixed = torch.cat(
        [looped(*(t[:, None, :, 4 * h : 4 * h + 4] for t in (q, k, v)))[:, 0] for h in range(3)], -1
    )
    assert torch.allclose(layer(x), mixed @ layer.out.weight.T + layer.out.bias, rtol=0, atol=1e-12)


@pytest.mark.parametrize("biased", [True, False])
def test_one_query_a_row_is_attention_by_keys_and_values(biased):
    layer = SelfAttention(12, 3, qkv_bias=biased).double()
    x, states, cotangent = drawn(4, 5, 12), drawn(4, 12, seed=1), drawn(4, 12, seed=2)
    hidden = torch.arange(5)[None] > torch.tensor([4, 0, 2, 3])[:, None]
    leaves = [x.requires_grad_(), states.requires_grad_(), *layer.parameters()]

    def through_keys():
        bias = torch.zeros(3, 12) if layer.qkv.bias is None else layer.qkv.bias.view(3, 12)
        made = (states[:, None], x, x)
        q, k, v = (
            (t @ w.T + b).unflatten(-1, (3, 4)).transpose(1, 2)
            for t, w, b in zip(made, layer.qkv.weight.chunk(3), bias, strict=True)
        )
        mask = torch.zeros(4, 1, 1, 5, dtype=x.dtype).masked_fill(hidden[:, None, None], -torch.inf)
        return layer.out(attend(q, k, v, bias=mask).transpose(1, 2).flatten(1))

    found, wanted = layer.at(states, x, hidden), through_keys()
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)
    pairs = zip(
        torch.autograd.grad(found, leaves, cotangent),
        torch.autograd.grad(wanted, leaves, cotangent),
        strict=True,
    )
    for a, b in pairs:
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


def test_one_query_for_all_rows_is_one_for_each():
    layer = SelfAttention(12, 3).double()
    x, state = drawn(4, 5, 12), drawn(1, 12, seed=1)
    assert torch.allclose(layer.at(state, x), layer.at(state.expand(4, -1), x), rtol=0, atol=1e-14)


def test_a_causal_token_sees_none_after_it():
    layer = SelfAttention(8, 2).double()
    x = drawn(1, 6, 8)
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x, causal=True).sum(-1), x)
    seen = jacobian[0, :, 0].abs().sum(-1) > 0
    assert torch.equal(seen, torch.ones(6, 6, dtype=torch.bool).tril())


def test_scores_may_be_shifted_and_the_key_bias_does_just_that():
    layer = SelfAttention(8, 2).double()
    x = drawn(3, 6, 8)
    before = layer(x)
    bias = drawn(3, 2, 6, 1, seed=1).expand(-1, -1, -1, 6)
    assert torch.allclose(layer(x, bias=bias), before, rtol=0, atol=1e-12)
    before.square().sum().backward()
    q, k, v = layer.qkv.bias.grad.chunk(3)
    assert k.abs().max() < 1e-12
    assert min(q.abs().max(), v.abs().max()) > 1e-3
    with torch.no_grad():
        layer.qkv.bias[8:16] += 5
    assert torch.allclose(layer(x), before, rtol=0, atol=1e-12)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="divisible by 5 heads, got 12"):
        SelfAttention(12, 5)
