"""fp16 with loss scaling and float32 master weights: mixed precision training.

Layers compute in 16 bits; what is small, gradients and updates, is kept where it is not lost.

Reference:
    Micikevicius et al. "Mixed Precision Training". ICLR 2018. arXiv:1710.03740v3
    Implements: Sections 3.1 to 3.3; the dynamic factor of `assay.precision.scaler`.
    Departs: it grows after 100 good steps by default, because trainings here are short.
    Verified: a training with torch's own types, layer by layer, value and gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

from assay.precision.formats import FP16
from assay.precision.policy import Policy
from assay.precision.recipe import ScaledRecipe


@dataclass(frozen=True, kw_only=True)
class FP16Mixed(ScaledRecipe):
    """Layers in fp16 with a scaled loss, weights in float32."""

    policy: ClassVar[Policy] = Policy(compute=FP16, output=FP16, scaling=True)
