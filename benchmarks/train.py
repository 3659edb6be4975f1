"""The training loop beside a plain one, Muon beside torch's, and what cached features save and cost.

All arms work on the same tensors in turns, on one thread; the numbers are CPU seconds, medians with their
range. Ratios with a target come last.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from assay.core.run import Run
from assay.train.batches import Batches
from assay.train.gradcache import cached_features
from assay.train.loop import train
from assay.train.muon import Muon
from assay.train.optimizers import adamw
from assay.train.schedule import cosine

console = Console(width=110)


class Block(nn.Module):
    """A residual block of two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x + f(x)."""
        return x + self.down(torch.relu(self.up(self.norm(x))))


def network(width: int, depth: int) -> nn.Sequential:
    """Residual blocks and a head."""
    return nn.Sequential(*(Block(width) for _ in range(depth)), nn.Linear(width, 10))


def turns(arms: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """The CPU seconds of each arm, turn by turn, in an order that changes."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(repeats + 1):
        for name in sorted(arms, reverse=bool(turn % 2)):
            start = time.process_time()
            arms[name]()
            if turn:  # The first is for warming up.
                taken[name].append(time.process_time() - start)
    return taken


def spread(seconds: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(seconds):.3f} [{min(seconds):.3f}, {max(seconds):.3f}]"


def loops(width: int, depth: int, batch: int, steps: int, repeats: int) -> float:
    """The ratio of our loop to a plain one that clips, follows a schedule and reads its loss, too."""
    x, y = torch.randn(8 * batch, width), torch.randint(10, (8 * batch,))
    models = {name: network(width, depth) for name in ("assay", "plain")}
    cross_entropy = nn.functional.cross_entropy

    def ours() -> None:
        model = models["assay"]
        train(
            lambda a, b: {"loss": cross_entropy(model(a), b)},
            Batches((x, y), batch, np.random.default_rng(0)),
            adamw(model, 1e-3),
            Run(),
            model=model,
            steps=steps,
            schedule=cosine(),
            clip_norm=1.0,
        )

    def plain() -> None:
        model = models["plain"]
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        losses, order = [], torch.randperm(len(x))
        for step in range(steps):
            if step % 8 == 0:
                order = torch.randperm(len(x))
            rows = order[step % 8 * batch :][:batch]
            optimizer.zero_grad()
            loss = cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())

    seconds = turns({"assay": ours, "plain": plain}, repeats)
    ratio = statistics.median(seconds["assay"]) / statistics.median(seconds["plain"])
    extra = (statistics.median(seconds["assay"]) - statistics.median(seconds["plain"])) / steps
    console.print(f"loop, {depth} blocks of width {width}, batch {batch}, {steps} steps:")
    console.print(f"  assay {spread(seconds['assay'])}, plain {spread(seconds['plain'])}")
    console.print(f"  ratio {ratio:.3f}, {extra * 1e6:.0f} us more per step")
    return ratio


def muons(width: int, depth: int, repeats: int) -> list[tuple[str, float]]:
    """The ratios of our step to torch's at the matrices of a network."""
    shapes = [shape for _ in range(depth) for shape in ((4 * width, width), (width, 4 * width))]
    arms: dict[str, Callable[[], object]] = {}
    for name in ("torch", "assay", "assay fp32"):
        parameters = [nn.Parameter(torch.randn(shape)) for shape in shapes]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        if name == "torch":
            arms[name] = torch.optim.Muon(parameters, lr=1e-3, weight_decay=0.0).step
        else:
            group = {"params": parameters, "lr": 1e-3, "weight_decay": 0.0, "muon": True}
            arms[name] = Muon([group], dtype=torch.float32 if "fp32" in name else None).step
    seconds = turns(arms, repeats)
    table = Table("step of Muon", "CPU s", "/ torch", title=f"{len(shapes)} matrices, {width} x {4 * width}")
    base = statistics.median(seconds["torch"])
    for name, found in seconds.items():
        table.add_row(name, spread(found), f"{statistics.median(found) / base:.3f}")
    console.print(table)
    return [(f"Muon, width {width}", statistics.median(seconds["assay"]) / base)]


def cached(width: int, depth: int, batch: int, micro_batch: int, repeats: int) -> None:
    """Bytes kept between forward and backward, and seconds, with and without cached features."""
    encode, x = network(width, depth), torch.randn(batch, width)

    def contrast(features: torch.Tensor) -> torch.Tensor:
        features = nn.functional.normalize(features, dim=1)
        return nn.functional.cross_entropy(features @ features.T, torch.arange(batch))

    def step(cache: bool) -> None:
        encode.zero_grad()
        features = cached_features(encode, x, micro_batch=micro_batch) if cache else encode(x)
        contrast(features).backward()

    def kept(cache: bool) -> int:
        total = 0

        def note(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            cached_features(encode, x, micro_batch=micro_batch) if cache else encode(x)
        return total

    seconds = turns({"cached": lambda: step(True), "whole": lambda: step(False)}, repeats)
    table = Table(
        "features", "CPU s", "kept", title=f"contrastive step, batch {batch}, parts of {micro_batch}"
    )
    for name in ("whole", "cached"):
        table.add_row(name, spread(seconds[name]), f"{kept(name == 'cached') / 1e6:.1f} MB")
    console.print(table)


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    verdicts = [
        ("loop, width 256", loops(256, 4, 128, 15, repeats), 1.05),
        ("loop, width 32", loops(32, 2, 32, 200, repeats), 1.5),
    ]
    verdicts += [(what, ratio, 1.0) for what, ratio in [*muons(128, 6, repeats), *muons(384, 3, repeats)]]
    cached(128, 4, 2048, 128, repeats)
    table = Table("what", "measured", "target", "", title="Targets")
    for what, ratio, target in verdicts:
        verdict = "[green]met[/]" if ratio <= target else "[red]missed[/]"
        table.add_row(what, f"{ratio:.3f}", f"at most {target:.2f}", verdict)
    console.print(table)


if __name__ == "__main__":
    main()
