import numpy as np
import pytest
import torch
from attention_loops import loops, summed

from assay.attention.entry import attention, attention_and_lse
from assay.attention.operands import Sizes

BIASES = [(2, 4, 5, 7), (1, 4, 5, 7), (2, 1, 1, 7), (1, 1, 5, 1), (5, 7), (1,)]


def drawn(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def operands(q_shape=(2, 4, 5, 3), k_shape=(2, 2, 7, 3), dim=2):
    shapes = (q_shape, k_shape, (*k_shape[:3], dim), (*q_shape[:3], dim))
    return [x.requires_grad_() for x in drawn(*shapes)]


@pytest.mark.parametrize("method", ["online", "flash1", "flash2", "flash3"])
class TestOracle:
    @pytest.mark.parametrize("shape", BIASES)
    def test_gradients_with_a_bias_are_those_of_loops(self, method, shape):
        q, k, v, g = operands()
        (bias,) = drawn(shape, seed=1)
        bias.requires_grad_()
        out = attention(q, k, v, bias=bias, causal=True, method=method, sizes=Sizes(2, 3))
        found = torch.autograd.grad(out, (q, k, v, bias), g)
        arrays = [x.detach().numpy() for x in (q, k, v, bias, g)]
        wanted = loops(*arrays[:3], bias=arrays[3], causal=True, dout=arrays[4])
        for one, other in zip(found[:3], wanted[2:5], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)
        np.testing.assert_allclose(found[3], summed(wanted[5], shape).reshape(shape), atol=1e-10)

    def test_gradients_of_lse_are_those_of_loops(self, method):
        q, k, v, g = operands()
        (dlse,) = drawn(q.shape[:3], seed=2)
        out, lse = attention_and_lse(q, k, v, window=(2, 1), method=method, sizes=Sizes(2, 3))
        found = torch.autograd.grad((out, lse), (q, k, v), (g, dlse))
        arrays = [x.detach().numpy() for x in (q, k, v, g, dlse)]
        wanted = loops(*arrays[:3], window=(2, 1), dout=arrays[3], dlse=arrays[4])
        for one, other in zip(found, wanted[2:5], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)

    def test_gradcheck_with_everything(self, method):
        q, k, v, _ = operands((1, 2, 3, 2), (1, 1, 4, 2))
        (bias,) = drawn((1, 2, 1, 4), seed=3)
        mask = torch.ones(1, 1, 3, 4, dtype=torch.bool)
        mask[..., 1, :] = False

        def function(*given):
            return attention(
                *given[:3],
                bias=given[3],
                mask=mask,
                window=(2, 0),
                score_mod=lambda s, b, h, i, j: 2 * torch.tanh(s / 2) - 0.1 * (i - j).abs(),
                method=method,
                sizes=Sizes(2, 3),
            )

        assert torch.autograd.gradcheck(function, (q, k, v, bias.requires_grad_()))


class TestScoreMods:
    @pytest.mark.parametrize(
        "score_mod",
        [
            lambda s, b, h, i, j: s * s,
            lambda s, b, h, i, j: torch.where(i > j, s, -s),
            lambda s, b, h, i, j: (i - j).abs() * -0.5,  # Does not depend on the score.
            lambda s, b, h, i, j: 1.0,
            lambda s, b, h, i, j: s,
        ],
    )
    def test_gradients_pass_through_whatever_it_does(self, score_mod):
        q, k, v, g = operands()
        results = []
        for method in ("naive", "flash2"):
            out = attention(q, k, v, score_mod=score_mod, method=method, sizes=Sizes(2, 3))
            grads = torch.autograd.grad(out, (q, k, v), g, materialize_grads=True, allow_unused=True)
            results.append((out, *grads))
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def test_rows_that_see_nothing_get_no_gradient_and_give_none():
    q, k, v, g = operands()
    mask = torch.ones(1, 1, 5, 7, dtype=torch.bool)
    mask[..., 2, :] = False
    mask[..., 4] = False
    out = attention(q, k, v, mask=mask, method="flash2", sizes=Sizes(2, 3))
    dq, dk, dv = torch.autograd.grad(out, (q, k, v), g)
    assert not dq[:, :, 2].any()
    assert not dk[:, :, 4].any()
    assert not dv[:, :, 4].any()
    assert all(x.isfinite().all() for x in (dq, dk, dv))


def test_the_same_bits_every_time_and_inputs_untouched():
    q, k, v, g = (x.float() for x in operands())
    before = [x.clone() for x in (q, k, v, g)]
    grads = []
    for _ in range(2):
        leaves = [x.detach().requires_grad_() for x in (q, k, v)]
        grads.append(torch.autograd.grad(attention(*leaves, method="flash2"), leaves, g))
    assert all(torch.equal(one, other) for one, other in zip(*grads, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(before, (q, k, v, g), strict=True))


def test_second_derivatives_are_refused_and_not_wrong():
    q, k, v, _ = operands()
    (dq,) = torch.autograd.grad(attention(q, k, v, method="flash2").sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        dq.sum().backward()
