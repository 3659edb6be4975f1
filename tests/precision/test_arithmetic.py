import numpy as np
import pytest
import torch
from torch import nn

from assay.precision.arithmetic import full_float32, linear, multiplied, stored
from assay.precision.formats import BF16, FP16, FP32, TF32, rounded
from assay.precision.policy import Policy

POLICIES = {
    "fp32": Policy(),
    "tf32": Policy(compute=TF32),
    "fp16": Policy(compute=FP16, output=FP16),
    "bf16": Policy(compute=BF16, output=BF16),
}


def random(*shape, seed=0, scale=1.0):
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return torch.from_numpy(values.astype(np.float32))


def layer(policy, x, weight, bias, gradient):
    """The output and the three gradients."""
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    out = linear(*leaves, policy)
    out.backward(gradient)
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def by_hand(policy, x, weight, bias, gradient):
    """The same with loops over single products, added up in float64 where the hardware adds in float32."""

    def r(values, format):
        return rounded(torch.as_tensor(np.asarray(values, np.float32)), format).double().numpy()

    c, o = policy.compute, policy.output

    def product(a, b):
        a, b = r(a, c), r(b, c)
        sums = [[sum(a[i, k] * b[k, j] for k in range(a.shape[1])) for j in range(b.shape[1])]
                for i in range(a.shape[0])]  # fmt: skip
        return r(sums, o)

    out = r(product(x.numpy(), weight.numpy().T) + r(bias.numpy(), o), o)
    g = r(gradient.numpy(), o)
    by_bias = r(np.asarray(g, np.float32).sum(axis=0), o)
    return [out, product(g, weight.numpy()), product(g.T, x.numpy()), by_bias]


@pytest.mark.parametrize("name", list(POLICIES))
def test_layer_by_loops(name):
    policy = POLICIES[name]
    given = random(5, 4), random(3, 4, seed=1), random(3, seed=2), random(5, 3, seed=3)
    found, expected = layer(policy, *given), by_hand(policy, *given)
    for a, b in zip(found, expected, strict=True):
        # Sums in float32 may fall on the other side of a tie.
        assert np.mean(a.double().numpy() == b) > (0.8 if policy.output != FP32 else -1)
        np.testing.assert_allclose(a.double().numpy(), b, rtol=2 * policy.output.epsilon + 1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_layer_equals_torchs_own_types(name, dtype):
    x, weight, bias, gradient = random(8, 6), random(5, 6, seed=1), random(5, seed=2), random(8, 5, seed=3)
    found = layer(POLICIES[name], x, weight, bias, gradient)
    leaves = [t.to(dtype).requires_grad_() for t in (x, weight, bias)]
    out = nn.functional.linear(*leaves)
    out.backward(gradient.to(dtype))
    epsilon = POLICIES[name].output.epsilon
    for a, b in zip(found, [out.detach(), *(leaf.grad for leaf in leaves)], strict=True):
        # torch adds the bias before it rounds, and may add up in another order.
        assert (a - b.float()).abs().max() <= 3 * epsilon * max(1.0, b.float().abs().max().item())


def test_float32_is_torchs_layer():
    given = random(7, 4), random(3, 4, seed=1), random(3, seed=2), random(7, 3, seed=3)
    x, weight, bias = (t.clone().requires_grad_() for t in given[:3])
    out = nn.functional.linear(x, weight, bias)
    out.backward(given[3])
    for a, b in zip(layer(Policy(), *given), [out, x.grad, weight.grad, bias.grad], strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_small_gradients_become_zero_in_fp16_and_scaled_ones_do_not():
    given = random(4, 3), random(2, 3, seed=1), random(2, seed=2)
    small = torch.full((4, 2), 2.0**-27)
    lost = layer(POLICIES["fp16"], *given, small)
    kept = layer(POLICIES["fp16"], *given, small * 2**12)
    assert not any(gradient.any() for gradient in lost[1:])
    exact = layer(Policy(), *given, small)
    for a, b in zip(kept[1:], exact[1:], strict=True):
        assert torch.allclose(a / 2**12, b, rtol=2**-8, atol=2.0**-24 / 2**10)
    assert all(gradient.any() for gradient in layer(POLICIES["bf16"], *given, small)[1:])


def test_products_of_tf32_are_within_two_half_places():
    a, b = random(1000, 1), random(1, 1, seed=1)
    found = multiplied(a, b, TF32, FP32).double()
    exact = a.double() @ b.double()
    assert ((found - exact).abs() <= exact.abs() * (2**-10 + 2**-22)).all()
    assert (found != exact).any()


def test_native_bf16_equals_its_emulation_but_for_the_order_of_sums():
    a, b = random(16, 32), random(32, 16, seed=1)
    a, b = rounded(a, BF16), rounded(b, BF16)
    native = multiplied(a, b, BF16, BF16)
    emulated = rounded(a @ b, BF16)
    assert (native == emulated).double().mean() > 0.98
    assert torch.allclose(native, emulated, rtol=2 * BF16.epsilon, atol=1e-6)


def test_stored_rounds_values_and_gradients_and_leaves_its_input_alone():
    x = torch.tensor([1 + 2**-12, 3.0], requires_grad=True)
    stored(x, FP16).backward(torch.tensor([2.0**-26, 1 + 2**-12]))
    assert stored(x, FP16).tolist() == [1.0, 3.0]
    assert x.grad.tolist() == [0.0, 1.0]
    assert x.tolist() == [1 + 2**-12, 3.0]


def test_the_flags_of_a_gpu_come_back():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    seen = []
    for device, tf32 in (("cuda", True), ("cuda", False), ("cpu", True)):
        with full_float32(torch.device(device), tf32=tf32):
            seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
    assert seen == [(True, True), (False, False), before]
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
