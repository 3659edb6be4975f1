"""Multi-head self-attention with one matrix for queries, keys and values.

Reference:
    Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. "Attention Is All You Need".
    NeurIPS 2017. arXiv:1706.03762v7
    Implements: Eq. (1) and Sec. 3.2.2.
    Verified: a triple loop in float64, 1e-12; transformers' ViT, Swin and CLIP through the wings' tests.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_SHORT = 32  # tokens; below, torch's fused kernel takes longer than the products by themselves


def attend(
    q: Float[Tensor, " *batch heads queries dim"],
    k: Float[Tensor, " *batch heads keys dim"],
    v: Float[Tensor, " *batch heads keys dim"],
    *,
    bias: Tensor | None = None,
    causal: bool = False,
) -> Float[Tensor, " *batch heads queries dim"]:
    """softmax(q k^T / sqrt(dim) + bias) v, Eq. (1), by the faster way on this device at this size.

    On a CPU the fused backward in bfloat16 takes two to six times as long as plain products.

    Args:
        q, k, v: queries, keys and values.
        bias: added to the scores; of a shape that broadcasts to (*batch, heads, queries, keys).
        causal: whether a query sees only the keys up to its own place; not together with `bias`.
    """
    short = q.shape[-2] <= _SHORT or q.itemsize < 4
    if q.device.type != "cpu" or (bias is None and not short):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    return scores.softmax(-1) @ v


class SelfAttention(nn.Module):
    """Self-attention with `num_heads` heads.

    Args:
        dim: width of a token.
        num_heads: divides `dim`.
        qkv_bias: whether queries, keys and values have biases. That of the keys has no effect: it adds the
            same number to all scores of a query.
    """

    def __init__(self, dim: int, num_heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"expected a width divisible by {num_heads} heads, got {dim}")
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)  # Rows: all of q, then k, then v.
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, " *batch tokens dim"], *, bias: Tensor | None = None, causal: bool = False
    ) -> Float[Tensor, " *batch tokens dim"]:
        """The tokens' mixtures of each other's values; `bias` and `causal` as in `attend`."""
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2) for part in self.qkv(x).chunk(3, -1)
        )
        mixed = attend(q, k, v, bias=bias, causal=causal)
        return self.out(mixed.transpose(-3, -2).flatten(-2))
