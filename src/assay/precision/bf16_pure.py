"""pure bf16: weights too in bfloat16, rounded to the nearest after each update.

Half the memory for weights; with 7 bits of mantissa most updates vanish.

Reference:
    Zamirai et al. "Revisiting BFloat16 Training". arXiv:2010.06192v2
    Implements: the training with weights rounded to the nearest whose stalling it explains.
    Verified: a training with torch's own types, layer by layer, value and gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

from assay.precision.formats import BF16
from assay.precision.policy import Policy
from assay.precision.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class BF16Pure(Recipe):
    """Everything in bfloat16."""

    policy: ClassVar[Policy] = Policy(param=BF16, compute=BF16, output=BF16)
