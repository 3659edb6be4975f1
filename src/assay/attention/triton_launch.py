# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
"""Launches the Triton kernels: grids, strides and block sizes for the operands at hand."""

import os
from dataclasses import dataclass, replace
from typing import Any

import torch
import triton
from torch import Tensor

from assay.attention import triton_kernels as kernels
from assay.attention.compute import Plan
from assay.attention.operands import LOG2E
from assay.attention.pattern import Pattern

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether the kernels run in Triton's interpreter, on a CPU; it is decided when Triton is imported."""


@dataclass(frozen=True)
class Config:
    """Block sizes, which must be powers of two from 16 up, and how the compiler spreads the work.

    Args:
        rows, columns: queries and keys of a tile.
        warps: groups of 32 threads.
        stages: blocks of keys in flight at once.
    """

    rows: int
    columns: int
    warps: int = 4
    stages: int = 2


CONFIGS = (
    Config(128, 128, 8, 2),
    Config(128, 64, 4, 3),
    Config(128, 64, 8, 3),
    Config(128, 32, 4, 3),
    Config(64, 64, 4, 3),
    Config(64, 32, 4, 2),
)
"""What is worth trying on a GPU; `benchmarks/attention.py` tries them."""


def config(dim: int, dtype: torch.dtype) -> Config:
    """Blocks that fit on chip for this head dimension."""
    wide = dtype == torch.float32
    if dim <= 64:
        return Config(64, 64, 4, 2) if wide else Config(128, 64, 4, 3)
    if dim <= 128:
        return Config(64, 32, 4, 2) if wide else Config(128, 64, 8, 3)
    return Config(32, 16, 4, 1) if wide else Config(64, 32, 4, 2)


