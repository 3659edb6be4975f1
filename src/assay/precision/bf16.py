"""bf16: layers in 16 bits with the exponents of 32, float32 weights.

Fewer digits than fp16, but no gradient is too small or too large: nothing has to be scaled.

Reference:
    Kalamkar et al. "A Study of BFLOAT16 for Deep Learning Training". arXiv:1905.12322v3
    Implements: products in bfloat16 with sums in float32, and float32 master weights; the CPU's or the GPU's
        own bfloat16.
    Verified: a training with torch's own types, layer by layer, value and gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

from assay.precision.formats import BF16
from assay.precision.policy import Policy
from assay.precision.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class BF16Mixed(Recipe):
    """Layers in bfloat16, weights in float32."""

    policy: ClassVar[Policy] = Policy(compute=BF16, output=BF16)
