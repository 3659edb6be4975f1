"""The measurements behind the claims: memory, speed and exactness, once for each seed."""

import contextlib
import ctypes
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from assay.attention import flash1, flash2
from assay.attention.entry import Method, attention
from assay.attention.fp8 import BLOCK, fp8_attention
from assay.attention.measuring import peak_bytes, stepping, threads, tiny
from assay.attention.naive import naive_attention
from assay.attention.online import online_rows
from assay.attention.operands import Operands, Sizes
from assay.attention.pattern import Pattern, blocks
from assay.attention.problem import Problem
from assay.core.run import Run, Scale

_TURNS = 5
_MMAP_THRESHOLD = -3  # the number of glibc's option


def memory_slopes(seed: int, scale: Scale) -> Mapping[str, float]:
    """The slope of memory against length on logarithmic scales, for attention with gradients."""
    with contextlib.suppress(OSError, AttributeError):  # glibc: larger pieces go back at once.
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 17)
    lengths = (64, 128) if scale == "smoke" else (2048, 8192)
    found = {}
    with threads(Run()):
        for method in ("naive", "flash1", "flash2"):
            peaks = []
            for length in lengths:
                problem = Problem(batch=1, heads=1, length=length, dim=64, gradients=True, seed=seed)
                function = _attention(method)
                stepping(function, tiny(problem))()
                peaks.append(max(peak_bytes(stepping(function, problem), "cpu")[0], 1))
            found[method] = math.log(peaks[1] / peaks[0]) / math.log(lengths[1] / lengths[0])
    return found | {"minus flash2": -found["flash2"]}


def speed_against_naive(seed: int, scale: Scale) -> Mapping[str, float]:
    """How many times longer naive attention takes than FlashAttention 2."""
    long = 256 if scale == "smoke" else 2048
    found = {}
    for name, length in (("128", 128), ("2048", long)):
        problem = Problem(batch=1, heads=4, length=length, dim=64, causal=True, gradients=True, seed=seed)
        seconds = _in_turns(problem, ("naive", "flash2"))
        found[f"naive / flash2 at {name}"] = seconds["naive"] / seconds["flash2"]
    return found


def second_against_first(seed: int, scale: Scale) -> Mapping[str, float]:
    """How many times longer FlashAttention 1 takes than FlashAttention 2."""
    length = 128 if scale == "smoke" else 2048
    problem = Problem(batch=1, heads=4, length=length, dim=64, causal=True, seed=seed)
    seconds = _in_turns(problem, ("flash1", "flash2"))
    return {"flash1 / flash2": seconds["flash1"] / seconds["flash2"]}


def divisions(seed: int, scale: Scale) -> Mapping[str, float]:
    """Divisions of outputs of the two schedules, counted."""
    length, columns = 1024, 128
    q, k, v, _ = Problem(batch=1, heads=1, length=length, dim=16, seed=seed).operands()
    counts = []
    for schedule in (flash1, flash2):
        with _Counting() as count:
            out, lse = torch.empty_like(q).flatten(0, 1), q.new_empty(1, length)
            schedule.forward(Operands(q, k, v, Pattern(scale=0.25)), out, lse, Sizes(256, columns))
        counts.append(count.divided)
    return {"flash1 / flash2": counts[0] / counts[1], "blocks of keys": length / columns}


def causal_blocks(seed: int, scale: Scale) -> Mapping[str, float]:
    """Blocks visited without and with a causal mask."""
    n, size = 4096, 128

    def visited(window: tuple[int, int]) -> int:
        pattern = Pattern(scale=1.0, window=window)
        return sum(len(list(pattern.by_rows(rows, n, n, size))) for rows in blocks(range(n), size))

    return {"all / causal": visited((-1, -1)) / visited((-1, 0))}


def online_rows_memory(seed: int, scale: Scale) -> Mapping[str, float]:
    """How the largest tensor grows with the stream, and the error against a softmax of everything."""
    rows, size, dim = 16, 64, 8
    generator = torch.Generator().manual_seed(seed)
    largest, error = [], 0.0
    for count in (4, 256):
        scores = torch.randn(1, rows, count * size, generator=generator, dtype=torch.float64)
        values = torch.randn(1, count * size, dim, generator=generator, dtype=torch.float64)
        wanted = torch.softmax(scores, -1) @ values

        def stream(scores: Tensor = scores, values: Tensor = values) -> Iterator[tuple[Tensor, Tensor]]:
            for part in blocks(range(scores.shape[-1]), size):
                yield scores[..., part.start : part.stop], values[:, part.start : part.stop]

        parts = [(s.clone(), v.clone()) for s, v in stream()]
        with _Counting() as count_of:
            out, _ = online_rows(parts)
        largest.append(count_of.largest)
        error = max(error, float((out - wanted).abs().max()))
    return {"minus growth": -largest[1] / largest[0], "minus error": -error}


def half_precision_error(seed: int, scale: Scale) -> Mapping[str, float]:
    """Root mean square errors in float16 of attention written out, and of FlashAttention 2, as a ratio."""
    q, k, v, pattern, exact = _outliers(seed, scale)
    plain = _error(naive_attention(q, k, v, pattern, upcast=False)[0], exact)
    ours = _error(attention(q, k, v, method="flash2"), exact)
    return {"naive / flash2": plain / ours, "naive": plain, "flash2": ours}


def fp8_error(seed: int, scale: Scale) -> Mapping[str, float]:
    """Root mean square errors in 8 bits without scales of blocks, without rotation, and without both.

    As ratios to the error with both; that error is beside them.
    """
    q, k, v, pattern, exact = _outliers(seed, scale)

    def error(block: int | None, rotate: bool) -> float:
        return _error(fp8_attention(q, k, v, pattern, block=block, rotate=rotate, seed=seed)[0], exact)

    both = error(BLOCK, True)
    return {
        "neither / both": error(None, False) / both,
        "no rotation / both": error(BLOCK, False) / both,
        "no blocks / both": error(None, True) / both,
        "both": both,
    }


def _outliers(seed: int, scale: Scale) -> tuple[Tensor, Tensor, Tensor, Pattern, Tensor]:
    """q, k and v in float16 as FlashAttention 3 is tried on them, the pattern, and the output in float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 1, 128 if scale == "smoke" else 1024, 64)

    def drawn() -> Tensor:
        normal, outlier = (torch.randn(shape, generator=generator) for _ in range(2))
        return (normal + 10 * outlier * (torch.rand(shape, generator=generator) < 0.001)).half()

    q, k, v = drawn(), drawn(), drawn()
    pattern = Pattern(scale=0.125)
    return q, k, v, pattern, naive_attention(q.double(), k.double(), v.double(), pattern)[0]


def _error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).square().mean().sqrt())


class _Counting(TorchDispatchMode):
    """Counts what is divided, and the elements of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.divided = self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.largest = max(self.largest, out.numel())
            if func.overloadpacket is torch.ops.aten.div:
                self.divided += out.numel()
        return out


def _attention(method: Method, *, causal: bool = False) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda q, k, v: attention(q, k, v, causal=causal, method=method)


def _in_turns(problem: Problem, methods: tuple[Method, ...]) -> dict[str, float]:
    """Median CPU seconds of a step, the methods taking turns after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in methods}
    causal = problem.causal
    with threads(Run()):
        steps = {name: stepping(_attention(name, causal=causal), problem) for name in methods}
        for turn in range(_TURNS + 1):
            for name, step in steps.items():
                start = time.process_time()
                step()
                if turn:
                    times[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in times.items()}
