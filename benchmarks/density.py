"""Training epochs and samples of the density methods beside plain PyTorch; ratios with a target come last.

The peers are the methods as one writes them in PyTorch: conditionals one after another for FVSBN and NADE,
masked linear layers for MADE, automatic differentiation, torch.optim.Adam, and for a sample of MADE one pass
of the whole network per variable. All work on the same binarised MNIST digits in float32, with one thread, in
turns. The numbers are CPU seconds, median [least, largest]. MADE is measured with one set of masks and with
eight, its default: eight have no staircase in common, so that all weights are multiplied and moved.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from assay.core.budget import Budget
from assay.core.run import Run
from assay.density.autoregressive import Sweep
from assay.density.contract import BinaryData
from assay.density.fvsbn import FVSBN, before, fvsbn_gradient
from assay.density.made import MADE, MADEModel, made_gradient, masks
from assay.density.model import Array, Weights
from assay.density.nade import NADE, nade_complete, nade_gradient, start_weights
from assay.density.panels import split
from assay.density.task import task
from assay.density.training import Adam, threads

TARGET = 0.5
_BATCH = 100
console = Console(width=110)


class TorchFVSBN(nn.Module):
    """A linear layer for every bit."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(max(d, 1), 1) for d in range(D))

    def logit(self, x: Tensor, d: int) -> Tensor:
        """The log-odds of bit d."""
        return self.layers[d](x[:, :d] if d else torch.zeros_like(x[:, :1]))[:, 0]

    def forward(self, x: Tensor) -> Tensor:
        """The log-odds of every bit."""
        return torch.stack([self.logit(x, d) for d in range(x.shape[1])], dim=1)

    def sample(self, num: int, D: int) -> Tensor:
        """Independent draws."""
        x = torch.zeros(num, D)
        for d in range(D):
            x[:, d] = torch.bernoulli(torch.sigmoid(self.logit(x, d)))
        return x


class TorchNADE(nn.Module):
    """The running sum, bit after bit."""

    def __init__(self, D: int, hidden: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(D, hidden) / D**0.5)
        self.V = nn.Parameter(torch.zeros(D, hidden))
        self.b, self.c = nn.Parameter(torch.zeros(D)), nn.Parameter(torch.zeros(hidden))

    def forward(self, x: Tensor) -> Tensor:
        """The log-odds of every bit."""
        a, logits = self.c.expand(len(x), -1), []
        for d in range(x.shape[1]):
            logits.append(torch.sigmoid(a) @ self.V[d] + self.b[d])
            a = a + x[:, d, None] * self.W[d]
        return torch.stack(logits, dim=1)

    def sample(self, num: int, D: int) -> Tensor:
        """Independent draws."""
        a, x = self.c.expand(num, -1), torch.zeros(num, D)
        for d in range(D):
            x[:, d] = torch.bernoulli(torch.sigmoid(torch.sigmoid(a) @ self.V[d] + self.b[d]))
            a = a + x[:, d, None] * self.W[d]
        return x


class TorchMADE(nn.Module):
    """Masked linear layers; training cycles through sets of masks."""

    def __init__(self, D: int, hidden: int, num_masks: int = 1) -> None:
        super().__init__()
        rng, self.sets, self.turn = np.random.default_rng(0), [], 0
        for number in range(num_masks):
            order = rng.permutation(D) if number else np.arange(D)
            (first, output), direct = masks([order + 1, rng.integers(1, D, hidden)])
            self.sets.append([torch.tensor(m.T, dtype=torch.float32) for m in (first, output, direct)])
        self.layers = nn.ModuleList((nn.Linear(D, hidden), nn.Linear(hidden, D), nn.Linear(D, D)))

    def forward(self, x: Tensor) -> Tensor:
        """The log-odds of every bit; while it is trained, each time by the next set of masks."""
        self.turn = (self.turn + 1) % len(self.sets) if torch.is_grad_enabled() else 0
        cuts = self.sets[self.turn]

        def layer(i: int, x: Tensor) -> Tensor:
            linear = self.layers[i]
            return nn.functional.linear(x, linear.weight * cuts[i], linear.bias)

        return layer(1, torch.relu(layer(0, x))) + layer(2, x)

    def sample(self, num: int, D: int) -> Tensor:
        """Independent draws."""
        x = torch.zeros(num, D)
        for d in range(D):
            x[:, d] = torch.bernoulli(torch.sigmoid(self(x)[:, d]))
        return x


