"""Many ranks train one model: weights copied or divided, gradients averaged, in place.

Copied (data parallel): every rank holds all weights and sees its share of each batch; gradients are summed
in buckets while the backward pass is still going on, and divided by the number of ranks. Divided (FSDP2):
torch's `fully_shard` spreads weights, gradients and optimizer states over the ranks.

Reference:
    Li et al. "PyTorch Distributed: Experiences on Accelerating Data Parallel Training". VLDB 2020.
    arXiv:2006.15704v1, Section 3.2 (buckets, overlap); for FSDP2 see `assay.train.sharding`.
    Verified: one rank with the whole batch, losses and gradients, 1e-10 in float64; torch's DDP.
"""

from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn

from assay.core.run import Run
from assay.train.ema import Ema
from assay.train.seeding import reseed
from assay.train.sharding import Sharding

_BUCKET = 25 << 20  # bytes, as in DDP


class Ranks:
    """What a training does differently because others train the same model; nothing if there are none.

    Args:
        model: changed in place; all ranks get rank 0's weights.
        optimizer: of the model's parameters; if they are divided it is given the parts.
        run: rank, world, device, sharded.

    Raises:
        RuntimeError: weights are to be divided, but the optimizer has a state already.
        ValueError: the process group has another number of ranks.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, run: Run) -> None:
        self.world, self._device = run.world, torch.device(run.device)
        self._model = model
        self._sharding: Sharding | None = None
        self._average: _Average | None = None
        if run.world == 1:
            return
        _join(run)
        _broadcast([*model.parameters(), *model.buffers()])
        reseed(run, "rank", run.rank)  # From the same weights on, every rank draws for itself.
        if run.sharded:
            self._sharding = Sharding(model, optimizer, run)
            copied = self._sharding.copied
        else:
            copied = [p for p in model.parameters() if p.requires_grad]
        self._average = _Average(copied)

    def last_of_step(self, last: bool) -> None:
        """Says before a backward pass whether it is the step's last, after which gradients are averaged."""
        if self._average is not None:
            self._average.active = last
        if self._sharding is not None:
            self._model.set_requires_gradient_sync(last)  # type: ignore[operator]

    def finish(self) -> None:
        """Waits until all gradients are averaged; copies rank 0's buffers, such as running means."""
        if self._average is not None:
            self._average.finish()
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
        if self._average is not None:
            self._average.close()


class _Average:
    """Sums gradients over the ranks, bucket by bucket, as soon as all of a bucket are there.

    Buckets start in the same order on every rank, whatever the order in which their gradients come; one whose
    parameters a rank did not use is completed with zeros at the end.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.active = True
        self._buckets: list[list[nn.Parameter]] = []
        sizes: dict[torch.dtype, int] = {}
        newest: dict[torch.dtype, list[nn.Parameter]] = {}
        for parameter in reversed(list(parameters)):  # Roughly the order in which gradients come.
            kind, size = parameter.dtype, parameter.numel() * parameter.element_size()
            if kind not in newest or sizes[kind] + size > _BUCKET:
                newest[kind], sizes[kind] = [], 0
                self._buckets.append(newest[kind])
            newest[kind].append(parameter)
            sizes[kind] += size
        self._bucket_of = {p: i for i, bucket in enumerate(self._buckets) for p in bucket}
        self._hooks = [p.register_post_accumulate_grad_hook(self._ready) for p in self._bucket_of]
        self._missing = [len(bucket) for bucket in self._buckets]
        self._started: list[tuple[Tensor, dist.Work | None]] = []

    def _ready(self, parameter: Tensor) -> None:
        if not self.active:
            return
        self._missing[self._bucket_of[parameter]] -= 1  # type: ignore[index]
        while len(self._started) < len(self._buckets) and self._missing[len(self._started)] == 0:
            self._start()

    def _start(self) -> None:
        bucket = self._buckets[len(self._started)]
        gradients = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in bucket]
        used = torch.tensor([float(p.grad is not None) for p in bucket]).to(gradients[0])
        flat = torch.cat([*gradients, used])
        self._started.append((flat, dist.all_reduce(flat, async_op=True)))

    def finish(self) -> None:
        while len(self._started) < len(self._buckets):
            self._start()
        for bucket, (flat, work) in zip(self._buckets, self._started, strict=True):
            if work is not None:
                work.wait()
            flat /= dist.get_world_size()
            *means, used = flat.split([*(p.numel() for p in bucket), len(bucket)])
            for parameter, mean, share in zip(bucket, means, used.tolist(), strict=True):
                if share == 0:
                    continue  # No rank has used it: as with one rank, it has no gradient.
                if parameter.grad is None:
                    parameter.grad = mean.reshape(parameter.shape).clone()
                else:
                    parameter.grad.copy_(mean.reshape(parameter.shape))
        self._started = []
        self._missing = [len(bucket) for bucket in self._buckets]

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()


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
