"""Online softmax: one pass over the keys, with a running maximum and a running sum.

A row of attention needs the largest score and the sum of exponentials before it can weigh a value; kept as a
state that absorbs keys block by block, and of which two can be merged, neither is needed in advance.

Reference:
    Milakov, Gimelshein. "Online normalizer calculation for softmax". 2018. arXiv:1805.02867v2
    Rabe, Staats. "Self-attention Does Not Need O(n^2) Memory". 2021. arXiv:2112.05682v3
    Implements: Algorithm 3 of the first (the recurrence), and what the second makes of it with values.
    Departs: scores come in units of ln 2 and exponentials are powers of 2; the backward pass recomputes the
        probabilities from the log-sum-exp, as FlashAttention does, where Rabe and Staats use checkpoints.
    Omits: the chunks of queries of Rabe and Staats; with them it is FlashAttention 2.
    Verified: naive loops to 1e-12, `torch.logsumexp`, any partition and any order of merging.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.attention.operands import LOG2E, Operands, Sizes, slices
from assay.attention.pattern import blocks

LN2 = math.log(2)


@dataclass
class State:
    """What rows know of the keys seen so far.

    Args:
        m: the greatest score, in units of ln 2, [heads, rows, 1]; the least finite number before any was
            seen, where the papers have minus infinity, from which nothing can be subtracted.
        l: the sum of 2^(score - m), [heads, rows, 1].
        o: the sum of 2^(score - m) times value, [heads, rows, Dv].
        fresh: whether nothing was seen yet, and l and o hold nothing.
    """

    m: Tensor
    l: Tensor  # noqa: E741, the papers' letter
    o: Tensor
    fresh: bool = False

    @classmethod
    def empty(cls, heads: int, rows: int, dim: int, like: Tensor) -> "State":
        """The identity of merging, in the dtype of `like`."""
        return cls.over(like.new_empty(heads, rows, dim))

    @classmethod
    def over(cls, o: Float[Tensor, "heads rows dim"]) -> "State":
        """The identity of merging, with `o` as the memory of the weighted sums."""
        least = torch.finfo(o.dtype).min
        m, l = o.new_full((*o.shape[:2], 1), least), o.new_zeros(*o.shape[:2], 1)  # noqa: E741
        return cls(m, l, o.zero_(), fresh=True)

    def absorb(
        self, scores: Float[Tensor, "heads rows keys"], values: Float[Tensor, "heads keys dim"]
    ) -> None:
        """Takes in a block of keys.

        Args:
            scores: in units of ln 2; overwritten.
            values: of these keys.
        """
        self.add(self.weigh(scores), values)

    def weigh(self, scores: Float[Tensor, "heads rows keys"]) -> Float[Tensor, "heads rows keys"]:
        """The weights p = 2^(s - m') of a block of keys, in the scores' memory.

        m' = max(m, max s), a = 2^(m - m'), l' = a l + sum p, o' = a o. What was weighed before must have been
        added.
        """
        peak = scores.amax(-1, keepdim=True)
        if self.fresh:
            torch.maximum(self.m, peak, out=self.m)
            p = scores.sub_(self.m).exp2_()
            torch.sum(p, -1, keepdim=True, out=self.l)
            return p
        m = torch.maximum(self.m, peak)
        p = scores.sub_(m).exp2_()
        decay = (self.m - m).exp2_()
        self.l.mul_(decay).add_(p.sum(-1, keepdim=True))
        self.o.mul_(decay)
        self.m.copy_(m)
        return p

    def add(self, p: Float[Tensor, "heads rows keys"], values: Float[Tensor, "heads keys dim"]) -> None:
        """Adds values with the weights of `weigh`: o' = o + p v."""
        self.o.baddbmm_(p, values, beta=0 if self.fresh else 1)
        self.fresh = False

    def part(self, heads: slice, rows: slice) -> "State":
        """The state of some rows of some heads, in the same memory; fresh if all is."""
        return State(self.m[heads, rows], self.l[heads, rows], self.o[heads, rows], self.fresh)

    def output(self, out: Tensor | None = None) -> Tensor:
        """The weighted mean of the values, zero for a row that has seen none; in `out` if there is one."""
        return torch.div(self.o, self.l.clamp(min=1.0), out=out)  # The greatest score alone adds 1.

    def lse(self) -> Tensor:
        """The natural logarithm of the sum of the scores' exponentials, [heads, rows]."""
        return (self.m + self.l.log2()).mul(LN2).squeeze(-1)


def merge(
    out: Float[Tensor, "*heads rows dim"],
    lse: Float[Tensor, "*heads rows"],
    other: Float[Tensor, "*heads rows dim"],
    other_lse: Float[Tensor, "*heads rows"],
) -> tuple[Float[Tensor, "*heads rows dim"], Float[Tensor, "*heads rows"]]:
    """Attention over the union of two disjoint sets of keys: out and lse.

    Args:
        out, lse, other, other_lse: attention over each set, with natural log-sum-exp; minus infinity says
            that the set is empty for a row, and then the other side comes back bit for bit.
    """
    m = torch.maximum(lse, other_lse)
    shift = m.masked_fill(m == -math.inf, 0.0)
    first, second = (lse - shift).exp(), (other_lse - shift).exp()
    total = first + second
    share = total.masked_fill(total == 0, 1.0)
    merged = (out * (first / share)[..., None] + other * (second / share)[..., None]).to(out.dtype)
    merged = torch.where((other_lse == -math.inf)[..., None], out, merged)
    merged = torch.where((lse == -math.inf)[..., None], other, merged)
    alone = torch.where(lse == -math.inf, other_lse, lse)
    either = (lse == -math.inf) | (other_lse == -math.inf)
    return merged, torch.where(either, alone, shift + total.log())


def online_rows(stream: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """out [heads, rows, Dv] and natural lse [heads, rows] for keys that come as a stream, in O(rows) memory.

    Args:
        stream: blocks of scores [heads, rows, keys] and values [heads, keys, Dv].

    Raises:
        ValueError: the stream is empty.
    """
    state = None
    for scores, values in stream:
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        if state is None:
            state = State.empty(scores.shape[0], scores.shape[1], values.shape[-1], scores)
        state.absorb(scores * LOG2E, values.to(scores.dtype))
    if state is None:
        raise ValueError("expected at least one block of scores and values, got an empty stream")
    return state.output(), state.lse()


def forward(operands: Operands, out: Tensor, lse: Tensor, sizes: Sizes) -> None:
    """Fills out [heads, Nq, Dv] and lse [heads, Nq]: all queries absorb one block of keys after another.

    Args:
        sizes: how many keys are absorbed at once; rows count for nothing.
    """
    rows, whole = range(operands.nq), State.over(operands.sums(out))
    for heads in blocks(range(operands.num_heads), 1):
        queries = operands.queries(heads, rows) * operands.unit
        state = whole.part(slices(heads), slices(rows))
        for columns in blocks(range(operands.nk), sizes.columns):
            scores = operands.scores(queries, operands.keys(heads, columns), heads, rows, columns)
            state.absorb(scores, operands.values(heads, columns))
    whole.output(out)
    lse.copy_(whole.lse())
