"""Many ranks train one model: weights copied or divided, gradients averaged, in place.

Copied (data parallel): every rank holds all weights and sees its share of each batch; gradients are summed
in buckets while the backward pass is still going on, and divided by the number of ranks. Divided (FSDP2):
torch's `fully_shard` spreads weights, gradients and optimizer states over the ranks.

Reference:
    Li et al. "PyTorch Distributed: Experiences on Accelerating Data Parallel Training". VLDB 2020.
    arXiv:2006.15704v1, Section 3.2 (buckets, overlap); for FSDP2 see `assay.train.sharding`.
    Verified: one rank with the whole batch, losses and gradients, 1e-10 in float64; torch's DDP.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from assay.collectives.bucketing import GradientBuckets
from assay.core.run import Run
from assay.train.ema import Ema
from assay.train.seeding import reseed
from assay.train.sharding import Sharding

Launch = Callable[[Tensor], Any]
"""Begins the sum of a tensor over the ranks, in place, and gives a handle with `wait()`."""


class Ranks:
    """What a training does differently because others train the same model; nothing if there are none.

    Args:
        model: changed in place; all ranks get rank 0's weights.
        optimizer: of the model's parameters; if they are divided it is given the parts.
        run: rank, world, device, sharded.
        launch: of a bucket of gradients: None for torch's own, or for instance
            `functools.partial(assay.collectives.operations.all_reduce, async_op=True)`.

    Raises:
        RuntimeError: weights are to be divided, but the optimizer has a state already.
        ValueError: the process group has another number of ranks.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        run: Run,
        launch: Launch | None = None,
    ) -> None:
        self.world, self._device = run.world, torch.device(run.device)
        self._model = model
        self._sharding: Sharding | None = None
        self._buckets: GradientBuckets | None = None
        if run.world == 1:
            return
        _join(run)
        _broadcast([*model.parameters(), *model.buffers()])
        reseed(run, "rank", run.rank)  # From the same weights on, every rank draws for itself.
        if run.sharded:
            self._sharding = Sharding(model, optimizer, run)
        copied = {*(model.parameters() if self._sharding is None else self._sharding.copied)}
        self._buckets = GradientBuckets(
            ((name, p) for name, p in model.named_parameters() if p in copied),
            launch=launch or functools.partial(dist.all_reduce, async_op=True),
            find_unused=True,
        )

    def last_of_step(self, last: bool) -> None:
        """Says before a backward pass whether it is the step's last, after which gradients are averaged."""
        if self._buckets is not None:
            self._buckets.active = last
        if self._sharding is not None:
            self._model.set_requires_gradient_sync(last)  # type: ignore[operator]

    def finish(self) -> None:
        """Waits until all gradients are averaged; copies rank 0's buffers, such as running means."""
        if self._buckets is not None:
            self._buckets.wait_all()
            _broadcast(self._model.buffers())

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean of every scalar over the ranks."""
        if self.world == 1:
            return dict(values)
        stacked = torch.stack([value.to(self._device) for value in values.values()])
        dist.all_reduce(stacked)
        return dict(zip(values, (stacked / self.world).unbind(), strict=True))

    def make_whole(self, ema: Ema | None) -> None:
        """Gives every rank the whole model, and the whole running mean; every rank must ask."""
        if self._sharding is not None:
            self._sharding.undo(ema)

    def close(self) -> None:
        """Takes the hooks off the model."""
        if self._buckets is not None:
            self._buckets.remove()


def _join(run: Run) -> None:
    if not dist.is_initialized():
        backend = "gloo" if run.device == "cpu" else "nccl"
        if backend == "nccl":
            torch.cuda.set_device(run.device)
        dist.init_process_group(backend, rank=run.rank, world_size=run.world)
    if dist.get_world_size() != run.world:
        raise ValueError(f"expected a process group of {run.world} ranks, got {dist.get_world_size()}")


def _broadcast(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        dist.broadcast(tensor.detach(), 0)
