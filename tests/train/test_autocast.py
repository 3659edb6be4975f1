import pytest
import torch
from torch import nn

from assay.core.run import Run
from assay.train.autocast import autocast


@pytest.mark.parametrize(
    ("precision", "product", "normal"),
    [
        ("fp32", torch.float32, torch.float32),
        ("bf16", torch.bfloat16, torch.float32),
        ("fp16", torch.float16, torch.float32),
    ],
)
def test_products_are_in_fewer_bits_and_losses_are_not(precision, product, normal):
    layer, x = nn.Linear(4, 3), torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    with autocast(Run(precision=precision)):
        out = layer(x)
        loss = nn.functional.cross_entropy(60 * out, torch.zeros(5, dtype=torch.long))
    assert out.dtype == product
    assert loss.dtype == normal
    assert torch.isfinite(loss)
    loss.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    with autocast(Run(precision="fp32")):
        assert layer(x).dtype == torch.float32


def test_weights_changed_inside_are_seen():
    layer, x = nn.Linear(2, 1, bias=False), torch.ones(1, 2)
    with autocast(Run(precision="bf16")):
        with torch.no_grad():
            layer(x)
            layer.weight.fill_(3.0)
        out = layer(x)
    assert out.item() == 6.0
    assert out.requires_grad


def test_unknown_precisions_are_refused():
    run = Run()
    run.precision = "fp8"
    with pytest.raises(ValueError, match="expected a precision of fp32, bf16, fp16, got 'fp8'"):
        autocast(run)
