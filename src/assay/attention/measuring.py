"""What attention costs here: time, memory beyond its results, and its error against float64."""

import contextlib
import ctypes
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.attention.problem import Problem
from assay.core import worker
from assay.core.run import Run

_LEAST_REPEATS, _MOST_REPEATS = 3, 50
_SECONDS = 1.0  # after which enough was repeated
_JUDGED_ROWS = 64  # of every head, compared with float64
Step = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The output of a method and what it took. As an array it is the output.

    Args:
        out: float32 or float64 [batch, heads, Nq, Dv].
        milliseconds: of every repetition.
        peak_bytes: of memory beyond operands and results.
    """

    out: np.ndarray
    milliseconds: tuple[float, ...]
    peak_bytes: int

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.out, dtype=dtype)


def measured(function: Callable[[Tensor, Tensor, Tensor], Tensor], problem: Problem, run: Run) -> Outcome:
    """Memory of the first step on this problem, then the time of several, until the budget or a second is up.

    Raises:
        ValueError: the function returns something of another shape.
    """
    with threads(run):
        if problem.device == "cpu":  # What is loaded and allocated at a first call is nobody's memory.
            stepping(function, tiny(problem))()
        step = stepping(function, problem)
        peak, results = peak_bytes(step, problem.device)
        out = results[0]
        wanted = (problem.batch, problem.heads, problem.length, problem.dim)
        if tuple(out.shape) != wanted:
            raise ValueError(f"expected an output of shape {wanted}, got {tuple(out.shape)}")
        kept = out.detach().cpu()
        del results, out
        times = list(timed(step, problem.device, run))
    wide = kept.double() if kept.dtype == torch.float64 else kept.float()
    return Outcome(wide.numpy(), tuple(times), peak)


def stepping(function: Callable[[Tensor, Tensor, Tensor], Tensor], problem: Problem) -> Step:
    """One step of the problem: the output, and if it asks for them the gradients of q, k and v."""
    q, k, v, g = problem.operands()
    if not problem.gradients:

        def forward() -> tuple[Tensor, ...]:
            with torch.no_grad():
                return (function(q, k, v),)

        return forward
    q, k, v = (x.requires_grad_() for x in (q, k, v))

    def both() -> tuple[Tensor, ...]:
        out = function(q, k, v)
        return (out.detach(), *torch.autograd.grad(out, (q, k, v), g))

    return both


def timed(step: Step, device: str, run: Run) -> Iterator[float]:
    """Milliseconds of one step after another; on a GPU from its own clock, when it has finished."""
    begun, count = time.perf_counter(), 0
    while count < _MOST_REPEATS:
        if device == "cpu":
            start = time.perf_counter()
            step()
            yield 1e3 * (time.perf_counter() - start)
        else:
            start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start_event.record()
            step()
            end_event.record()
            torch.cuda.synchronize()
            yield start_event.elapsed_time(end_event)
        count += 1
        if run.spent(steps=count) >= 1 or (
            count >= _LEAST_REPEATS and run.budget is None and time.perf_counter() - begun > _SECONDS
        ):
            return


def peak_bytes(step: Step, device: str) -> tuple[int, tuple[Tensor, ...]]:
    """The most memory that a step took beyond its results, and the results.

    On a CPU it is what the process had resident, in which memory that was freed before and not yet given back
    is not counted; on a GPU what PyTorch allocated.
    """
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        results = step()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
    else:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # glibc gives back what is free.
        before = worker.reset_peak_memory()
        results = step()
        peak = worker.peak_memory() - before
    return max(0, peak - sum(x.numel() * x.element_size() for x in results)), results


def error(outcome: Outcome, problem: Problem) -> float:
    """The largest difference from float64 in 64 rows of every head, from first to last, in millionths."""
    rows = np.unique(np.linspace(0, problem.length - 1, _JUDGED_ROWS).round().astype(int))
    return 1e6 * float(np.abs(outcome.out[:, :, rows] - exact_rows(problem, rows)).max())


def exact_rows(problem: Problem, rows: np.ndarray) -> np.ndarray:
    """The output for some queries in float64, by the definition, in NumPy."""
    q, k, v, _ = (x.cpu().double().numpy() for x in problem.operands())
    group = problem.heads // problem.num_kv_heads
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.einsum("bhid,bhjd->bhij", q[:, :, rows], k) / math.sqrt(problem.dim)
    apart = np.arange(problem.num_keys) - rows[:, None] - (problem.num_keys - problem.length)
    hidden = (apart > 0) & problem.causal | (apart < -problem.left) & (problem.left >= 0)
    scores[..., hidden] = -np.inf
    weights = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), np.finfo(float).min))
    return np.einsum("bhij,bhjd->bhid", weights, v) / np.maximum(weights.sum(-1), 1e-300)[..., None]


def median_milliseconds(outcome: Outcome) -> float:
    """The middle one of the repetitions."""
    return statistics.median(outcome.milliseconds)


@contextlib.contextmanager
def threads(run: Run) -> Iterator[None]:
    """PyTorch computes with the run's number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(run.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tiny(problem: Problem) -> Problem:
    """The same with a few queries and keys."""
    return replace(problem, batch=1, length=min(problem.length, 16), keys=min(problem.num_keys, 16))
