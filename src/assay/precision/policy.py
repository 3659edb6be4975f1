"""Policy: which format each kind of number of a training has."""

from dataclasses import dataclass
from typing import Literal

from assay.precision.formats import FP32, Format

Update = Literal["nearest", "stochastic"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The formats of a training.

    Args:
        param: of what the optimizer owns: weights and momentum. With FP32 weights under products in fewer
            bits these are the master copy.
        compute: of the factors of every product, forward and backward.
        output: of the products' results: activations and gradients.
        scaling: multiply the loss by a dynamic factor, and divide the gradients by it in float32.
        update: how an updated weight gets into its format.
    """

    param: Format = FP32
    compute: Format = FP32
    output: Format = FP32
    scaling: bool = False
    update: Update = "nearest"
