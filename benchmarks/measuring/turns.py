"""Methods taking turns, and tables of what they took."""

import gc
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from measuring.data import halves
from measuring.methods import Arm
from rich.console import Console
from rich.table import Table

from assay.tabular.contract import TabularData
from assay.tabular.task import task

console = Console(width=130)


@dataclass
class Times:
    """CPU seconds, turn by turn, and the test score."""

    fit: list[float] = field(default_factory=list)
    predict: list[float] = field(default_factory=list)
    score: float = float("nan")


def take_turns(arms: Sequence[Arm], data: TabularData, *, threads: int, repeats: int) -> dict[str, Times]:
    """Fits and predicts with every arm, in turns."""
    train, test = halves(data)
    first = metric(data)
    times = {arm.name: Times() for arm in arms}
    few = train.take(np.arange(0, len(train), max(1, len(train) // 500)))
    for arm in arms:  # Libraries load parts of themselves when they are first used.
        arm.make(data.problem, threads).fit(few.features, few.target)
    for turn in range(repeats):
        for arm in [*arms[turn % len(arms) :], *arms[: turn % len(arms)]]:
            model = arm.make(data.problem, threads)
            gc.collect()
            start = time.process_time()
            model.fit(train.features, train.target)
            fitted = time.process_time()
            outputs = predicted(model, test)
            times[arm.name].predict.append(time.process_time() - fitted)
            times[arm.name].fit.append(fitted - start)
            times[arm.name].score = task.score(outputs, test)[first]
    return times


def predicted(model: Any, test: TabularData) -> np.ndarray:
    """Probabilities or numbers."""
    return (
        model.predict(test.features) if test.problem == "regression" else model.predict_proba(test.features)
    )


def metric(data: TabularData) -> str:
    """The metric that decides."""
    return task.metrics(data)[0].name


def show(title: str, times: Mapping[str, Times], score: str, reference: str) -> None:
    """Prints medians with their range, and ratios to a reference."""
    sheet = Table(title=title, title_justify="left")
    for heading in ("method", "fit, CPU s", f"/ {reference}", "predict, CPU s", f"/ {reference}", score):
        sheet.add_column(heading, justify="left" if heading == "method" else "right")
    base = times[reference]
    for name, found in times.items():
        cells = [spread(found.fit), ratio(found.fit, base.fit), spread(found.predict)]
        sheet.add_row(name, *cells, ratio(found.predict, base.predict), f"{found.score:.4f}")
    console.print(sheet)


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def ratio(values: Sequence[float], base: Sequence[float]) -> str:
    """Ratio of the medians."""
    return f"{statistics.median(values) / statistics.median(base):.2f}"


@dataclass
class Verdicts:
    """The ratios that have a target."""

    rows: list[tuple[str, float, float]] = field(default_factory=list)

    def add(self, what: str, value: float, target: float) -> None:
        """Notes a value that should be at most its target."""
        self.rows.append((what, value, target))

    def compare(self, what: str, ours: Sequence[float], theirs: Sequence[float], target: float) -> None:
        """Notes a ratio of medians."""
        self.add(what, statistics.median(ours) / statistics.median(theirs), target)

    def show(self) -> None:
        """Prints them."""
        sheet = Table(title="Targets", title_justify="left")
        for heading in ("what", "measured", "target", ""):
            sheet.add_column(heading, justify="left" if heading in ("what", "") else "right")
        for what, value, target in self.rows:
            verdict = "[green]met[/]" if value <= target else "[red]missed[/]"
            sheet.add_row(what, f"{value:.3f}", f"at most {target:.2f}", verdict)
        console.print(sheet)
