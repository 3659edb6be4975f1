"""Queries, keys and values cut into tiles, and the scores of one tile.

Heads of all batches stand in one row, numbered b * Hq + h. A tile is computed in float32, or in float64 for
float64 inputs, whatever the dtype of the operands. Scores come in units of ln 2, so that exp2, which is the
faster function, takes the place of exp.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.attention.pattern import Pattern, blocks

LOG2E = math.log2(math.e)
_TILE = 1 << 17  # scores: half a megabyte of float32, what a core's own cache holds beside the operands


def slices(part: range) -> slice:
    """The same as a slice."""
    return slice(part.start, part.stop)


def computing(dtype: torch.dtype) -> torch.dtype:
    """The dtype that scores and sums are kept in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@dataclass(frozen=True)
class Sizes:
    """How many queries and keys a tile has; heads fill up what the cache leaves.

    Args:
        rows, columns: at least 1.
    """

    rows: int = 1024
    columns: int = 256

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ValueError(f"a tile needs at least one row and column, got {self.rows} and {self.columns}")

    def heads(self, nq: int, nk: int) -> int:
        """How many heads share a tile."""
        return max(1, _TILE // max(1, min(self.rows, nq) * min(self.columns, nk)))


class Operands:
    """q [B, Hq, Nq, D], k [B, Hkv, Nk, D] and v [B, Hkv, Nk, Dv] with the pattern, tile by tile.

    Args:
        q, k, v: the operands; query head h reads key head h // (Hq / Hkv).
        pattern: scale, window, masks and bias.
        batch: the number of the first batch, for packed sequences.
    """

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, pattern: Pattern, *, batch: int = 0) -> None:
        self.pattern, self.batch = pattern, batch
        self.batches, self.q_heads, self.nq, _ = q.shape
        self.kv_heads, self.nk = k.shape[1], k.shape[2]
        self.num_heads = self.batches * self.q_heads
        self.dtype = computing(q.dtype)
        self.device = q.device
        self._q, self._k, self._v = (x.flatten(0, 1) for x in (q, k, v))
        self._group = self.q_heads // self.kv_heads
        self._outside: dict[tuple[int, int, int], Tensor | None] = {}
        self._scratch: list[Tensor] = []

    def head_blocks(self, sizes: Sizes) -> Iterator[range]:
        """All heads, in blocks of as many as share a tile."""
        return blocks(range(self.num_heads), sizes.heads(self.nq, self.nk))

    def sources(self, heads: range) -> slice | Tensor:
        """Where the keys and values of these query heads stand."""
        if self._group == 1:
            return slices(heads)
        return torch.arange(heads.start, heads.stop, device=self.device) // self._group

    def queries(self, heads: range, rows: range) -> Tensor:
        """[heads, rows, D], not scaled."""
        return self._q[slices(heads), slices(rows)].to(self.dtype)

    def keys(self, heads: range, columns: range) -> Tensor:
        """[heads, columns, D]."""
        return self._k[self.sources(heads), slices(columns)].to(self.dtype)

    def values(self, heads: range, columns: range) -> Tensor:
        """[heads, columns, Dv]."""
        return self._v[self.sources(heads), slices(columns)].to(self.dtype)

    def product(self, left: Tensor, right: Tensor, *, scratch: int = 0) -> Tensor:
        """left right' of each head, in memory that the next product with this number overwrites."""
        shape = (len(left), left.shape[1], right.shape[1])
        size = math.prod(shape)
        while len(self._scratch) <= scratch:
            self._scratch.append(left.new_empty(0))
        if self._scratch[scratch].numel() < size:
            self._scratch[scratch] = left.new_empty(size)
        return torch.bmm(left, right.transpose(1, 2), out=self._scratch[scratch][:size].view(shape))

    def sums(self, out: Tensor) -> Tensor:
        """Memory for the weighted sums that `out` will hold: its own if that has the dtype of computing."""
        return out if out.dtype == self.dtype else torch.empty_like(out, dtype=self.dtype)

    @property
    def unit(self) -> float:
        """What queries are multiplied by: the scale, in units of ln 2 unless something is added later."""
        return self.pattern.scale * LOG2E if self.pattern.plain else self.pattern.scale

    def scores(
        self, queries: Tensor, keys: Tensor, heads: range, rows: range, columns: range, *, scratch: int = 0
    ) -> Tensor:
        """Scores in units of ln 2, minus infinity where hidden; scratch that the caller may overwrite.

        Args:
            queries, keys: of `queries` and `keys`, the queries multiplied by `unit`.
            scratch: number of the memory, as of `product`.
        """
        scores = self.product(queries, keys, scratch=scratch)
        if self.pattern.score_mod is not None:
            scores = self.modified(scores, heads, rows, columns)
        return self.finished(scores, heads, rows, columns)

    def finished(self, scores: Tensor, heads: range, rows: range, columns: range) -> Tensor:
        """Scores after `score_mod`, with bias, in units of ln 2, and masked; overwrites them."""
        if self.pattern.bias is not None:
            scores += self.cut(self.pattern.bias, heads, rows, columns)
        if not self.pattern.plain:
            scores *= LOG2E
        hidden = self.hidden(heads, rows, columns)
        return scores if hidden is None else scores.masked_fill_(hidden, -math.inf)

    def modified(self, scores: Tensor, heads: range, rows: range, columns: range) -> Tensor:
        """`score_mod` of scaled scores, as a tensor of its own."""
        assert self.pattern.score_mod is not None
        changed = self.pattern.score_mod(scores, *self.indices(heads, rows, columns))
        return torch.as_tensor(changed, device=self.device).to(self.dtype).expand(scores.shape).clone()

    def hidden(self, heads: range, rows: range, columns: range) -> Tensor | None:
        """True where a key is hidden, broadcastable to the tile; None where all are seen."""
        pattern = self.pattern
        place = (columns.start - rows.start, len(rows), len(columns))
        if place not in self._outside:  # Along a diagonal all tiles are alike.
            self._outside[place] = pattern.outside(rows, columns, self.nq, self.nk, self.device)
        found = self._outside[place]
        if pattern.mask is not None:
            dropped = ~self.cut(pattern.mask, heads, rows, columns)
            found = dropped if found is None else found | dropped
        if pattern.mask_mod is not None:
            keep = pattern.mask_mod(*self.indices(heads, rows, columns))
            dropped = ~torch.as_tensor(keep, device=self.device, dtype=torch.bool)
            found = dropped if found is None else found | dropped
        return found

    def indices(self, heads: range, rows: range, columns: range) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Numbers of batch and head [heads, 1, 1], of queries [rows, 1] and of keys [columns]."""
        g = torch.arange(heads.start, heads.stop, device=self.device)[:, None, None]
        i = torch.arange(rows.start, rows.stop, device=self.device)[:, None]
        j = torch.arange(columns.start, columns.stop, device=self.device)
        return g // self.q_heads + self.batch, g % self.q_heads, i, j

    def cut(self, whole: Tensor, heads: range, rows: range, columns: range) -> Tensor:
        """The tile of a tensor that is broadcastable to [batch, heads, Nq, Nk]; a view if it has one head."""
        whole = whole.expand(self.batches, self.q_heads, self.nq, self.nk)[
            :, :, slices(rows), slices(columns)
        ]
        if len(heads) == 1:
            return whole[heads.start // self.q_heads, heads.start % self.q_heads][None]
        g = torch.arange(heads.start, heads.stop, device=self.device)
        return whole[g // self.q_heads, g % self.q_heads]
