"""Floating-point formats of fewer bits, emulated exactly on float32: what a value becomes when it is stored.

A format keeps some bits of the mantissa and of the exponent; what lies between two of its numbers goes to the
nearer one, ties to the even one, as IEEE 754 and the hardware do. Numbers below the normal ones lose bits one
by one until they are zero; numbers that would round above the greatest become infinite.

Reference:
    IEEE 754-2019, Sections 3.4 and 4.3.1; NVIDIA, "NVIDIA A100 Tensor Core GPU Architecture", 2020 (TF32);
    Kalamkar et al. "A Study of BFLOAT16 for Deep Learning Training". arXiv:1905.12322v3.
    Stochastic rounding: Zamirai et al. "Revisiting BFloat16 Training". arXiv:2010.06192v2.
    Verified: Tensor.to(float16) and Tensor.to(bfloat16), bit for bit on all of their values and between them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Format:
    """A binary format, by its bits.

    Args:
        name: what it is called.
        exponent: bits of the exponent, 8 at most.
        mantissa: stored bits of the mantissa, 23 at most.
    """

    name: str
    exponent: int
    mantissa: int

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next number."""
        return 2.0**-self.mantissa

    @property
    def max(self) -> float:
        """The greatest finite number."""
        return (2 - self.epsilon) * 2.0 ** (2 ** (self.exponent - 1) - 1)

    @property
    def min_normal(self) -> float:
        """The smallest number with all its bits."""
        return 2.0 ** (2 - 2 ** (self.exponent - 1))

    @property
    def min_subnormal(self) -> float:
        """The smallest number above 0."""
        return self.min_normal * self.epsilon


FP32 = Format("fp32", 8, 23)
TF32 = Format("tf32", 8, 10)
FP16 = Format("fp16", 5, 10)
BF16 = Format("bf16", 8, 7)


_TYPES = {FP16: torch.float16, BF16: torch.bfloat16}


def rounded(values: Tensor, format: Format) -> Tensor:
    """What `emulated` gives, by torch's own cast where it has the format, which is many times faster."""
    if format in _TYPES and values.dtype == torch.float32:
        return values.detach().to(_TYPES[format]).float()
    return emulated(values, format)


def emulated(values: Tensor, format: Format) -> Tensor:
    """The float32 tensor of the numbers of `format` that are nearest to `values`.

    Args:
        values: float32.
        format: of the result.

    Raises:
        TypeError: the values are not float32.
    """
    if values.dtype != torch.float32:
        raise TypeError(f"expected float32 values, got {values.dtype}")
    if format.mantissa == 23:
        return values
    dropped = 23 - format.mantissa
    bits = values.detach().view(torch.int32)
    # Half of the last kept place, less one if that place is even: the carry rounds up where it should.
    half = (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1)
    nearest = ((bits + half) & -(1 << dropped)).view(torch.float32)
    if format.exponent < 8:
        # Below the normal numbers places are equally far apart: adding a number whose last place is that
        # distance, and taking it away again, rounds to it.
        shift = 1.5 * 2.0**23 * format.min_subnormal
        nearest = torch.where(values.abs() < format.min_normal, (values + shift) - shift, nearest)
        nearest = torch.copysign(nearest, values)
        beyond = torch.copysign(torch.full_like(nearest, torch.inf), values)
        nearest = torch.where(nearest.abs() > format.max, beyond, nearest)
    return torch.where(torch.isfinite(values), nearest, values)  # The carry would make inf of some NaN.


def stochastically_rounded(values: Tensor, format: Format, generator: torch.Generator) -> Tensor:
    """`values`, each at one of its two neighbours in `format`, on average where it was.

    P(up) = (x - down) / (up - down), for formats that have float32's exponents.

    Args:
        values: float32.
        format: TF32 or BF16.
        generator: draws the directions.

    Raises:
        ValueError: the format has fewer exponents.
    """
    if format.exponent != 8:
        raise ValueError(f"expected a format with 8 bits of exponent, got {format}")
    dropped = 23 - format.mantissa
    bits = values.detach().view(torch.int32)
    draw = torch.randint(
        1 << dropped, values.shape, generator=generator, dtype=torch.int32, device=values.device
    )
    moved = ((bits + draw) & -(1 << dropped)).view(torch.float32)
    return torch.where(torch.isfinite(values), moved, values)


def flushed(gradients: Tensor, format: Format, scale: float = 1.0) -> float:
    """The share of the non-zero entries that become 0 in `format` after multiplication by `scale`."""
    alive = gradients[gradients != 0]
    if alive.numel() == 0:
        return 0.0
    return float((rounded(alive * scale, format) == 0).double().mean())


def stagnant(weights: Tensor, updates: Tensor, format: Format) -> float:
    """The share of the non-zero `updates` that leave the weight where it was, when it is kept in `format`."""
    alive = updates != 0
    if not alive.any():
        return 0.0
    stays = rounded(weights + updates, format) == rounded(weights, format)
    return float(stays[alive].double().mean())
