"""Activations by name, against their formulas."""

import math

import pytest
import torch

from assay.nn.activation import activation, gelu_tanh, quick_gelu

X = torch.linspace(-6, 6, 101, dtype=torch.float64)
FORMULAS = {
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_pytorch_tanh": lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "quick_gelu": lambda x: x / (1 + math.exp(-1.702 * x)),
    "relu": lambda x: max(x, 0.0),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "tanh": math.tanh,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name):
    expected = torch.tensor([FORMULAS[name](x) for x in X.tolist()], dtype=torch.float64)
    assert torch.allclose(activation(name)(X), expected, rtol=0, atol=1e-12)


def test_the_approximations_of_gelu_cannot_take_its_place():
    exact = activation("gelu")(X)
    assert 1e-4 < (gelu_tanh(X) - exact).abs().max() < 1e-3
    assert 1e-2 < (quick_gelu(X) - exact).abs().max() < 3e-2


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(ValueError, match=r"expected an activation of gelu, .*, got 'swish2'"):
        activation("swish2")
