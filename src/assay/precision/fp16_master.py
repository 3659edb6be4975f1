"""fp16 with master weights: updates are kept from vanishing, gradients are not kept from becoming 0.

The other half of mixed precision: the optimizer owns float32 weights, layers see them rounded.

Reference:
    Micikevicius et al. "Mixed Precision Training". ICLR 2018. arXiv:1710.03740v3
    Implements: Section 3.1 without Section 3.2.
    Verified: a training with torch's own types, layer by layer, value and gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

from assay.precision.formats import FP16
from assay.precision.policy import Policy
from assay.precision.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class FP16Master(Recipe):
    """Layers in fp16, weights in float32."""

    policy: ClassVar[Policy] = Policy(compute=FP16, output=FP16)
