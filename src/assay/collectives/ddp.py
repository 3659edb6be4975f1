"""A communication hook for torch's DistributedDataParallel: its buckets, averaged by the algorithms here."""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import GradBucket

from assay.collectives.algorithm import Algorithm
from assay.collectives.operations import DEFAULT, Work, all_reduce

Hook = Callable[[object, GradBucket], torch.futures.Future[Tensor]]


def ddp_hook(
    algorithm: Algorithm = DEFAULT,
    *,
    group: dist.ProcessGroup | None = None,
    timeout: float | None = None,
) -> Hook:
    """The hook for `model.register_comm_hook(None, ddp_hook())`.

    A bucket is on its way while the backward pass computes the next. Several do not overtake each other: all
    ranks begin them in the same order.

    Args:
        algorithm: of the all-reduce.
        group: the model's process group; None for the default one.
        timeout: seconds after which an error names the rank that does not answer.
    """

    def hook(state: object, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        buffer = bucket.buffer()
        future: torch.futures.Future[Tensor] = torch.futures.Future()

        def arrived(work: Work) -> None:
            try:
                work.wait()
            except Exception as error:
                future.set_exception(error)  # type: ignore[arg-type]
            else:
                future.set_result(buffer)

        work = all_reduce(buffer, "mean", group, True, algorithm=algorithm, timeout=timeout)
        assert work is not None
        work.then(arrived)
        return future

    return hook
