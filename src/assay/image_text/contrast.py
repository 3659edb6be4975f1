"""The contrastive losses: every image must find its text among all texts, and every text its image.

The softmax loss asks each row and each column of the similarity matrix for its own pair; the sigmoid loss
asks of every pair alone whether it belongs together. Both take features of length 1; pairs of one `group`
(captions of one image) are never negatives of each other.

Reference:
    Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.
        arXiv:2103.00020v1 (Figure 3: the symmetric softmax loss)
    Zhai, Mustafa, Kolesnikov, Beyer. "Sigmoid Loss for Language Image Pre-Training". ICCV 2023.
        arXiv:2303.15343v4 (Eq. (2), Algorithm 1, Section 3.3)
    Implements: both losses over rows that see all columns, at once or in chunks of rows.
    Departs: the gradient is computed by hand in the forward pass, chunk by chunk, so that neither pass ever
        holds more than chunk x columns similarities; no second derivative.
    Verified: loops over single numbers and automatic differentiation, value and gradient, 1e-12 in float64.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from assay.nn.linear import linear

LOG_SCALE_OF_SOFTMAX = 2.6592600369327779  # log(1 / 0.07)
LOG_SCALE_OF_SIGMOID = 2.3025850929940459  # log 10
BIAS_OF_SIGMOID = -10.0
LARGEST_LOG_SCALE = 4.605170185988092  # log 100

_Judge = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""Logits, own column of each row, pairs to leave out -> sum of the losses and its slope in the logits."""


def unit(features: Tensor) -> Tensor:
    """The features, each divided by its length; zeros stay zeros."""
    return F.normalize(features, dim=-1, eps=1e-12)


