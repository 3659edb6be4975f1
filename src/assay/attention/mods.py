"""Functions of scores and indices that people ask for, and how one is inlined into a Triton kernel.

Each takes and returns what `mask_mod` and `score_mod` of `assay.attention.attention` do; they are also those
of `torch.nn.attention.flex_attention`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assay.attention.pattern import MaskMod, ScoreMod


@dataclass(frozen=True)
class Inlined:
    """A function of tensors together with the same as a Triton function, which a kernel can inline.

    Args:
        function: what is called with tensors.
        kernel: the same by `triton.jit`.
        derivative: of a score_mod, by `triton.jit`: (score, b, h, i, j) -> d result / d score.
    """

    function: Callable[..., Any]
    kernel: Any
    derivative: Any = None

    def __call__(self, *args: Any) -> Any:
        """The function's result."""
        return self.function(*args)


def alibi(slopes: Tensor) -> ScoreMod:
    """score - slope * |i - j|: keys count less the farther away they are.

    Args:
        slopes: one for each head.

    Source: Press, Smith, Lewis. ICLR 2022. arXiv:2108.12409v2, Section 3.
    """
    return lambda score, b, h, i, j: score - slopes[h] * (i - j).abs()


def alibi_slopes(heads: int) -> Tensor:
    """2^(-8 / heads), its square, its cube ...: the slopes for a power of two of heads, float32 [heads].

    Raises:
        ValueError: `heads` is not a power of two.
    """
    if heads < 1 or heads & (heads - 1):
        raise ValueError(f"expected a power of two of heads, got {heads}")
    return 2.0 ** (-8.0 / heads * torch.arange(1, heads + 1))


def soft_cap(cap: float) -> ScoreMod:
    """cap * tanh(score / cap): scores stay within (-cap, cap).

    Raises:
        ValueError: `cap` is not positive.
    """
    if not cap > 0:
        raise ValueError(f"cap must be positive, got {cap}")
    return lambda score, b, h, i, j: cap * torch.tanh(score / cap)


def prefix_lm(length: int) -> MaskMod:
    """Causal, but the first `length` keys are seen by all; for as many queries as keys."""
    return lambda b, h, i, j: (j <= i) | (j < length)


def documents(numbers: Tensor) -> MaskMod:
    """Only within a document, for as many queries as keys.

    Args:
        numbers: of each position's document, integers [batch, length].
    """
    return lambda b, h, i, j: numbers[b, i] == numbers[b, j]
