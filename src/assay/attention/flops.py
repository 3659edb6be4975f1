"""How much work attention is, and how fast a GPU can at best do it.

Sources: the counts are those of Dao, FlashAttention-2, arXiv:2307.08691v1, Section 4.1; the ceiling follows
from the two throughputs that Shah et al., FlashAttention-3, arXiv:2407.08608v2, Section 3.1, compare.
"""

H100_MATMUL = 989e12
"""Dense bfloat16 operations per second of an H100 SXM or H200, by the data sheet."""
H100_EXPONENTIALS = 3.9e12
"""Exponentials per second of the same."""


def forward_flops(batch: int, heads: int, nq: int, nk: int, dim: int, *, causal: bool = False) -> float:
    """Additions and multiplications of the two products, 4 B H Nq Nk D; half if causal and Nq = Nk."""
    whole = 4.0 * batch * heads * nq * nk * dim
    return whole / 2 if causal and nq == nk else whole


def training_flops(batch: int, heads: int, nq: int, nk: int, dim: int, *, causal: bool = False) -> float:
    """Forward and backward: 3.5 times forward, whatever a kernel computes twice."""
    return 3.5 * forward_flops(batch, heads, nq, nk, dim, causal=causal)


def ceiling(dim: int, matmul: float = H100_MATMUL, exponentials: float = H100_EXPONENTIALS) -> float:
    """FLOP/s of a forward pass whose exponentials and products wait for each other: R / (1 + R / (4 D E)).

    Args:
        dim: D.
        matmul: R, floating-point operations per second of matrix products.
        exponentials: E, exponentials per second.
    """
    return matmul / (1 + matmul / (4 * dim * exponentials))