def torch_epoch(model: nn.Module, x: np.ndarray, batch_size: int) -> Callable[[], None]:
    """One round over the rows."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rows = torch.tensor(x, dtype=torch.float32)

    def epoch() -> None:
        for batch in rows[torch.randperm(len(rows))].split(batch_size):
            optimizer.zero_grad()
            loss = binary_cross_entropy_with_logits(model(batch), batch, reduction="sum") / len(batch)
            loss.backward()
            optimizer.step()

    return epoch


def our_epoch(
    gradient: Callable[[Weights, Array], tuple[float, Weights]],
    start: Weights,
    x: np.ndarray,
    batch_size: int,
) -> Callable[[], None]:
    """One round over the rows, by the parts that a fit is made of."""
    weights = {name: np.array(w) for name, w in start.items()}
    adam, rng = Adam(weights, 1e-3), np.random.default_rng(0)

    def epoch() -> None:
        rows = x[rng.permutation(len(x))].astype(np.float32)
        for first in range(0, len(rows), batch_size):
            adam.step(gradient(weights, rows[first : first + batch_size])[1])

    return epoch


def made_arm(
    hidden: int, num_masks: int, data: BinaryData
) -> tuple[MADEModel, Weights, Callable[[Weights, Array], tuple[float, Weights]], TorchMADE]:
    """MADE with so many sets of masks: a model, what is trained, its gradient, and the same in torch."""
    method = MADE(hidden=hidden, num_masks=num_masks, random_orders=num_masks > 1)
    model = method.fit(data, run=Run(budget=Budget(1, "steps")))
    plan, sets = model.partition()
    cut = itertools.cycle(sets)

    def gradient(weights: Weights, x: Array) -> tuple[float, Weights]:
        return made_gradient(x, weights, next(cut), 1, plan)

    return model, split(model.weights, plan), gradient, TorchMADE(data.num_variables, hidden, num_masks)


def turns(arms: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """The CPU seconds of each arm, turn by turn."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(repeats + 1):
        for name, work in arms.items():
            start = time.process_time()
            work()
            if turn:  # The first is for warming up.
                taken[name].append(time.process_time() - start)
    return taken


def spread(seconds: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(seconds):.3f} [{min(seconds):.3f}, {max(seconds):.3f}]"


def sampled(model: nn.Module, num: int, D: int) -> Callable[[], object]:
    """Draws without a record for differentiation."""

    def work() -> Tensor:
        with torch.no_grad():
            return model.sample(num, D)  # type: ignore[operator]

    return work


def compare(hidden: int, rows: int, draws: int, repeats: int) -> list[tuple[str, float]]:
    """A table of seconds, and the ratios ours / PyTorch."""
    digits = task.load("mnist-5k")
    data = digits.take(np.random.default_rng(0).permutation(len(digits))[:rows])
    D, one_step = data.num_variables, Run(budget=Budget(1, "steps"))
    fvsbn = FVSBN().fit(data, run=one_step)
    nade = NADE(hidden=hidden).fit(data, run=one_step)
    earlier = before(fvsbn.structure["orders"][0])
    arms = {
        "FVSBN": (fvsbn, fvsbn.weights, lambda w, x: fvsbn_gradient(x, w, earlier), TorchFVSBN(D)),
        "NADE": (nade, nade.weights, lambda w, x: nade_gradient(x, w), TorchNADE(D, hidden)),
        "MADE": made_arm(hidden, 1, data),
        "MADE, 8 sets of masks": made_arm(hidden, 8, data),
    }
    table = Table("", "assay s", "PyTorch s", "ratio", title=f"{D} variables, {hidden} hidden units")
    ratios = []
    for name, (model, weights, gradient, theirs) in arms.items():
        work = {
            f"{name}: an epoch of {rows} rows": (
                our_epoch(gradient, weights, data.x, _BATCH),
                torch_epoch(theirs, data.x, _BATCH),
            ),
            f"{name}: {draws} samples": (
                lambda model=model: model.sample(draws, np.random.default_rng(0)),
                sampled(theirs, draws, D),
            ),
        }
        for what, (mine, other) in work.items():
            seconds = turns({"assay": mine, "torch": other}, repeats)
            ratio = statistics.median(seconds["assay"]) / statistics.median(seconds["torch"])
            table.add_row(what, spread(seconds["assay"]), spread(seconds["torch"]), f"{ratio:.3f}")
            ratios.append((what, ratio))
    console.print(table)
    return ratios


def linear_sampling(hidden: int, draws: int, repeats: int) -> float:
    """How much more sampling costs per variable at 1,600 variables than at 200; 1 is linear."""
    arms = {}
    for D in (200, 400, 800, 1600):
        data = BinaryData(np.zeros((2, D), np.uint8))
        weights = start_weights(data, hidden, np.random.default_rng(0))

        def draw(weights=weights, D=D) -> None:
            x = np.zeros((draws, D), np.float32)
            nade_complete(Sweep(x, x > 0, np.random.default_rng(0)), weights, np.arange(D))

        arms[str(D)] = draw
    seconds = turns(arms, repeats)
    table = Table("variables", "seconds", "microseconds per variable", title=f"NADE: {draws} samples")
    for D, found in seconds.items():
        table.add_row(D, spread(found), f"{statistics.median(found) / int(D) * 1e6:.1f}")
    console.print(table)
    return statistics.median(seconds["1600"]) / statistics.median(seconds["200"]) / 8


def main() -> None:
    """Prints the tables, then the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threads(Run(threads=1)):
        ratios = compare(500, options.rows, 100, options.repeats)
        growth = linear_sampling(100, 100, options.repeats)
    console.print(f"ratios to plain PyTorch (target: at most {TARGET})", style="bold")
    for what, ratio in ratios:
        console.print(f"  {ratio:6.3f}  {'ok  ' if ratio <= TARGET else 'MISS'}  {what}")
    console.print(f"  {growth:6.3f}  NADE: cost of a sample per variable, 1,600 against 200 (linear: 1)")


if __name__ == "__main__":
    main()