def forward(
    q: Tensor, k: Tensor, v: Tensor, pattern: Pattern, plan: Plan, chosen: Config | None = None
) -> tuple[Tensor, Tensor]:
    """out [B, Hq, Nq, Dv] and the natural log-sum-exp [B, Hq, Nq], float32.

    Raises:
        ValueError: operands that the kernels cannot take.
    """
    _check(q, k, v, pattern)
    q, k, v = _dense(q), _dense(k), _dense(v)
    chosen = chosen or config(max(q.shape[-1], v.shape[-1]), q.dtype)
    out = torch.empty(*q.shape[:3], v.shape[-1], dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    sequences, longest_q, _ = _counts(q, k, plan)
    if out.numel() and longest_q:
        kernels.forward_kernel[(triton.cdiv(longest_q, chosen.rows), sequences * q.shape[1])](
            q, q.stride(), k, k.stride(), v, v.stride(), out, out.stride(), lse, lse.stride(),
            *_pattern(q, k, pattern, plan), *_numbers(q, k, pattern),
            *_dims(q, v), chosen.rows, chosen.columns,
            _kernel(pattern.score_mod), _kernel(pattern.mask_mod), INTERPRETED,
            num_warps=chosen.warps, num_stages=chosen.stages,
        )  # fmt: skip
    return out, lse


def backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    pattern: Pattern,
    plan: Plan,
    *,
    bias: bool,
    chosen: Config | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The gradients with respect to q, k, v and, if `bias`, the pattern's bias.

    The bias's gradient is first written whole, [B, Hq, Nq, Nk] in float32, and then summed to its shape.
    """
    _check(q, k, v, pattern)
    q, k, v, dout, out = (_dense(x) for x in (q, k, v, dout, out))
    dlse = None if dlse is None else dlse.contiguous()
    chosen = chosen or config(max(q.shape[-1], v.shape[-1]), q.dtype)
    dims = _dims(q, v)
    delta = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    kernels.delta_kernel[(triton.cdiv(q.shape[2], chosen.rows), q.shape[0] * q.shape[1])](
        out, out.stride(), dout, dout.stride(), dlse, delta, delta.stride(), q.shape[1], q.shape[2],
        dims[1], dims[3], chosen.rows,
    )  # fmt: skip
    atomic = not plan.deterministic and not bias
    dq = torch.zeros(q.shape, dtype=torch.float32 if atomic else q.dtype, device=q.device)
    dk, dv = (torch.zeros(x.shape, dtype=x.dtype, device=x.device) for x in (k, v))
    whole = None
    if bias and pattern.bias is not None:
        whole = torch.zeros(*q.shape[:3], k.shape[2], dtype=torch.float32, device=q.device)
    sequences, longest_q, longest_k = _counts(q, k, plan)
    given = (q, q.stride(), k, k.stride(), v, v.stride(), dout, dout.stride(), lse, delta, lse.stride())
    rest = (*_pattern(q, k, pattern, plan), *_numbers(q, k, pattern), pattern.scale, *dims)
    functions = (_kernel(pattern.score_mod), _derivative(pattern.score_mod), _kernel(pattern.mask_mod))
    keys = replace(chosen, rows=min(chosen.rows, 64))  # Two sums stay on chip, so that fewer rows fit.
    if longest_k:
        kernels.keys_kernel[(triton.cdiv(longest_k, keys.columns), sequences * k.shape[1])](
            *given, dq if atomic else None, dq.stride(), dk, dk.stride(), dv, dv.stride(), *rest,
            keys.rows, keys.columns, *functions, INTERPRETED,
            num_warps=keys.warps, num_stages=keys.stages,
        )  # fmt: skip
    if longest_q and not atomic:
        strides = (0, 0, 0, 0) if whole is None else whole.stride()
        kernels.queries_kernel[(triton.cdiv(longest_q, chosen.rows), sequences * q.shape[1])](
            *given, dq, dq.stride(), whole, strides, *rest, chosen.rows, chosen.columns, *functions,
            INTERPRETED, num_warps=chosen.warps, num_stages=chosen.stages,
        )  # fmt: skip
    dbias = None
    if whole is not None and pattern.bias is not None:
        dbias = whole.sum_to_size(pattern.bias.shape).to(pattern.bias.dtype)
    return dq.to(q.dtype), dk, dv, dbias


def _check(q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> None:
    if q.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise ValueError(f"the Triton kernels take float16, bfloat16 and float32, got {q.dtype}")
    if max(q.shape[-1], v.shape[-1]) > 256:
        raise ValueError(f"the Triton kernels take D up to 256, got {q.shape[-1]} and {v.shape[-1]}")
    if not (q.is_cuda or INTERPRETED):
        raise ValueError("the Triton kernels need a GPU, or TRITON_INTERPRET=1 set before Triton is imported")
    for name, function in (("mask_mod", pattern.mask_mod), ("score_mod", pattern.score_mod)):
        if function is not None and not hasattr(function, "kernel"):
            raise ValueError(f"{name} must be an `Inlined` function for the Triton kernels, got {function!r}")


def _dense(x: Tensor) -> Tensor:
    """The same with its last dimension in one piece, which the kernels rely on."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _counts(q: Tensor, k: Tensor, plan: Plan) -> tuple[int, int, int]:
    """Number of sequences and the lengths of the longest queries and keys."""
    if plan.starts_q is None or plan.starts_k is None:
        return q.shape[0], q.shape[2], k.shape[2]
    longest = (int(starts.diff().max()) for starts in (plan.starts_q, plan.starts_k))
    return len(plan.starts_q) - 1, *longest  # type: ignore[return-value]


def _pattern(q: Tensor, k: Tensor, pattern: Pattern, plan: Plan) -> tuple[Any, ...]:
    """Bias and mask with the strides of what they broadcast to, and the starts of packed sequences."""
    found: list[Any] = []
    for given in (pattern.bias, None if pattern.mask is None else pattern.mask.view(torch.uint8)):
        if given is None:
            found += [None, (0, 0, 0, 0)]
        else:
            found += [given, given.expand(*q.shape[:3], k.shape[2]).stride()]
    return *found, plan.starts_q, plan.starts_k


def _numbers(q: Tensor, k: Tensor, pattern: Pattern) -> tuple[Any, ...]:
    unit = pattern.scale * LOG2E if pattern.plain else pattern.scale
    return q.shape[1], q.shape[1] // k.shape[1], q.shape[2], k.shape[2], *pattern.window, unit


def _dims(q: Tensor, v: Tensor) -> tuple[int, int, int, int]:
    """D and Dv, and each rounded up to a power of two that the matrix units take."""
    d, dv = q.shape[-1], v.shape[-1]
    return d, dv, max(16, triton.next_power_of_2(d)), max(16, triton.next_power_of_2(dv))


def _kernel(function: Any) -> Any:
    return None if function is None else function.kernel


def _derivative(function: Any) -> Any:
    return None if function is None else function.derivative
