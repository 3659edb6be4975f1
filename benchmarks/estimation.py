"""Running moments beside NumPy, and steps of many runs beside torch and a plain loop; ratios come last.

    python benchmarks/estimation.py

Numbers are CPU seconds of one thread, median [least, largest] of several turns. The contestants take turns,
so that whatever else the machine does meets all of them. torch is left out where it is not installed.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.moments import Moments
from assay.estimation.oracles import Mean
from assay.estimation.populations import Coin
from assay.estimation.sgd import SGD

REPEATS = 5
_ROWS = 20_000_000
_BLOCK = 1 << 14
_STEPS = 2000
_RUNS = 1000
console = Console(width=110)


def blocks(column: np.ndarray) -> None:
    """Mean and variance of a column that comes in blocks."""
    moments = Moments()
    for start in range(0, len(column), _BLOCK):
        moments.merge(Moments.of(column[start : start + _BLOCK]))
    assert abs(float(moments.mean)) < 0.01


def whole(column: np.ndarray) -> None:
    """The same by NumPy, from all of it at once."""
    assert abs(float(np.mean(column))) < 0.01
    assert float(np.var(column, ddof=1)) > 0


def ours() -> None:
    """Stochastic gradient descent of many runs at once."""
    experiment = Experiment(oracle=Mean(Coin()), start=0.0, samples=_STEPS, runs=_RUNS)
    SGD().fit(experiment, run=Run(seed=0))


def loop() -> None:
    """The same for one run after the other, a tenth of them, in plain Python over NumPy's draws."""
    rng = np.random.default_rng(0)
    for _ in range(_RUNS // 10):
        w = 0.0
        for k, x in enumerate((2.0 * rng.integers(0, 2, _STEPS) - 1.0).tolist(), start=1):
            w -= (w - x) / k


def torchs() -> None:
    """The same by torch.optim.SGD on all runs at once."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    w = torch.zeros(_RUNS, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0)
    for k in range(1, _STEPS + 1):
        x = torch.from_numpy(2.0 * rng.integers(0, 2, _RUNS) - 1.0)
        optimizer.param_groups[0]["lr"] = 1 / k
        optimizer.zero_grad()
        (0.5 * (w - x).square().sum()).backward()
        optimizer.step()


def turns(contestants: Mapping[str, Callable[[], None]]) -> dict[str, list[float]]:
    """CPU seconds of every contestant, turn by turn, after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(REPEATS + 1):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            if turn:
                times[name].append(time.process_time() - start)
    return times


def show(title: str, times: Mapping[str, list[float]], scale: Mapping[str, float]) -> None:
    """Prints medians with their range, and the ratio of the first contestant to each."""
    sheet = Table(title=title, title_justify="left")
    for heading in ("", "CPU s", "first / this"):
        sheet.add_column(heading, justify="left" if not heading else "right")
    medians = {name: statistics.median(found) * scale.get(name, 1.0) for name, found in times.items()}
    first = next(iter(medians.values()))
    for name, found in times.items():
        factor = scale.get(name, 1.0)
        spread = f"{medians[name]:.3f} [{min(found) * factor:.3f}, {max(found) * factor:.3f}]"
        sheet.add_row(name, spread, f"{first / medians[name]:.2f}")
    console.print(sheet)


def main() -> None:
    """Both comparisons."""
    column = np.random.default_rng(0).standard_normal(_ROWS)
    title = f"mean and variance of {_ROWS:,} numbers"
    show(
        title, turns({"assay, in blocks": lambda: blocks(column), "numpy, whole": lambda: whole(column)}), {}
    )
    contestants = {"assay": ours, "plain loop": loop}
    if importlib.util.find_spec("torch") is not None:
        contestants["torch.optim.SGD"] = torchs
    show(f"SGD: {_STEPS:,} steps of {_RUNS:,} runs", turns(contestants), {"plain loop": 10.0})


if __name__ == "__main__":
    main()
