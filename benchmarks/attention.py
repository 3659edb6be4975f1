"""FlashAttention on a CPU beside torch's own, and the Triton kernels on a GPU; ratios come last.

    python benchmarks/attention.py [--gradients] [--longest 8192]

On a CPU: seconds of CPU time of one thread, median [least, largest] of several turns, and megabytes beyond
operands and results. The contestants take turns, so that whatever else the machine does meets all of them,
and ratios are of the same turn, with quartiles.
With a GPU: TFLOP/s of every block size of the Triton kernels and of torch's backends, by the GPU's own clock,
beside the ceiling of an H100 whose products and exponentials do not overlap.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from assay.attention import attention
from assay.attention.flops import ceiling
from assay.attention.measuring import peak_bytes, stepping, threads, tiny
from assay.attention.problem import Problem
from assay.core.run import Run

_LENGTHS = (512, 1024, 2048, 4096, 8192)
_OURS = ("flash2", "flash1", "online")  # Naive attention would leave the allocator in another state.
_TURNS = 9
_TARGET = 1.3  # Of the time of torch's own.
_BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
console = Console(width=120)
Function = Callable[[Tensor, Tensor, Tensor], Tensor]


def by(method: str, *, causal: bool) -> Function:
    """Attention by a method."""
    return lambda q, k, v: attention(q, k, v, causal=causal, method=method)  # type: ignore[arg-type]


def in_turns(problem: Problem, functions: Mapping[str, Function]) -> dict[str, list[float]]:
    """CPU seconds of a step, turn by turn, after one turn that does not count."""
    steps = {name: stepping(function, problem) for name, function in functions.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(_TURNS + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn:
                times[name].append(time.process_time() - start)
    return times


def on_a_cpu(causal: bool, gradients: bool, longest: int) -> dict[str, list[float]]:
    """The table of one kind of attention, 4 heads of 64 in float32; the first of ours to torch by case."""
    words = f"{'causal' if causal else 'full'}, forward{' and backward' if gradients else ''}"
    sheet = Table(title=f"one thread, 1 x 4 x length x 64, float32, {words}", title_justify="left")
    for heading in ("length", "method", "CPU s", "MB", "time / sdpa"):
        sheet.add_column(heading, justify="left" if heading == "method" else "right")
    ratios: dict[str, list[float]] = {}
    for length in _LENGTHS:
        if length > longest:
            break
        problem = Problem(batch=1, heads=4, length=length, dim=64, causal=causal, gradients=gradients)
        functions = {name: by(name, causal=causal) for name in ("sdpa", *_OURS)}
        times = in_turns(problem, functions)
        for name, found in times.items():
            paired = [a / b for a, b in zip(found, times["sdpa"], strict=True)]
            quartiles = statistics.quantiles(paired, n=4)
            if name == _OURS[0]:
                ratios[f"{words}, {length}"] = quartiles
            stepping(functions[name], tiny(problem))()
            peak, _ = peak_bytes(stepping(functions[name], problem), "cpu")
            median = statistics.median(found)
            spread = f"{median:.4f} [{min(found):.4f}, {max(found):.4f}]"
            shown = str(length) if name == "sdpa" else ""
            ratio = "{1:.2f} [{0:.2f}, {2:.2f}]".format(*quartiles)
            sheet.add_row(shown, name, spread, f"{peak / 1e6:.1f}", ratio)
        sheet.add_section()
    console.print(sheet)
    return ratios


def milliseconds(step: Callable[[], object]) -> float:
    """Median time of a step by the GPU's clock."""
    from triton.testing import do_bench

    return float(do_bench(step, return_mode="median"))


def on_a_gpu(gradients: bool) -> None:
    """16k tokens a batch, heads times width 2,048, bfloat16: the table of FlashAttention 2's paper."""
    from assay.attention import triton_launch

    sheet = Table(title=f"TFLOP/s, {torch.cuda.get_device_name()}, bfloat16", title_justify="left")
    for heading in ("D", "causal", "length", "triton", "blocks", *_BACKENDS, "ceiling"):
        sheet.add_column(heading, justify="right")
    default = triton_launch.config
    for dim in (64, 128):
        for causal in (False, True):
            for length in (512, 1024, 2048, 4096, 8192, 16384):
                shape = {"batch": 16384 // length, "heads": 2048 // dim, "length": length, "dim": dim}
                problem = Problem(**shape, causal=causal, gradients=gradients, dtype="bf16", device="cuda")
                best = (float("inf"), "")
                for config in triton_launch.CONFIGS:
                    triton_launch.config = lambda dim, dtype, config=config: config
                    try:
                        took = milliseconds(stepping(by("triton", causal=causal), problem))
                        best = min(best, (took, f"{config.rows}x{config.columns}x{config.warps}"))
                    except (
                        Exception
                    ) as error:  # A block size may not fit on chip, which Triton says as it will.
                        console.print(f"[dim]{config}: {type(error).__name__}[/]")
                triton_launch.config = default
                rates = []
                for backend in _BACKENDS.values():
                    try:
                        with sdpa_kernel(backend):
                            took = milliseconds(stepping(by("sdpa", causal=causal), problem))
                        rates.append(f"{problem.flops / took / 1e9:.0f}")
                    except (RuntimeError, torch.OutOfMemoryError):
                        rates.append("-")
                ours = f"{problem.flops / best[0] / 1e9:.0f}"
                row = (
                    str(dim),
                    str(causal),
                    str(length),
                    ours,
                    best[1],
                    *rates,
                    f"{ceiling(dim) / 1e12:.0f}",
                )
                sheet.add_row(*row)
    console.print(sheet)


def main() -> None:
    """All tables that this machine can fill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gradients", action="store_true", help="time the backward pass too")
    parser.add_argument("--longest", type=int, default=_LENGTHS[-1], help="length to stop at, on a CPU")
    given = parser.parse_args()
    if torch.cuda.is_available():
        on_a_gpu(given.gradients)
        return
    ratios: dict[str, list[float]] = {}
    with threads(Run()):
        for causal in (False, True):
            ratios |= on_a_cpu(causal, given.gradients, given.longest)
    console.print(f"target: {_OURS[0]} at most {_TARGET} of the time of sdpa")
    for words, (low, middle, high) in ratios.items():
        console.print(
            f"{words}: {middle:.2f} [{low:.2f}, {high:.2f}]  {'met' if middle <= _TARGET else 'missed'}"
        )


if __name__ == "__main__":
    main()
