"""tf32: factors of products with 10 bits of mantissa, everything else in 32 bits.

What tensor cores do with float32 matrices when they are told to: sums and storage stay in float32.

Reference:
    NVIDIA. "NVIDIA A100 Tensor Core GPU Architecture". 2020.
    Implements: rounding of both factors to the nearest number, ties to even; sums in float32.
    Verified: the bound 2^-10 + 2^-22 on each product; exact where the factors have 10 bits.
"""

from dataclasses import dataclass
from typing import ClassVar

from assay.precision.formats import TF32
from assay.precision.policy import Policy
from assay.precision.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TF32Products(Recipe):
    """Products as tensor cores round their factors."""

    policy: ClassVar[Policy] = Policy(compute=TF32)
