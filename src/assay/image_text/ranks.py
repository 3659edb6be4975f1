"""The contrastive losses over several ranks: every rank holds some pairs and sees the features of all.

A rank computes the loss of its own rows against all columns, and gradients flow back through the exchange of
features. The mean of the ranks' losses is the loss of all pairs in one place, and the mean of their gradients
(which data-parallel training takes) is its gradient.

Reference:
    Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.
        arXiv:2103.00020v1
    Zhai, Mustafa, Kolesnikov, Beyer. "Sigmoid Loss for Language Image Pre-Training". ICCV 2023.
        arXiv:2303.15343v4 (Section 3.3: texts go from device to device)
    Verified: one rank against two and three, loss and gradients of towers, scale and bias, 1e-10 (float64).
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from assay.image_text.contrast import sigmoid_loss, sigmoid_rows, softmax_loss, softmax_rows


def softmax_loss_of_ranks(
    images: Tensor,
    texts: Tensor,
    log_scale: Tensor,
    *,
    groups: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """This rank's part of CLIP's loss over the pairs of all ranks; without ranks, the loss of these pairs.

    Args:
        images, texts, log_scale, groups, chunk: as of `softmax_loss`, for the pairs of this rank.

    Raises:
        ValueError: the ranks hold different numbers of pairs.
    """
    if world() == 1:
        return softmax_loss(images, texts, log_scale, groups=groups, chunk=chunk)
    check_even(len(images), images.device)
    first = dist.get_rank() * len(images)
    everyone = None if groups is None else gathered(groups)
    of_images = softmax_rows(
        images,
        gathered(texts),
        log_scale,
        first=first,
        row_groups=groups,
        column_groups=everyone,
        chunk=chunk,
    )
    of_texts = softmax_rows(
        texts,
        gathered(images),
        log_scale,
        first=first,
        row_groups=groups,
        column_groups=everyone,
        chunk=chunk,
    )
    return (of_images + of_texts) / 2


def sigmoid_loss_of_ranks(
    images: Tensor,
    texts: Tensor,
    log_scale: Tensor,
    bias: Tensor,
    *,
    groups: Tensor | None = None,
    chunk: int | None = None,
    ring: bool = False,
) -> Tensor:
    """This rank's part of SigLIP's loss over the pairs of all ranks; without ranks, the loss of these pairs.

    Args:
        images, texts, log_scale, bias, groups, chunk: as of `sigmoid_loss`, for the pairs of this rank.
        ring: texts go from rank to rank, so that no rank ever holds all; else all are gathered at once, which
            is faster.

    Raises:
        ValueError: the ranks hold different numbers of pairs.
    """
    if world() == 1:
        return sigmoid_loss(images, texts, log_scale, bias, groups=groups, chunk=chunk)
    check_even(len(images), images.device)
    if not ring:
        everyone = None if groups is None else gathered(groups)
        first = dist.get_rank() * len(images)
        return sigmoid_rows(
            images,
            gathered(texts),
            log_scale,
            bias,
            first=first,
            row_groups=groups,
            column_groups=everyone,
            chunk=chunk,
        )
    total = sigmoid_loss(images, texts, log_scale, bias, groups=groups, chunk=chunk)
    theirs = groups
    for _ in range(world() - 1):
        texts = _Rotated.apply(texts)  # type: ignore[assignment]
        theirs = None if theirs is None else _passed_on(theirs, 1)
        total = total + sigmoid_rows(
            images,
            texts,
            log_scale,
            bias,
            first=None,  # Blocks of other ranks hold no match.
            row_groups=groups,
            column_groups=theirs,
            chunk=chunk,
        )
    return total


def world() -> int:
    """How many ranks there are; 1 when nothing was set up."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gathered(x: Tensor) -> Tensor:
    """The rows of all ranks in the order of the ranks; gradients go back to the rank each row came from."""
    return x if world() == 1 else _Gathered.apply(x)  # type: ignore[return-value]


def check_even(count: int, device: torch.device) -> None:
    """Raises a ValueError if the ranks hold different numbers of pairs."""
    counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world())]
    dist.all_gather(counts, torch.tensor([count], device=device))
    if len({int(c) for c in counts}) > 1:
        found = ", ".join(str(int(c)) for c in counts)
        raise ValueError(f"expected as many pairs on every rank, got {found}: drop the last, smaller batch")


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # A reduce-scatter: the sum over ranks, of which this rank keeps its own rows.
        everyone = grads[0].contiguous().clone()
        dist.all_reduce(everyone)
        return everyone.chunk(world())[dist.get_rank()]


class _Rotated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _passed_on(x, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _passed_on(grads[0], -1)


def _passed_on(x: Tensor, by: int) -> Tensor:
    """What the rank `by` places before this one holds; this rank's `x` goes to the rank `by` places after."""
    rank, size = dist.get_rank(), world()
    received = torch.empty_like(x, memory_format=torch.contiguous_format)
    operations = [
        dist.P2POp(dist.isend, x.contiguous(), (rank + by) % size),
        dist.P2POp(dist.irecv, received, (rank - by) % size),
    ]
    for request in dist.batch_isend_irecv(operations):
        request.wait()
    return received
