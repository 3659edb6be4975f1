"""oneDNN's product against torch's own: value, gradient and second derivative, and when which is taken."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from assay.nn import linear as module
from assay.nn.linear import Linear, linear, onednn_is_faster

BUILT = hasattr(torch.ops.mkldnn, "_linear_pointwise")


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def always(monkeypatch):
    """oneDNN for every product that it can make, on any processor."""
    if not BUILT:
        pytest.skip("torch is built without oneDNN")
    monkeypatch.setattr(module, "_SMALL", 0)
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)


@pytest.fixture
def products(monkeypatch):
    """How often oneDNN was taken."""
    taken, apply = [], module._Product.apply
    monkeypatch.setattr(module._Product, "apply", lambda *given: taken.append(1) or apply(*given))
    return taken


def gradients(function, x, weight, bias):
    """Value, gradient, and the gradient of the gradient's norm."""
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias) if t is not None]
    value = function(*leaves, *([None] if bias is None else []))
    first = torch.autograd.grad(value.pow(3).sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
    return [t.detach() for t in (value, *first, *second)]


@pytest.mark.parametrize("shape", [(40, 24), (3, 5, 24), (24,), (2, 1, 7, 24)])
@pytest.mark.parametrize("width", [6, 50])  # Fewer and more than the features: other factors are turned.
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.usefixtures("always")
def test_value_and_all_derivatives_are_those_of_torch(shape, width, biased, products):
    x, weight = drawn(*shape) / 5, drawn(width, 24, seed=1)
    bias = drawn(width, seed=2) if biased else None
    found, wanted = gradients(linear, x, weight, bias), gradients(F.linear, x, weight, bias)
    assert len(products) > 3
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() < 1e-5 * max(1, float(b.abs().max()))


@pytest.mark.usefixtures("always")
def test_any_strides_may_come(products):
    x, weight = drawn(24, 40).T, drawn(24, 9, seed=1).T
    assert torch.allclose(linear(x, weight), F.linear(x, weight), atol=1e-5)
    both = [t.clone().requires_grad_() for t in (x, weight)]
    linear(*both).sum().backward()  # The gradient of a sum is one number seen many times.
    again = [t.clone().requires_grad_() for t in (x, weight)]
    F.linear(*again).sum().backward()
    for a, b in zip(both, again, strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-4)
    assert products


@pytest.mark.usefixtures("always")
def test_only_what_is_asked_for_gets_a_gradient(products):
    weight = drawn(9, 24).requires_grad_()
    linear(drawn(4, 24), weight).sum().backward()
    assert weight.grad is not None
    assert len(products) == 2  # Forward, and one backward product.


@pytest.mark.usefixtures("always")
def test_what_onednn_does_not_multiply_alike_goes_torchs_way(products):
    for dtype in (torch.float64, torch.bfloat16):
        x, weight = drawn(4, 24, dtype=dtype), drawn(9, 24, dtype=dtype)
        assert torch.equal(linear(x, weight), F.linear(x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(drawn(4, 24), drawn(9, 24)).dtype == torch.bfloat16
    assert linear(drawn(4, 24).to("meta"), drawn(9, 24).to("meta")).device.type == "meta"
    assert not products


def test_small_products_go_torchs_way(products, monkeypatch):
    monkeypatch.setattr(module, "onednn_is_faster", lambda: BUILT)
    layer = Linear(64, 64)
    layer(drawn(8, 64))
    assert not products
    layer(drawn(4096, 64))
    assert len(products) == BUILT


@pytest.mark.usefixtures("always")
def test_its_operations_are_counted():
    layer = Linear(24, 9)
    with FlopCounterMode(display=False) as counter:
        layer(drawn(2, 5, 24)).sum().backward()
    assert counter.get_total_flops() == 2 * 2 * (2 * 5 * 24 * 9)  # The inputs need no gradient.


@pytest.mark.parametrize(
    ("vendor", "capability", "expected"),
    [("AuthenticAMD", "AVX512", True), ("GenuineIntel", "AVX512", False), ("AuthenticAMD", "AVX2", False)],
)
def test_the_processor_decides(vendor, capability, expected, monkeypatch, tmp_path):
    described = tmp_path / "cpuinfo"
    described.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: 1\n")
    monkeypatch.setattr(module, "Path", lambda path: described)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert onednn_is_faster.__wrapped__() == (expected and BUILT)
    described.write_text("processor\t: 0\n")
    assert not onednn_is_faster.__wrapped__()
    monkeypatch.setattr(module, "Path", lambda path: tmp_path / "none")
    assert not onednn_is_faster.__wrapped__()


def test_is_torchs_layer_in_all_else():
    layer = Linear(4, 3, bias=False)
    assert isinstance(layer, torch.nn.Linear)
    assert layer.bias is None
    assert [*layer.state_dict()] == ["weight"]
