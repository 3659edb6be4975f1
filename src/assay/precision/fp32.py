"""fp32: all numbers in 32 bits, the yardstick of the wing.

Nothing is rounded but by float32 itself; the other recipes are judged by how near they come.

Reference:
    IEEE 754-2019, binary32.
    Verified: torch.autograd and torch.optim.SGD, 1e-6 over many steps.
"""

from dataclasses import dataclass
from typing import ClassVar

from assay.precision.policy import Policy
from assay.precision.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class FP32Full(Recipe):
    """Everything in float32."""

    policy: ClassVar[Policy] = Policy()
