"""The arithmetic of a run: which products are computed in fewer bits, and whether gradients are scaled."""

import contextlib
from typing import Any

import torch

from assay.core.run import Run

_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(run: Run) -> contextlib.AbstractContextManager[Any]:
    """A context in which operations that bear it compute in the type that `run.precision` names.

    Raises:
        ValueError: the precision is none of fp32, bf16 and fp16.
    """
    if run.precision not in _TYPES:
        raise ValueError(f"expected a precision of {', '.join(_TYPES)}, got {run.precision!r}")
    dtype = _TYPES[run.precision]
    if dtype is None:
        return contextlib.nullcontext()
    # Casts of weights are not cached: the cache would keep a cast made without a graph for one that needs it.
    return torch.autocast(torch.device(run.device).type, dtype, cache_enabled=False)
