"""Activations by the names that configuration files give them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Activation = Callable[[Tensor], Tensor]


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), an approximation of gelu that CLIP's weights were trained with.

    It differs from gelu by up to 0.02, so that neither can take the other's place.
    """
    return x * torch.sigmoid(1.702 * x)


def gelu_tanh(x: Tensor) -> Tensor:
    """gelu by its tanh approximation, as SigLIP's weights were trained with."""
    return F.gelu(x, approximate="tanh")


_ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_pytorch_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


def activation(name: str) -> Activation:
    """The function called `name`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"expected an activation of {', '.join(_ACTIVATIONS)}, got {name!r}")
    return _ACTIVATIONS[name]
