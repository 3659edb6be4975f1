"""Multi-head self-attention with one matrix for queries, keys and values.

Reference:
    Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. "Attention Is All You Need".
    NeurIPS 2017. arXiv:1706.03762v7
    Implements: Eq. (1) and Sec. 3.2.2.
    Verified: a triple loop in float64, 1e-12; transformers' ViT, Swin and CLIP through the wings' tests.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from assay.nn.linear import Linear

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
        self.qkv = Linear(dim, 3 * dim, bias=qkv_bias)  # Rows: all of q, then k, then v.
        self.out = Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, " *batch tokens dim"], *, bias: Tensor | None = None, causal: bool = False
    ) -> Float[Tensor, " *batch tokens dim"]:
        """The tokens' mixtures of each other's values; `bias` and `causal` as in `attend`."""
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2) for part in self.qkv(x).chunk(3, -1)
        )
        mixed = attend(q, k, v, bias=bias, causal=causal)
        return self.out(mixed.transpose(-3, -2).flatten(-2))

    def at(
        self,
        states: Float[Tensor, "rows dim"],
        x: Float[Tensor, "batch tokens dim"],
        hidden: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch dim"]:
        """What one query of each row finds among its tokens, without their keys and values.

        As (Wk x) q = x (Wk' q), the matrix of the keys is applied to the query; and as the weights sum to 1,
        that of the values to the mixture of tokens: two products a row in the place of two a token. The
        keys' bias, which adds the same number to all scores, is left out.

        Args:
            states: what the queries are made of, one for each row or one for all.
            x: the tokens.
            hidden: what a row's query does not see; None for nothing.
        """
        query, key, value = self.qkv.weight.unflatten(0, (3, self.num_heads, -1))
        q = torch.einsum("bw,hdw->bhd", states, query)
        if self.qkv.bias is not None:
            q = q + self.qkv.bias.unflatten(0, (3, self.num_heads, -1))[0]
        scores = torch.einsum("bhd,hdw->bhw", q * q.shape[-1] ** -0.5, key) @ x.mT
        if hidden is not None:
            scores = scores.masked_fill(hidden[:, None], -torch.inf)
        found = torch.einsum("bhw,hdw->bhd", scores.softmax(-1) @ x, value).flatten(1)
        if self.qkv.bias is not None:
            found = found + self.qkv.bias.chunk(3)[2]
        return self.out(found)
