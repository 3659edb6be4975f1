"""FlashAttention 2: queries in blocks outside, keys in blocks inside, one division at the end.

A block of queries keeps its running maximum, sum and output where they are fastest to reach while the keys
stream past; blocks of queries do not depend on each other, so that they can run in parallel.

Reference:
    Dao. "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning".
    ICLR 2024. arXiv:2307.08691v1
    Implements: Algorithm 1 (forward); blocks that the mask empties are never visited (Section 3.1).
    Departs: here blocks follow one another, each a batched product of a few heads; on a GPU the same schedule
        is a Triton kernel.
    Verified: naive in float64 to 1e-12, any block sizes, gradients by `gradcheck`.
"""

from torch import Tensor

from assay.attention.online import State
from assay.attention.operands import Operands, Sizes, slices
from assay.attention.pattern import blocks


def forward(operands: Operands, out: Tensor, lse: Tensor, sizes: Sizes) -> None:
    """Fills out [heads, Nq, Dv] and lse [heads, Nq]."""
    nq, nk, whole = operands.nq, operands.nk, State.over(operands.sums(out))
    for heads in operands.head_blocks(sizes):
        for rows in blocks(range(nq), sizes.rows):
            queries = operands.queries(heads, rows) * operands.unit
            state = whole.part(slices(heads), slices(rows))
            for columns in operands.pattern.by_rows(rows, nq, nk, sizes.columns):
                scores = operands.scores(queries, operands.keys(heads, columns), heads, rows, columns)
                state.absorb(scores, operands.values(heads, columns))
    whole.output(out)
    lse.copy_(whole.lse())