def softmax_loss(
    images: Tensor,
    texts: Tensor,
    log_scale: Tensor,
    *,
    groups: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """CLIP's loss: the cross-entropy of images finding texts and texts finding images, half of each.

    Args:
        images, texts: features of length 1, of shape [pairs, dim]; row i of one belongs to row i of the
            other.
        log_scale: logarithm of what similarities are multiplied by; a scalar, or of shape [1].
        groups: an integer for each pair; different pairs of one group are left out.
        chunk: rows of similarities held at a time; None for all, which is faster.

    Raises:
        ValueError: the shapes do not fit.
    """
    _check(images, texts, groups)
    if chunk is not None:
        one = softmax_rows(images, texts, log_scale, row_groups=groups, column_groups=groups, chunk=chunk)
        two = softmax_rows(texts, images, log_scale, row_groups=groups, column_groups=groups, chunk=chunk)
        return (one + two) / 2
    return _BothWays.apply(images, texts, log_scale, groups)  # type: ignore[return-value]


def sigmoid_loss(
    images: Tensor,
    texts: Tensor,
    log_scale: Tensor,
    bias: Tensor,
    *,
    groups: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """SigLIP's loss, Eq. (2): -log sigmoid(y z) summed over the texts and averaged over the images.

    Args:
        images, texts: features of length 1, of shape [pairs, dim]; row i of one belongs to row i of the
            other.
        log_scale: t', the logarithm of what similarities are multiplied by; a scalar, or of shape [1].
        bias: b, added to the logits; a scalar, or of shape [1].
        groups: an integer for each pair; different pairs of one group are left out.
        chunk: rows of similarities held at a time; None for all.

    Raises:
        ValueError: the shapes do not fit.
    """
    _check(images, texts, groups)
    return sigmoid_rows(images, texts, log_scale, bias, row_groups=groups, column_groups=groups, chunk=chunk)


def softmax_rows(
    rows: Tensor,
    columns: Tensor,
    log_scale: Tensor,
    *,
    first: int = 0,
    row_groups: Tensor | None = None,
    column_groups: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """The mean cross-entropy of rows that must find column `first + i` among all columns."""
    bias = torch.zeros_like(log_scale)
    groups = (row_groups, column_groups)
    return _Rows.apply(rows, columns, log_scale, bias, first, groups, chunk, _cross_entropy)


def sigmoid_rows(
    rows: Tensor,
    columns: Tensor,
    log_scale: Tensor,
    bias: Tensor,
    *,
    first: int | None = 0,
    row_groups: Tensor | None = None,
    column_groups: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """The sigmoid loss of rows against columns, of which `first + i` is the match; None for no match."""
    groups = (row_groups, column_groups)
    return _Rows.apply(rows, columns, log_scale, bias, first, groups, chunk, _pair_by_pair)


def _cross_entropy(logits: Tensor, own: Tensor, out: Tensor | None) -> tuple[Tensor, Tensor]:
    if out is not None:
        logits = logits.masked_fill(out, -torch.inf)
    log_sum = logits.logsumexp(dim=1)
    value = (log_sum - logits.gather(1, own[:, None])[:, 0]).sum()
    slope = logits.sub_(log_sum[:, None]).exp_()
    slope[torch.arange(len(own), device=own.device), own] -= 1
    return value, slope


def _pair_by_pair(logits: Tensor, own: Tensor, out: Tensor | None) -> tuple[Tensor, Tensor]:
    # Of a match softplus(-z) = softplus(z) - z: no matrix of labels is needed.
    losses, slope = F.softplus(logits), logits.sigmoid()
    if out is not None:
        losses, slope = losses.masked_fill_(out, 0), slope.masked_fill_(out, 0)
    value = losses.sum()
    if len(own):
        value = value - logits.gather(1, own[:, None]).sum()
        slope[torch.arange(len(own), device=own.device), own] -= 1
    return value, slope


class _Rows(torch.autograd.Function):
    """Value and gradient of a loss over rows, one chunk of rows after another."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        columns: Tensor,
        log_scale: Tensor,
        bias: Tensor,
        first: int | None,
        groups: tuple[Tensor | None, Tensor | None],
        chunk: int | None,
        judge: _Judge,
    ) -> Tensor:
        count = len(rows)
        scale = log_scale.exp()
        total = rows.new_zeros(())
        needed = any(ctx.needs_input_grad)
        of_rows, of_columns = torch.empty_like(rows), torch.zeros_like(columns)
        of_scale, of_bias = torch.zeros_like(log_scale), torch.zeros_like(bias)
        for start in range(0, count, chunk or count):
            part = slice(start, min(start + (chunk or count), count))
            positions = torch.arange(part.start, part.stop, device=rows.device)
            own = positions[:0] if first is None else positions + first
            row_groups = None if groups[0] is None else groups[0][part]
            out = _left_out(own, row_groups, groups[1])
            logits = linear(rows[part], columns).mul_(scale).add_(bias)
            value, slope = judge(logits, own, out)
            total += value
            if needed:
                of_bias += slope.sum()
                of_rows[part] = scale * linear(slope, columns.T)
                of_scale += (rows[part] * of_rows[part]).sum()  # Of e^t x in t: the slope times e^t x.
                of_columns.addmm_(slope.T, rows[part])
        if needed:
            ctx.save_for_backward(of_rows, of_columns.mul_(scale), of_scale, of_bias)
            ctx.count = count
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        share = grads[0] / ctx.count
        return (*(share * slope for slope in ctx.saved_tensors), None, None, None, None)


class _BothWays(torch.autograd.Function):
    """Value and gradient of the softmax loss from one matrix of similarities, in whose memory it ends."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, texts: Tensor, log_scale: Tensor, groups: Tensor | None) -> Tensor:
        scale, count = log_scale.exp(), len(images)
        logits = linear(images, texts).mul_(scale)
        matches = logits.diagonal().clone()
        if (out := _left_out(torch.arange(count, device=images.device), groups, groups)) is not None:
            logits.masked_fill_(out, -torch.inf)
        of_images, of_texts = logits.logsumexp(dim=1), logits.logsumexp(dim=0)
        if any(ctx.needs_input_grad):
            slope = (logits - of_images[:, None]).exp_()
            slope += logits.sub_(of_texts).exp_()
            slope.diagonal().sub_(2)
            back = scale * linear(slope, texts.T)
            of_scale = (images * back).sum().reshape(log_scale.shape)
            ctx.save_for_backward(back, scale * linear(images.T, slope.T).T, of_scale)
        return ((of_images + of_texts) / 2 - matches).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        back = ctx.saved_tensors
        return (*(grads[0] / (2 * len(back[0])) * slope for slope in back), None)


def _left_out(own: Tensor, row_groups: Tensor | None, column_groups: Tensor | None) -> Tensor | None:
    """Where row and column are of one group and not each other's match; None without groups."""
    if row_groups is None or column_groups is None:
        return None
    same = row_groups[:, None] == column_groups[None]
    if len(own):
        same[torch.arange(len(own), device=own.device), own] = False
    return same


def _check(images: Tensor, texts: Tensor, groups: Tensor | None) -> None:
    if images.shape != texts.shape or images.ndim != 2 or not len(images):
        raise ValueError(
            "expected as many texts as images, at least one, with features of one size, got shapes "
            f"{tuple(images.shape)} and {tuple(texts.shape)}"
        )
    if groups is not None and groups.shape != images.shape[:1]:
        raise ValueError(f"expected a group for each of {len(images)} pairs, got {tuple(groups.shape)}")
