"""Which query attends to which key, and what becomes of a score: scale, score_mod, bias, window, masks.

score = score_mod(scale * q.k) + bias, and minus infinity where the pair (i, j) is hidden. Row i of Nq sees
column j of Nk if -left <= j - i - (Nk - Nq) <= right: the last query is aligned with the last key, so that
causal attention, right = 0, lets one new query see all earlier keys.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MaskMod = Callable[[Any, Any, Any, Any], Any]
"""(batch, head, query, key) -> whether the query may attend to the key."""
ScoreMod = Callable[[Any, Any, Any, Any, Any], Any]
"""(scaled score, batch, head, query, key) -> score."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pattern:
    """Everything about attention beside q, k and v.

    Args:
        scale: multiplies the product of a query and a key, once.
        window: how many keys to the left and to the right of its own a query sees; -1 for all.
        mask: bool, broadcastable to [batch, heads, Nq, Nk]; True where the query may attend.
        bias: added to the scores, broadcastable to [batch, heads, Nq, Nk].
        mask_mod, score_mod: functions of tensors of indices that broadcast against each other.
    """

    scale: float
    window: tuple[int, int] = (-1, -1)
    mask: Tensor | None = None
    bias: Tensor | None = None
    mask_mod: MaskMod | None = None
    score_mod: ScoreMod | None = None

    @property
    def plain(self) -> bool:
        """Whether a score is the scaled product, hidden or not."""
        return self.bias is None and self.score_mod is None

    def band(self, nq: int, nk: int) -> tuple[int, int]:
        """The least and the greatest j - i that the window lets through."""
        left, right = self.window
        offset = nk - nq
        return (offset - left if left >= 0 else -nq), (offset + right if right >= 0 else nk)

    def columns(self, rows: range, nq: int, nk: int) -> range:
        """The keys that some of these queries may see through the window."""
        low, high = self.band(nq, nk)
        start = max(0, rows.start + low)
        return range(start, max(start, min(nk, rows.stop + high)))

    def rows(self, columns: range, nq: int, nk: int) -> range:
        """The queries that may see some of these keys through the window."""
        low, high = self.band(nq, nk)
        start = max(0, columns.start - high)
        return range(start, max(start, min(nq, columns.stop - low)))

    def by_rows(self, rows: range, nq: int, nk: int, size: int) -> Iterator[range]:
        """Blocks of at most `size` keys that cover what these queries see; others are never visited."""
        return blocks(self.columns(rows, nq, nk), size)

    def by_columns(self, columns: range, nq: int, nk: int, size: int) -> Iterator[range]:
        """Blocks of at most `size` queries that cover those who see these keys."""
        return blocks(self.rows(columns, nq, nk), size)

    def scored(self, scores: Tensor) -> Tensor:
        """All scores [B, H, Nq, Nk] at once: modified, with bias, masked; differentiable."""
        b, h, nq, nk = scores.shape
        index = [torch.arange(n, device=scores.device) for n in (b, h, nq, nk)]
        at = (index[0][:, None, None, None], index[1][:, None, None], index[2][:, None], index[3])
        if self.score_mod is not None:
            scores = torch.as_tensor(self.score_mod(scores, *at)).to(scores.dtype).expand(scores.shape)
        if self.bias is not None:
            scores = scores + self.bias
        if (outside := self.outside(range(nq), range(nk), nq, nk, scores.device)) is not None:
            scores = scores.masked_fill(outside, -math.inf)
        if self.mask is not None:
            scores = scores.masked_fill(~self.mask, -math.inf)
        if self.mask_mod is not None:
            keep = torch.as_tensor(self.mask_mod(*at), device=scores.device, dtype=torch.bool)
            scores = scores.masked_fill(~keep, -math.inf)
        return scores

    def outside(self, rows: range, columns: range, nq: int, nk: int, device: Any = None) -> Tensor | None:
        """True where the window hides a key of `columns` from a query of `rows`; None if it hides none."""
        low, high = self.band(nq, nk)
        if columns.start - (rows.stop - 1) >= low and columns.stop - 1 - rows.start <= high:
            return None
        i = torch.arange(rows.start, rows.stop, device=device)
        apart = torch.arange(columns.start, columns.stop, device=device) - i[:, None]
        return (apart < low) | (apart > high)


def blocks(whole: range, size: int) -> Iterator[range]:
    """`whole` in blocks of `size`, the last one smaller if need be."""
    for start in range(whole.start, whole.stop, size):
        yield range(start, min(start + size, whole.stop))
