"""Layers whose numbers are in few bits: on the CPU by exact rounding, where the hardware can, for real.

Factors of a product are rounded to one format, exact products are added up in float32, and the sum is rounded
to another, forward and backward alike; so is every bias and every sum with it. Losses stay in float32.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from assay.precision.formats import BF16, FP16, TF32, Format, rounded
from assay.precision.policy import Policy


def linear(
    x: Float[Tensor, "batch inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"],
    policy: Policy,
) -> Float[Tensor, "batch outputs"]:
    """x W' + b under a policy."""
    product: Any = _Product.apply(x, weight, policy.compute, policy.output)
    return stored(product + stored(bias, policy.output), policy.output)


def stored(values: Tensor, format: Format) -> Tensor:
    """`values` as they are in memory in `format`; their gradient is in it as well."""
    result: Any = _Stored.apply(values, format)
    return result


class _Stored(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, format: Format) -> Tensor:  # type: ignore[override]
        ctx.format = format
        return rounded(values, format).view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return rounded(gradient, ctx.format), None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, factors: Format, result: Format) -> Tensor:  # type: ignore[override]
        x, weight = rounded(x, factors), rounded(weight, factors)
        ctx.save_for_backward(x, weight)
        ctx.formats = factors, result
        return multiplied(x, weight.T, factors, result)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        gradient = rounded(gradient, ctx.formats[0])
        by_x = multiplied(gradient, weight, *ctx.formats)
        return by_x, multiplied(gradient.T, x, *ctx.formats), None, None


def multiplied(a: Tensor, b: Tensor, factors: Format, result: Format) -> Tensor:
    """The matrix product of float32 tensors that hold numbers of `factors`, rounded to `result`."""
    native = _native(factors, a.device) if factors == result else None
    if native is not None:
        return (a.to(native) @ b.to(native)).float()
    with full_float32(a.device, tf32=factors == TF32):
        return rounded(a @ b, result)


def _native(format: Format, device: torch.device) -> torch.dtype | None:
    """The type in which the device multiplies numbers of `format` itself."""
    if format == BF16:
        return torch.bfloat16
    return torch.float16 if format == FP16 and device.type == "cuda" else None


@contextlib.contextmanager
def full_float32(device: torch.device, *, tf32: bool = False) -> Iterator[None]:
    """In the block a GPU multiplies float32 matrices as TF32, or does not; the settings come back after it.

    PyTorch keeps one for products and one for convolutions, and they were never the same by default.
    """
    if device.type != "cuda":
        yield
        return
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept
