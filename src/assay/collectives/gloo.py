"""torch's own all-reduce: gloo's, in C++, which is what the others are measured against.

Reference:
    PyTorch's `torch.distributed.all_reduce` with the backend gloo: a ring in segments, reduced with plain
    loops (gloo/allreduce.cc).
"""

from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch import Tensor

from assay.collectives.measurement import Measurement, measure
from assay.collectives.problem import Problem
from assay.core.run import Run


@dataclass(frozen=True, kw_only=True)
class Gloo:
    """torch.distributed.all_reduce."""

    def sum(self, tensor: Tensor) -> None:
        """Sums a tensor over all ranks, in place."""
        dist.all_reduce(tensor)

    def launch(self, tensor: Tensor) -> Any:
        """Begins such a sum; a handle to wait for."""
        return dist.all_reduce(tensor, async_op=True)

    def fit(self, data: Problem, *, run: Run | None = None) -> Measurement:
        """The time, the bytes and the result of an all-reduce."""
        run = run or Run()
        return measure(self, data, run)
