"""pure bf16 with stochastic rounding: an update too small for its weight is made now and then.

On average nothing is lost: the chance of a step up is where the exact weight lies between two numbers.

Reference:
    Zamirai et al. "Revisiting BFloat16 Training". arXiv:2010.06192v2
    Implements: stochastic rounding of weight updates.
    Omits: Kahan summation, the paper's other remedy.
    Verified: unbiased within 4 standard errors of 1e5 draws.
"""

from dataclasses import dataclass
from typing import ClassVar

from assay.precision.formats import BF16
from assay.precision.policy import Policy
from assay.precision.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class BF16Stochastic(Recipe):
    """Everything in bfloat16, updated weights rounded up or down by chance."""

    policy: ClassVar[Policy] = Policy(param=BF16, compute=BF16, output=BF16, update="stochastic")
