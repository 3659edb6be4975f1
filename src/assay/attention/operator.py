"""Attention with gradients, and as an operator that torch.compile knows and does not look into.

An operator takes tensors and numbers only, so that a pattern with functions in it is not compiled.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from assay.attention import compute
from assay.attention.compute import Plan
from assay.attention.operands import Sizes, computing
from assay.attention.pattern import Pattern


@torch.library.custom_op("assay::attention", mutates_args=())
def operator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    starts_q: Tensor | None,
    starts_k: Tensor | None,
    left: int,
    right: int,
    scale: float,
    schedule: str,
    rows: int,
    columns: int,
    deterministic: bool,
) -> tuple[Tensor, Tensor]:
    """out and lse of `compute.forward`; the arguments are those of `Pattern` and `Plan`, one by one."""
    pattern = Pattern(scale=scale, window=(left, right), mask=mask, bias=bias)
    plan = Plan(schedule, Sizes(rows, columns), starts_q, starts_k, deterministic)
    return compute.forward(q, k, v, pattern, plan)


@operator.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return q.new_empty(*q.shape[:3], v.shape[-1]), q.new_empty(q.shape[:3], dtype=computing(q.dtype))


@torch.library.custom_op("assay::attention_backward", mutates_args=())
def operator_backward(
    dout: Tensor,
    dlse: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    starts_q: Tensor | None,
    starts_k: Tensor | None,
    left: int,
    right: int,
    scale: float,
    schedule: str,
    rows: int,
    columns: int,
    deterministic: bool,
    bias_too: bool,
) -> list[Tensor]:
    """The gradients of `compute.backward`, without that of the bias if it is not asked for."""
    pattern = Pattern(scale=scale, window=(left, right), mask=mask, bias=bias)
    plan = Plan(schedule, Sizes(rows, columns), starts_q, starts_k, deterministic)
    grads = compute.backward(dout, dlse, q, k, v, out, lse, pattern, plan, bias=bias_too)
    return [grad for grad in grads if grad is not None]


@operator_backward.register_fake
def _(dout: Tensor, dlse: Tensor, q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> list[Tensor]:
    bias, bias_too = rest[3], rest[-1]
    given = [q, k, v, bias] if bias_too else [q, k, v]
    return [x.new_empty(x.shape) for x in given]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:7], *output)
    ctx.settings = inputs[7:]


def _backward(ctx: Any, dout: Tensor, dlse: Tensor) -> tuple[Any, ...]:
    q, k, v, mask, bias, starts_q, starts_k, out, lse = ctx.saved_tensors
    bias_too = bias is not None and ctx.needs_input_grad[4]
    given = (dout, dlse, q, k, v, out, lse, mask, bias, starts_q, starts_k, *ctx.settings, bias_too)
    dq, dk, dv, *rest = operator_backward(*given)
    return dq, dk, dv, None, rest[0] if rest else None, *[None] * (2 + len(ctx.settings))


operator.register_autograd(_backward, setup_context=_setup)


class _Attention(torch.autograd.Function):
    """The same where nothing is compiled, and for functions, which an operator cannot be given."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, pattern: Pattern, plan: Plan):
        out, lse = compute.forward(q, k, v, pattern, plan)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.pattern, ctx.plan = pattern, plan
        return out, lse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor):
        q, k, v, out, lse = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3]
        dout, dlse = grads
        found = compute.backward(dout, dlse, q, k, v, out, lse, ctx.pattern, ctx.plan, bias=wanted)
        return *found, None, None


def apply(q: Tensor, k: Tensor, v: Tensor, pattern: Pattern, plan: Plan) -> tuple[Tensor, Tensor]:
    """out and lse by the plan's schedule; gradients reach q, k, v and the bias."""
    functions = pattern.mask_mod is not None or pattern.score_mod is not None
    if functions or not torch.compiler.is_compiling():
        learned = (x for x in (q, k, v, pattern.bias) if x is not None and x.requires_grad)
        if not torch.is_grad_enabled() or next(learned, None) is None:
            return compute.forward(q, k, v, pattern, plan)
        return _Attention.apply(q, k, v, pattern.bias, pattern, plan)  # type: ignore[return-value]
    return operator(
        q,
        k,
        v,
        pattern.mask,
        pattern.bias,
        plan.starts_q,
        plan.starts_k,
        *pattern.window,
        pattern.scale,
        plan.schedule,
        plan.sizes.rows,
        plan.sizes.columns,
        plan.deterministic,
    )
