"""The loss scaler beside torch's, the emulation beside torch's casts, and training steps in every precision.

Arms take turns on the same tensors; the numbers are medians with their range. On the CPU seconds are CPU
seconds, on a GPU they are wall clock after everything is done, and the peak of its memory is shown. fp16
products on a CPU are mostly slower than float32: they are there to be tested, not to save time.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from assay.core.run import Run
from assay.precision.arithmetic import full_float32
from assay.precision.formats import BF16, FP16, TF32, emulated
from assay.precision.scaler import LossScaler
from assay.train.loop import train
from assay.train.optimizers import adamw

console = Console(width=110)

_SCALER = 1.0  # Of the time of torch's scaler.


def turns(arms: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, list[float]]:
    """The seconds of each arm, turn by turn, in an order that changes."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    clock = time.process_time if device == "cpu" else time.perf_counter
    for turn in range(repeats + 1):
        for name in sorted(arms, reverse=bool(turn % 2)):
            start = clock()
            arms[name]()
            if device != "cpu":
                torch.cuda.synchronize()
            if turn:  # The first is for warming up.
                taken[name].append(clock() - start)
    return taken


def spread(seconds: list[float]) -> str:
    """Median and range in milliseconds."""
    shown = [1e3 * value for value in (statistics.median(seconds), min(seconds), max(seconds))]
    return "{:.3f} [{:.3f}, {:.3f}]".format(*shown)


def scalers(device: str, repeats: int) -> float:
    """The ratio of our scaler's step to torch's, over 60 tensors."""
    arms: dict[str, Callable[[], object]] = {}
    for name in ("assay", "torch"):
        parameters = [nn.Parameter(torch.zeros(256, 64, device=device)) for _ in range(60)]
        optimizer = torch.optim.SGD(parameters, lr=0.0)
        scaler = LossScaler(device) if name == "assay" else torch.amp.GradScaler(device)  # type: ignore[attr-defined]
        scaler.scale(torch.zeros((), device=device))

        def step(scaler=scaler, parameters=parameters, optimizer=optimizer) -> None:
            for parameter in parameters:
                parameter.grad = torch.ones_like(parameter)
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()

        arms[name] = step
    seconds = turns(arms, repeats, device)
    ratio = statistics.median(seconds["assay"]) / statistics.median(seconds["torch"])
    console.print(
        f"scaler, ms: assay {spread(seconds['assay'])}, torch {spread(seconds['torch'])}: {ratio:.3f}"
    )
    return ratio


def emulation(device: str, repeats: int) -> None:
    """What exact rounding costs beside a cast there and back."""
    values = torch.randn(1 << 20, device=device)
    arms: dict[str, Callable[[], object]] = {
        "fp16 emulated": lambda: emulated(values, FP16),
        "fp16 cast": lambda: values.half().float(),
        "bf16 emulated": lambda: emulated(values, BF16),
        "bf16 cast": lambda: values.bfloat16().float(),
        "tf32 emulated": lambda: emulated(values, TF32),
    }
    table = Table("rounding of a million values", "ms")
    for name, found in turns(arms, repeats, device).items():
        table.add_row(name, spread(found))
    console.print(table)


def steps(device: str, width: int, batch: int, repeats: int) -> dict[str, float]:
    """Steps of the training loop in every precision; the medians in seconds."""
    names = ["fp32", "bf16", "fp16"] if device == "cpu" else ["fp32", "tf32", "bf16", "fp16"]
    x, y = torch.randn(batch, width, device=device), torch.randint(10, (batch,), device=device)
    arms: dict[str, Callable[[], object]] = {}
    peaks: dict[str, int] = {}
    for name in names:
        layers = [layer for _ in range(6) for layer in (nn.Linear(width, width), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Linear(width, 10)).to(device)
        optimizer = adamw(model, 1e-4)
        run = Run(device=device, precision="fp32" if name == "tf32" else name)

        def some(name=name, model=model, optimizer=optimizer, run=run) -> None:
            if device != "cpu":
                torch.cuda.reset_peak_memory_stats()
            with full_float32(torch.device(device), tf32=name == "tf32"):
                train(
                    lambda a, b: {"loss": nn.functional.cross_entropy(model(a).float(), b)},
                    [(x, y)],
                    optimizer,
                    run,
                    model=model,
                    steps=10,
                )
            peaks[name] = torch.cuda.max_memory_allocated() if device != "cpu" else 0

        arms[name] = some
    seconds = turns(arms, repeats, device)
    base = statistics.median(seconds["fp32"])
    table = Table(
        "10 steps", "ms", "/ fp32", "peak", title=f"7 layers of width {width}, batch {batch}, {device}"
    )
    for name in names:
        ratio = statistics.median(seconds[name]) / base
        peak = f"{peaks[name] / 1e9:.2f} GB" if peaks[name] else ""
        table.add_row(name, spread(seconds[name]), f"{ratio:.3f}", peak)
    console.print(table)
    return {name: statistics.median(found) for name, found in seconds.items()}


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ratio = scalers(given.device, 20 * given.repeats)
    emulation(given.device, given.repeats)
    large = given.device != "cpu"
    steps(given.device, 4096 if large else 256, 8192 if large else 256, given.repeats)
    verdict = "[green]met[/]" if ratio <= _SCALER else "[red]missed[/]"
    console.print(f"Target: a step of the scaler at most {_SCALER} of torch's: {ratio:.3f} {verdict}")


if __name__ == "__main__":
    main()
