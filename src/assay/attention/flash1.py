"""FlashAttention 1: keys in blocks outside, queries in blocks inside, outputs rescaled at every visit.

A block of keys and values is loaded once and meets all queries; each visit reads a block's output, maximum
and sum, absorbs the keys, divides, and writes them back. So the stored output is the exact attention over the
keys seen so far, at every moment.

Reference:
    Dao, Fu, Ermon, Rudra, Re. "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness".
    NeurIPS 2022. arXiv:2205.14135v2
    Implements: Algorithm 1 (forward), with the stored (O, m, l).
    Departs: block sizes are chosen for a core's cache instead of Bc = M / 4d.
    Omits: dropout; block-sparse attention (Section 3.3) but for blocks that the window hides whole.
    Verified: naive in float64 to 1e-12, after every outer step.
"""

import math
from collections.abc import Callable

from torch import Tensor

from assay.attention.online import LN2, State
from assay.attention.operands import Operands, Sizes, slices
from assay.attention.pattern import blocks


def forward(
    operands: Operands,
    out: Tensor,
    lse: Tensor,
    sizes: Sizes,
    after: Callable[[range, range], None] = lambda heads, columns: None,
) -> None:
    """Fills out [heads, Nq, Dv] and lse [heads, Nq].

    Args:
        after: called after every outer step with the heads and the keys done.
    """
    nq, nk, dim = operands.nq, operands.nk, out.shape[-1]
    for heads in operands.head_blocks(sizes):
        # The stored sums: in the dtype of computing, for O rounded to half at every visit would drift.
        stored = State.empty(len(heads), nq, dim=dim, dtype=operands.dtype, device=out.device)
        for columns in blocks(range(nk), sizes.columns):
            keys, values = operands.keys(heads, columns), operands.values(heads, columns)
            for rows in operands.pattern.by_columns(columns, nq, nk, sizes.rows):
                at = slices(rows)
                visit = State(stored.m[:, at], stored.l[:, at], stored.o[:, at] * stored.l[:, at])
                queries = operands.queries(heads, rows) * operands.unit
                visit.absorb(operands.scores(queries, keys, heads, rows, columns), values)
                stored.m[:, at], stored.l[:, at], stored.o[:, at] = visit.m, visit.l, visit.output()
            out[slices(heads)] = stored.o
            lse[slices(heads)] = (stored.m + stored.l.log2()).mul(LN2).squeeze(-1)
            after(heads, columns)
        if nk == 0:
            out[slices(heads)], lse[slices(heads)] = 0, -math.inf
