"""Naive attention: all scores at once, softmax row by row, a weighted mean of the values.

Every query is compared with every key, and the N x N weights are kept for the backward pass. It is the
definition of the answer, and the wall of memory that the other methods go around.

Reference:
    Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. "Attention Is All You Need".
    NeurIPS 2017. arXiv:1706.03762v7
    Implements: Eq. (1), with masks, bias and grouped heads.
    Departs: a row that may attend to nothing gives zeros, and minus infinity as its log-sum-exp.
    Verified: loops in plain Python to 1e-12, torch's math backend, value and gradient.
"""

import math

from jaxtyping import Float
from torch import Tensor

from assay.attention.operands import computing
from assay.attention.pattern import Pattern


def naive_attention(
    q: Float[Tensor, "b h nq d"],
    k: Float[Tensor, "b kv nk d"],
    v: Float[Tensor, "b kv nk dv"],
    pattern: Pattern,
    *,
    upcast: bool = True,
) -> tuple[Float[Tensor, "b h nq dv"], Float[Tensor, "b h nq"]]:
    """out in the dtype of q, and the natural log-sum-exp.

    Args:
        q, k, v: operands; h is a multiple of kv.
        pattern: scale, window, masks, bias.
        upcast: compute in float32 (or float64) whatever the dtype; else in the operands' own, softmax aside,
            as a user without a fused kernel would.
    """
    dtype, given = computing(q.dtype), q.dtype
    if upcast:
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    b, heads, nq, _ = q.shape
    nk, group = k.shape[2], heads // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = pattern.scored((q @ k.transpose(-2, -1) * pattern.scale).to(dtype))
    m = scores.detach().amax(-1, keepdim=True) if nk else scores.new_full((b, heads, nq, 1), -math.inf)
    weights = (scores - m.masked_fill(m == -math.inf, 0.0)).exp()
    total = weights.sum(-1, keepdim=True)
    weights = weights / total.masked_fill(total == 0, 1.0)
    out = weights.to(v.dtype) @ v
    lse = (m + total.masked_fill(total == 0, 1.0).log()).squeeze(-1)
    return out.to(given), lse
