"""The kernels in Triton's interpreter, on a CPU; `test_triton_kernels.py` runs these tests.

Whether Triton interprets is decided for a whole process when it is imported, and it reads the source of a
kernel, which the check of annotated shapes changes: so these have a process of their own, without that check.
"""

import pytest
import torch
import triton
import triton.language as tl

from assay.attention import packed_attention, triton_launch
from assay.attention.compute import Plan
from assay.attention.entry import attention_and_lse
from assay.attention.mods import Inlined, soft_cap
from assay.attention.pattern import Pattern


@triton.jit
def cap(score, b, h, i, j):
    return 2 * (1 - 2 / (tl.exp(score) + 1))  # 2 tanh(score / 2)


@triton.jit
def cap_derivative(score, b, h, i, j):
    t = 1 - 2 / (tl.exp(score) + 1)
    return 1 - t * t


@triton.jit
def near(b, h, i, j):
    return i // 4 == j // 4


CAP = Inlined(soft_cap(2.0), cap, cap_derivative)
NEAR = Inlined(lambda b, h, i, j: i // 4 == j // 4, near)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(triton_launch, "config", lambda dim, dtype: triton_launch.Config(16, 16))


def drawn(*shapes, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def results(method, q, k, v, g, dlse=None, bias=None, **options):
    out, lse = attention_and_lse(q, k, v, bias=bias, method=method, **options)
    outputs, directions = (out,), (g,)
    if dlse is not None:
        outputs, directions = (out, lse), (g, dlse)
    leaves = (q, k, v) if bias is None else (q, k, v, bias)
    return [out, lse, *torch.autograd.grad(outputs, leaves, directions)]


def compared(q_shape, k_shape, dim, atol=2e-5, **options):
    shapes = (q_shape, k_shape, (*k_shape[:3], dim), (*q_shape[:3], dim))
    q, k, v, g = (x.requires_grad_() for x in drawn(*shapes))
    found, wanted = (results(method, q, k, v, g, **options) for method in ("triton", "naive"))
    for name, one, other in zip(("out", "lse", "dq", "dk", "dv", "dbias"), found, wanted, strict=False):
        assert not one.isnan().any(), name
        torch.testing.assert_close(one, other, atol=atol, rtol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


WINDOWS = {
    "none": {},
    "causal": {"causal": True},
    "self": {"window": (0, 0)},
    "left": {"window": (3, 0)},
    "both": {"window": (5, 7)},
}


class TestAgainstNaive:
    @pytest.mark.parametrize("window", WINDOWS)
    @pytest.mark.parametrize(("nq", "nk"), [(35, 35), (20, 50), (50, 20)])
    def test_windows_and_lengths_that_blocks_do_not_divide(self, window, nq, nk):
        compared((1, 2, nq, 8), (1, 1, nk, 8), 8, **WINDOWS[window])

    @pytest.mark.parametrize(("dim", "dv"), [(40, 16), (80, 96), (256, 16)])
    def test_dimensions_that_are_no_powers_of_two(self, dim, dv):
        compared((1, 1, 18, dim), (1, 1, 17, dim), dv, causal=True)

    @pytest.mark.parametrize("shape", [(1, 2, 20, 18), (2, 1, 1, 18), (20, 1)])
    def test_a_bias_and_its_gradient(self, shape):
        (bias,) = drawn(shape, seed=3)
        compared((2, 2, 20, 8), (2, 1, 18, 8), 8, bias=bias.requires_grad_())

    def test_a_mask_with_rows_that_see_nothing(self):
        mask = drawn((1, 2, 20, 18), seed=4)[0] > 0
        mask[:, :, 3] = mask[:, 1, 17] = False
        compared((1, 2, 20, 8), (1, 2, 18, 8), 8, mask=mask)

    def test_inlined_functions(self):
        compared((1, 2, 20, 8), (1, 1, 18, 8), 8, score_mod=CAP, causal=True)
        compared((1, 2, 20, 8), (1, 1, 20, 8), 8, mask_mod=NEAR)

    def test_the_gradient_of_lse(self):
        (dlse,) = drawn((1, 2, 20), seed=5)
        compared((1, 2, 20, 8), (1, 1, 18, 8), 8, dlse=dlse)

    def test_atomic_additions_in_place_of_a_second_kernel(self):
        compared((1, 2, 20, 8), (1, 1, 33, 8), 8, causal=True, deterministic=False)

    def test_packed_sequences(self):
        q, k, v, g = (x.requires_grad_() for x in drawn((23, 2, 8), (23, 1, 8), (23, 1, 8), (23, 2, 8)))
        starts = torch.tensor([0, 3, 3, 20, 23], dtype=torch.int32)
        ours, theirs = (
            packed_attention(q, k, v, starts, causal=True, method=method) for method in ("triton", "flash2")
        )
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        found, wanted = (torch.autograd.grad(x, (q, k, v), g) for x in (ours, theirs))
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)

    def test_strides_of_another_layout(self):
        q, k, v = (x.transpose(1, 2) for x in drawn(*[(1, 20, 2, 8)] * 3))
        found, wanted = (attention_and_lse(q, k, v, method=method)[0] for method in ("triton", "naive"))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_the_fields_rule_in_half_precision(self, dtype):
        q, k, v, g = (x.requires_grad_() for x in drawn(*[(1, 1, 40, 32)] * 4, dtype=dtype))
        wide = [x.detach().double().requires_grad_() for x in (q, k, v, g)]
        exact = results("naive", *wide)
        plain = torch.softmax(q @ k.transpose(-2, -1) * 32**-0.5, -1) @ v
        plain = [plain, None, *torch.autograd.grad(plain, (q, k, v), g)]
        ours = results("triton", q, k, v, g)
        for at in (0, 2, 3, 4):
            noise = (exact[at].to(dtype).double() - exact[at]).abs().max()
            allowed = (3 if at else 2) * (plain[at].double() - exact[at]).abs().max() + noise
            assert (ours[at].double() - exact[at]).abs().max() <= allowed, at

    @pytest.mark.parametrize("chosen", triton_launch.CONFIGS, ids=str)
    def test_every_configuration_that_is_tried_on_a_gpu(self, chosen, monkeypatch):
        monkeypatch.setattr(triton_launch, "config", lambda dim, dtype: chosen)
        compared((1, 1, 150, 16), (1, 1, 140, 16), 16, causal=True)


def test_the_same_bits_every_time():
    q, k, v, g = (x.requires_grad_() for x in drawn(*[(1, 1, 35, 8)] * 4))
    first, second = (results("triton", q, k, v, g, causal=True) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_no_queries_and_no_keys():
    pattern, plan = Pattern(scale=0.5), Plan("triton")
    q, k, v = torch.zeros(1, 1, 0, 4), torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 3, 4)
    assert triton_launch.forward(q, k, v, pattern, plan)[0].shape == (1, 1, 0, 4)
    out, lse = triton_launch.forward(k, q, q, pattern, plan)
    assert not out.any()
    assert (lse == -torch.inf).all()
