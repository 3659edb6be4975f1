"""Features of a large batch with the activations of a small one: for losses that need all pairs at once.

A contrastive loss compares every example with every other, so its batch cannot be cut. Its encoders can:
first all features are computed part by part, without keeping what happens inside the encoder; the loss gives
the gradient with respect to all features; then each part is encoded a second time, now for its gradient, with
the random numbers of the first time.

Reference:
    Gao, Zhang, Han, Callan. "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup".
    RepL4NLP 2021. arXiv:2101.06983v2
    Implements: Section 3.3 (graph-less forward, gradient cache, second forward per sub-batch).
    Departs: the second forward happens inside the backward of the loss, by recomputation of each part, so
        that the training loop stays as it is; the gradients are the same.
    Verified: the whole batch at once, value and gradient, 1e-12 in float64; equal dropout in both passes.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def cached_features(encode: Callable[..., Tensor], *inputs: Tensor, micro_batch: int) -> Tensor:
    """`encode(*inputs)`, of which at most `micro_batch` rows are held in activations at a time.

    Args:
        encode: rows to features; it must treat rows alone, so no batch normalisation over them.
        inputs: tensors with the same number of rows.
        micro_batch: rows at a time.

    Raises:
        ValueError: the inputs have different numbers of rows, or `micro_batch` is not positive.
    """
    rows = {len(tensor) for tensor in inputs}
    if len(rows) != 1 or micro_batch < 1:
        raise ValueError(
            f"expected inputs with one number of rows, got {sorted(rows)}, and a micro-batch of at least 1 "
            f"row, got {micro_batch}"
        )
    if not torch.is_grad_enabled():
        return torch.cat([encode(*part) for part in _parts(inputs, micro_batch)])
    return torch.cat(
        [
            checkpoint(encode, *part, use_reentrant=False, preserve_rng_state=True)  # type: ignore[misc]
            for part in _parts(inputs, micro_batch)
        ]
    )


def _parts(inputs: tuple[Tensor, ...], micro_batch: int) -> list[tuple[Tensor, ...]]:
    return list(zip(*(tensor.split(micro_batch) for tensor in inputs), strict=True))
