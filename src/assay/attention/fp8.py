"""Attention in 8 bits, emulated: what FlashAttention 3 does so that few bits lose little.

Operands and weights are rounded to e4m3, 4 bits of exponent and 3 of mantissa, and multiplied exactly. With a
scale for every block of rows an outlier does not take digits from all other rows; a rotation of queries and
keys, which leaves their products as they are, spreads it over all columns.

Reference:
    Shah, Bikshandi, Zhang, Thakkar, Ramani, Dao. "FlashAttention-3: Fast and Accurate Attention with
    Asynchrony and Low-precision". NeurIPS 2024. arXiv:2407.08608v2
    Implements: Section 3.3 (block quantisation, incoherent processing), with weights that fill [0, 256].
    Departs: products of numbers that 8 bits can hold, in float32; it is there for its errors, not its speed.
    Omits: the layouts that 8-bit products want in memory; a backward pass, which the paper has not either.
    Verified: rounding against a loop over all 8-bit numbers, rotation in float64 to 1e-12, the log-sum-exp
        against naive attention of the rounded operands.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from assay.attention import flash3
from assay.attention.operands import Operands, Sizes
from assay.attention.pattern import Pattern

E4M3_MAX = 448.0
_WEIGHTS = 256.0  # The greatest weight is stored as this: fewer of the small ones become zero.
BLOCK = 128


def fp8_attention(
    q: Float[Tensor, "b h nq d"],
    k: Float[Tensor, "b kv nk d"],
    v: Float[Tensor, "b kv nk dv"],
    pattern: Pattern,
    *,
    block: int | None = BLOCK,
    rotate: bool = True,
    seed: int = 0,
) -> tuple[Float[Tensor, "b h nq dv"], Float[Tensor, "b h nq"]]:
    """out in the dtype of q, and the natural log-sum-exp in float32.

    Args:
        q, k, v: operands; h is a multiple of kv.
        pattern: scale, window, masks, bias.
        block: rows of a head that share a scale; None for one scale for a whole operand.
        rotate: multiply queries and keys by a random rotation first.
        seed: of the rotation.

    Raises:
        ValueError: a gradient is wanted.
    """
    if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)):
        raise ValueError("attention in fp8 has no backward pass; compute it within torch.no_grad()")
    given, (q, k, v) = q.dtype, (x.to(torch.float32) for x in (q, k, v))
    if rotate:
        width = 1 << (q.shape[-1] - 1).bit_length()
        turn = rotation(width, seed).to(q)
        q, k = (F.pad(x, (0, width - x.shape[-1])) @ turn for x in (q, k))
    operands = Operands(quantised(q, block), quantised(k, block), quantised(v, block), pattern)
    out = q.new_empty(*q.shape[:3], v.shape[-1])
    lse = q.new_empty(q.shape[:3])
    sizes = Sizes() if block is None else Sizes(block, block)
    flash3.forward(operands, out.flatten(0, 1), lse.flatten(0, 1), sizes, weights_in_8_bits)
    return out.to(given), lse


def quantised(x: Float[Tensor, "b h n d"], block: int | None) -> Float[Tensor, "b h n d"]:
    """The nearest numbers that are a scale times an e4m3 number.

    Args:
        x: an operand.
        block: rows of a head that share a scale; None for one scale for all.
    """
    if block is None:
        return _scaled(x, x.abs().amax()) if x.numel() else x
    return torch.cat([_scaled(part, part.abs().amax((2, 3), keepdim=True)) for part in x.split(block, 2)], 2)


def weights_in_8_bits(weights: Tensor) -> Tensor:
    """Weights in [0, 1] as e4m3 holds 256 times them."""
    return (weights * _WEIGHTS).to(torch.float8_e4m3fn).to(weights.dtype) / _WEIGHTS


def rotation(dim: int, seed: int) -> Float[Tensor, "dim dim"]:
    """A Hadamard matrix whose rows have random signs, divided by the root of `dim`; float64.

    Args:
        dim: a power of two.
        seed: of the signs.

    Raises:
        ValueError: it is no power of two.
    """
    if dim < 1 or dim & (dim - 1):
        raise ValueError(f"expected a power of two, got {dim}")
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < dim:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    signs = torch.randint(2, (dim, 1), generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return signs * matrix / math.sqrt(dim)


def _scaled(x: Tensor, greatest: Tensor) -> Tensor:
    """Rounded to e4m3 times the scale that lets `greatest` be its largest number."""
    scale = (greatest / E4M3_MAX).masked_fill(greatest == 0, 1.0)
    return (x / scale).clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn).to(x.dtype) * scale
