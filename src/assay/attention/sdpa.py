"""torch's own attention, `scaled_dot_product_attention`, behind the same arguments.

On a CPU it is a compiled kernel with FlashAttention's schedule; on a GPU PyTorch chooses among
FlashAttention, cuDNN and others.

Reference:
    PyTorch, `torch.nn.functional.scaled_dot_product_attention`.
    Departs: causal means bottom-right here, and `is_causal` of PyTorch top-left; the flag is used only where
        the two agree.
    Verified: naive, value and gradient.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from assay.attention.pattern import Pattern


def refuses(pattern: Pattern, nq: int, nk: int) -> str | None:
    """What this pattern has that torch's attention does not, or None."""
    if pattern.mask_mod is not None or pattern.score_mod is not None:
        return "functions of indices"
    if pattern.mask is not None and pattern.bias is not None:
        return "a mask and a bias at once"
    if pattern.window[0] >= 0:
        return "a window on the left"
    if pattern.window[1] > 0 or (pattern.window[1] == 0 and nq != nk):
        return "causal attention with other than as many queries as keys"
    if pattern.window[1] == 0 and not (pattern.mask is None and pattern.bias is None):
        return "causal attention with a mask or a bias"
    return None


def sdpa_attention(q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> Tensor:
    """out [B, Hq, Nq, Dv].

    Raises:
        ValueError: the pattern is one that torch's attention does not have.
    """
    if (why := refuses(pattern, q.shape[2], k.shape[2])) is not None:
        raise ValueError(f"torch's scaled_dot_product_attention does not do {why}")
    bias = pattern.bias if pattern.mask is None else pattern.mask
    return scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=None if bias is None else bias.to(q.dtype) if bias.dtype != torch.bool else bias,
        is_causal=pattern.window[1] == 0,
        scale=pattern.scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
