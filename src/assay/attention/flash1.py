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
    after: Callable[[range, range, Tensor], None] = lambda heads, columns, stored: None,
) -> None:
    """Fills out [heads, Nq, Dv] and lse [heads, Nq].

    Args:
        after: called after every outer step with heads, keys and the stored outputs.
    """
    nq, nk = operands.nq, operands.nk
    # In the dtype of computing: an output rounded to half precision at every visit would drift.
    whole = State.over(operands.sums(out))
    whole.fresh = False  # Queries are visited again and again.
    for heads in operands.head_blocks(sizes):
        stored = whole.part(slices(heads), slice(nq))
        for columns in blocks(range(nk), sizes.columns):
            keys, values = operands.keys(heads, columns), operands.values(heads, columns)
            for rows in operands.pattern.by_columns(columns, nq, nk, sizes.rows):
                visit = stored.part(slice(None), slices(rows))
                visit.o.mul_(visit.l)
                queries = operands.queries(heads, rows) * operands.unit
                visit.absorb(operands.scores(queries, keys, heads, rows, columns), values)
                visit.output(visit.o)
            after(heads, columns, stored.o)
    out.copy_(whole.o)
    lse.copy_(whole.lse())
