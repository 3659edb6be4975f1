"""fp16 with loss scaling: gradients are kept from becoming 0, updates are not kept from vanishing.

One half of mixed precision, to see what the other half is for.

Reference:
    Micikevicius et al. "Mixed Precision Training". ICLR 2018. arXiv:1710.03740v3
    Implements: Section 3.2 without Section 3.1; the dynamic factor of `assay.precision.scaler`.
    Verified: a training with torch's own types, layer by layer, value and gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

from assay.precision.formats import FP16
from assay.precision.policy import Policy
from assay.precision.recipe import ScaledRecipe


@dataclass(frozen=True, kw_only=True)
class FP16Scaled(ScaledRecipe):
    """Everything in fp16, with a scaled loss."""

    policy: ClassVar[Policy] = Policy(param=FP16, compute=FP16, output=FP16, scaling=True)
