"""FlashAttention 3: the scores of the next block of keys before the values of this one are added.

The exponentials of one block and the products of another do not wait for each other, so that a GPU with
asynchronous products hides the former. In order of arithmetic it is FlashAttention 2, bit for bit; what is
new on chip, copies by warps of their own and products that overlap, a CPU does not have.

Reference:
    Shah, Bikshandi, Zhang, Thakkar, Ramani, Dao. "FlashAttention-3: Fast and Accurate Attention with
    Asynchrony and Low-precision". NeurIPS 2024. arXiv:2407.08608v2
    Implements: Algorithm 2 (two stages); for 8 bits, Section 3.3, see `assay.attention.fp8`.
    Omits: warps that only copy, two groups of warps in turns (Section 3.1), three stages.
    Verified: equal to FlashAttention 2, bit for bit, for any number of blocks.
"""

from collections.abc import Callable

from torch import Tensor

from assay.attention.online import State
from assay.attention.operands import Operands, Sizes, slices
from assay.attention.pattern import blocks


def forward(
    operands: Operands,
    out: Tensor,
    lse: Tensor,
    sizes: Sizes,
    narrowed: Callable[[Tensor], Tensor] = lambda weights: weights,
) -> None:
    """Fills out [heads, Nq, Dv] and lse [heads, Nq].

    Args:
        narrowed: what becomes of weights, in [0, 1], before they are multiplied with values.
    """
    nq, nk, whole = operands.nq, operands.nk, State.over(operands.sums(out))
    for heads in operands.head_blocks(sizes):
        for rows in blocks(range(nq), sizes.rows):
            queries = operands.queries(heads, rows) * operands.unit
            state = whole.part(slices(heads), slices(rows))
            waiting = None  # weights and values of the block before
            for place, columns in enumerate(operands.pattern.by_rows(rows, nq, nk, sizes.columns)):
                keys = operands.keys(heads, columns)
                scores = operands.scores(queries, keys, heads, rows, columns, scratch=place % 2)
                if waiting is not None:
                    state.add(*waiting)
                waiting = narrowed(state.weigh(scores)), operands.values(heads, columns)
            if waiting is not None:
                state.add(*waiting)
    whole.output(out)
    lse.copy_(whole.lse())
