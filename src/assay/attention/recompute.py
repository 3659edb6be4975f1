"""The backward pass of attention without stored probabilities: tile by tile, from the log-sum-exp.

Reference:
    Dao, Fu, Ermon, Rudra, Re. "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness".
    NeurIPS 2022. arXiv:2205.14135v2
    Implements: Algorithm 4 (backward), with the log-sum-exp of FlashAttention 2 in place of (m, l): dV = P'G;
        dP = G V'; dS = P (dP - delta) with delta = rowsum(G O); dQ = scale dS K; dK = scale dS' Q.
    Departs: blocks of keys outside, one after the other, so that the sums into dQ always come in one order.
    Verified: `gradcheck`, naive by automatic differentiation to 1e-10, torch's own gradients.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from assay.attention.operands import LOG2E, Operands, Sizes, slices
from assay.attention.pattern import blocks


@dataclass(frozen=True)
class Gradients:
    """Sums in the dtype of computing: dq [heads, Nq, D], dk and dv [kv heads, Nk, D or Dv], dbias as bias."""

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None


def backward(
    operands: Operands,
    grads: Gradients,
    out: Tensor,
    lse: Tensor,
    dout: Tensor,
    dlse: Tensor | None,
    sizes: Sizes,
) -> None:
    """Adds the gradients of sum(out * dout) + sum(lse * dlse).

    Args:
        operands: of the forward pass.
        grads: where the gradients are added.
        out, dout: [heads, Nq, Dv].
        lse, dlse: natural, [heads, Nq].
    """
    nq, nk, scale = operands.nq, operands.nk, operands.pattern.scale
    for heads in operands.head_blocks(sizes):
        sources, at = operands.sources(heads), slices(heads)
        delta = (out[at].to(operands.dtype) * dout[at].to(operands.dtype)).sum(-1, keepdim=True)
        if dlse is not None:
            delta -= dlse[at, :, None]  # The gradient of lse with respect to a score is its weight P.
        shift = lse[at].masked_fill(lse[at] == -torch.inf, 0.0)[..., None] * LOG2E
        for columns in blocks(range(nk), sizes.columns):
            keys, values = operands.keys(heads, columns), operands.values(heads, columns)
            dk, dv = torch.zeros_like(keys), torch.zeros_like(values)
            for rows in operands.pattern.by_columns(columns, nq, nk, sizes.rows):
                here = slices(rows)
                queries, g = operands.queries(heads, rows), dout[at, here].to(operands.dtype)
                raw = operands.product(queries * operands.unit, keys)
                if operands.pattern.score_mod is not None:
                    raw = raw.clone().requires_grad_()
                scores, changed = _changed(operands, raw, heads, rows, columns)
                p = operands.finished(scores, heads, rows, columns).sub_(shift[:, here]).exp2_()
                dv.baddbmm_(p.transpose(1, 2), g)
                ds = operands.product(g, values, scratch=1).sub_(delta[:, here]).mul_(p)
                if grads.bias is not None:
                    _add_bias(operands, grads.bias, ds, heads, rows, columns)
                if changed is not None:
                    ds = _before(changed, raw, ds)
                grads.q[at, here].baddbmm_(ds, keys, alpha=scale)
                dk.baddbmm_(ds.transpose(1, 2), queries, alpha=scale)
            _add_keys(grads.k, sources, columns, dk)
            _add_keys(grads.v, sources, columns, dv)


def _changed(
    operands: Operands, raw: Tensor, heads: range, rows: range, columns: range
) -> tuple[Tensor, Tensor | None]:
    """The scores after `score_mod`, free to be overwritten, and the same with their history."""
    if operands.pattern.score_mod is None:
        return raw, None
    with torch.enable_grad():
        changed = operands.modified(raw, heads, rows, columns)
    return changed.detach().clone(), changed


def _before(changed: Tensor, raw: Tensor, ds: Tensor) -> Tensor:
    """The gradient before `score_mod`; zero if the result does not depend on the score."""
    if not changed.requires_grad:
        return torch.zeros_like(ds)
    (found,) = torch.autograd.grad(changed, raw, ds, allow_unused=True)
    return torch.zeros_like(ds) if found is None else found


def _add_keys(total: Tensor, sources: slice | Tensor, columns: range, part: Tensor) -> None:
    """Query heads of one group add up to the gradient of their key head."""
    if isinstance(sources, slice):
        total[sources, slices(columns)] += part
    else:
        total[:, slices(columns)].index_add_(0, sources, part)


def _add_bias(
    operands: Operands, total: Tensor, ds: Tensor, heads: range, rows: range, columns: range
) -> None:
    """Sums the gradient of a tile over the dimensions along which the bias is repeated."""
    if total.shape[2] == 1:
        ds = ds.sum(1, keepdim=True)
    if total.shape[3] == 1:
        ds = ds.sum(2, keepdim=True)
    part = total[:, :, slices(rows) if total.shape[2] > 1 else slice(1)]
    part = part[..., slices(columns) if total.shape[3] > 1 else slice(1)]
    for at, head in enumerate(heads):  # One after the other: several may share a bias.
        b, h = divmod(head, operands.q_heads)
        part[b if total.shape[0] > 1 else 0, h if total.shape[1] > 1 else 0] += ds[at]
