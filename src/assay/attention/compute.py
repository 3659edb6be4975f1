"""Attention by one of the schedules, forward and backward, on tensors without a history.

Packed sequences lie one behind the other along the rows of a single batch; each is computed on its own, so
that none sees another.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from assay.attention import flash1, flash2, flash3, online, recompute
from assay.attention.operands import Operands, Sizes, computing
from assay.attention.pattern import Pattern
from assay.attention.recompute import Gradients

SCHEDULES = {
    "online": online.forward,
    "flash1": flash1.forward,
    "flash2": flash2.forward,
    "flash3": flash3.forward,
}


@dataclass(frozen=True)
class Plan:
    """How attention is computed.

    Args:
        schedule: a name in `SCHEDULES`, or "triton".
        sizes: of a tile on a CPU.
        starts_q, starts_k: int32 [sequences + 1], where packed sequences of queries and of keys begin and,
            last, end; None if the sequences are not packed.
        deterministic: whether gradients must be the same bits every time; the CPU's always are.
    """

    schedule: str
    sizes: Sizes = field(default_factory=Sizes)
    starts_q: Tensor | None = None
    starts_k: Tensor | None = None
    deterministic: bool = True

    def parts(self, q: Tensor, k: Tensor) -> Iterator[tuple[int, slice, slice]]:
        """Number, queries and keys of every packed sequence; of the one there is if nothing is packed."""
        if self.starts_q is None or self.starts_k is None:
            yield 0, slice(q.shape[2]), slice(k.shape[2])
            return
        ends = zip(self.starts_q.tolist(), self.starts_k.tolist(), strict=True)
        start_q, start_k = next(ends)
        for number, (end_q, end_k) in enumerate(ends):
            yield number, slice(start_q, end_q), slice(start_k, end_k)
            start_q, start_k = end_q, end_k


def forward(
    q: Float[Tensor, "b h nq d"],
    k: Float[Tensor, "b kv nk d"],
    v: Float[Tensor, "b kv nk dv"],
    pattern: Pattern,
    plan: Plan,
) -> tuple[Float[Tensor, "b h nq dv"], Float[Tensor, "b h nq"]]:
    """out in the dtype of q, and the natural log-sum-exp."""
    if plan.schedule == "triton":
        from assay.attention import triton_launch

        return triton_launch.forward(q, k, v, pattern, plan)
    out = q.new_empty(*q.shape[:3], v.shape[-1])
    lse = q.new_empty(q.shape[:3], dtype=computing(q.dtype))
    for number, rows, columns in plan.parts(q, k):
        operands = Operands(q[:, :, rows], k[:, :, columns], v[:, :, columns], pattern, batch=number)
        part = out if plan.starts_q is None else out[:, :, rows].contiguous()
        part_lse = lse if plan.starts_q is None else lse[:, :, rows].contiguous()
        SCHEDULES[plan.schedule](operands, part.flatten(0, 1), part_lse.flatten(0, 1), _sizes(plan, q))
        if plan.starts_q is not None:
            out[:, :, rows], lse[:, :, rows] = part, part_lse
    return out, lse


def backward(
    dout: Float[Tensor, "b h nq dv"],
    dlse: Float[Tensor, "b h nq"] | None,
    q: Float[Tensor, "b h nq d"],
    k: Float[Tensor, "b kv nk d"],
    v: Float[Tensor, "b kv nk dv"],
    out: Float[Tensor, "b h nq dv"],
    lse: Float[Tensor, "b h nq"],
    pattern: Pattern,
    plan: Plan,
    *,
    bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The gradients with respect to q, k, v and, if `bias`, the pattern's bias."""
    if plan.schedule == "triton":
        from assay.attention import triton_launch

        return triton_launch.backward(dout, dlse, q, k, v, out, lse, pattern, plan, bias=bias)
    dtype = computing(q.dtype)
    dq, dk, dv = (torch.zeros(x.shape, dtype=dtype, device=x.device) for x in (q, k, v))
    dbias = None
    if bias and pattern.bias is not None:
        dbias = torch.zeros(pattern.bias.shape, dtype=dtype, device=q.device)
    for number, rows, columns in plan.parts(q, k):
        operands = Operands(q[:, :, rows], k[:, :, columns], v[:, :, columns], pattern, batch=number)
        packed = plan.starts_q is not None
        parts = [x.flatten(0, 1) if not packed else x[0] for x in (dq, dk, dv)]
        sums = Gradients(parts[0][:, rows], parts[1][:, columns], parts[2][:, columns], dbias)
        part_out, part_lse, g = (x[:, :, rows].flatten(0, 1) for x in (out, lse, dout))
        part_dlse = None if dlse is None else dlse[:, :, rows].flatten(0, 1)
        recompute.backward(operands, sums, part_out, part_lse, g, part_dlse, _sizes(plan, q))
    grads = [x.to(q.dtype) for x in (dq, dk, dv)]
    bias_dtype = q.dtype if pattern.bias is None else pattern.bias.dtype
    return grads[0], grads[1], grads[2], None if dbias is None else dbias.to(bias_dtype)


def _sizes(plan: Plan, q: Tensor) -> Sizes:
    """Online softmax has all queries of a head in one tile."""
    return replace(plan.sizes, rows=max(1, q.shape[2])) if plan.schedule == "online" else plan.sizes
