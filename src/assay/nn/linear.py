"""Linear layers by the faster of the two libraries for matrix products that torch has on a CPU.

In float32 torch multiplies by Intel's MKL, which on processors of other makers leaves half of AVX-512 unused.
oneDNN, which torch carries too and takes for half precision, uses all of it, and is twice as fast there.

Reference:
    Verified: torch's own product, value, gradient and second derivative, 1e-5 in float32.
"""

import functools
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

_SMALL = 1 << 22  # multiplications; fewer take less time than this way costs around them


class Linear(nn.Linear):
    """`torch.nn.Linear` by `linear`."""

    def forward(self, input: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch out"]:
        """x W' + b."""
        return linear(input, self.weight, self.bias)


def linear(
    x: Float[Tensor, "*batch features"],
    weight: Float[Tensor, "out features"],
    bias: Float[Tensor, " out"] | None = None,
) -> Float[Tensor, "*batch out"]:
    """x W' + b, equal to `torch.nn.functional.linear` up to rounding.

    Args:
        x: rows.
        weight: W.
        bias: b; None for none.
    """
    plain = type(weight) in (Tensor, nn.Parameter) and x.dtype == weight.dtype == torch.float32
    if (
        not plain
        or x.device.type != "cpu"
        or x.numel() * len(weight) < _SMALL
        or not onednn_is_faster()
        or torch.is_autocast_enabled("cpu")
        or torch.compiler.is_compiling()
    ):
        return F.linear(x, weight, bias)
    product: Any = _Product.apply(x.reshape(-1, x.shape[-1]).contiguous(), weight, bias)
    return product.reshape(*x.shape[:-1], len(weight))


@functools.cache
def onednn_is_faster() -> bool:
    """Whether this processor has AVX-512, is not Intel's, and torch was built with both libraries."""
    try:
        vendor = Path("/proc/cpuinfo").read_text("utf-8").partition("vendor_id")[2].split(maxsplit=2)[1]
    except (OSError, IndexError):
        return False
    built = torch.backends.mkl.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return built and vendor != "GenuineIntel" and torch.backends.cpu.get_cpu_capability() == "AVX512"


class _Product(torch.autograd.Function):
    """rows W' + b; its gradients are products of the same kind, so that it has all derivatives."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad = grads[0].contiguous()  # That of a sum is one number seen many times.
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        slope: Any = None
        if of_weight:  # The first factor, turned, is copied inside; so it is the smaller one.
            one, other = (grad, rows) if grad.numel() < rows.numel() else (rows, grad)
            slope = _Product.apply(one.T, other.T, None)
            slope = slope if one is grad else slope.T
        return (
            _Product.apply(grad, weight.T, None) if of_rows else None,
            slope,
            grad.sum(dim=0) if of_bias else None,
        )


if hasattr(torch.ops.mkldnn, "_linear_pointwise"):

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _flops(rows: tuple[int, ...], weight: tuple[int, ...], *rest: Any, **shapes: Any) -> int:
        """What `torch.utils.flop_counter` counts for it."""
        return 2 * math.prod(rows) * weight[0]
