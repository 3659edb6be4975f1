"""fp16: weights, activations and gradients in 16 bits, and nothing against what that loses.

Small gradients become 0, and updates below half a place of their weight vanish.

Reference:
    Micikevicius et al. "Mixed Precision Training". ICLR 2018. arXiv:1710.03740v3
    Implements: the pure training that Sections 3.1 and 3.2 set out from.
    Verified: a training with torch's own types, layer by layer, value and gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

from assay.precision.formats import FP16
from assay.precision.policy import Policy
from assay.precision.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class FP16Pure(Recipe):
    """Everything in fp16."""

    policy: ClassVar[Policy] = Policy(param=FP16, compute=FP16, output=FP16)
