"""Board: what a comparison gives back: intervals, paired differences, costs, a verdict, fitted models."""

import base64
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from assay.core.files import write_json
from assay.core.statistics import Interval, interval, more_seeds_to_settle
from assay.core.task import Figure, Metric
from assay.core.trial import Result

COST_UNITS: dict[str, str] = {
    "fit_wall": "s",
    "fit_cpu": "s",
    "predict_wall": "s",
    "predict_cpu": "s",
    "peak_memory": "bytes",
    "model_size": "bytes",
}


@dataclass(frozen=True)
class Row:
    """One method on the board: its results, seed by seed.

    Args:
        name: on the board.
        peer: whether another library answers.
        settings: hyper-parameters as JSON.
        results: by seed; only seeds that were run.
    """

    name: str
    peer: bool
    settings: Mapping[str, Any]
    results: Mapping[int, Result]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that finished well."""
        return tuple(seed for seed, result in self.results.items() if result.status == "ok")

    @property
    def status(self) -> str:
        """ "ok" when every seed finished, else what went wrong first; "not run" without any result."""
        statuses = [result.status for result in self.results.values()]
        return next((status for status in statuses if status != "ok"), "ok" if statuses else "not run")

    @property
    def error(self) -> str | None:
        """What went wrong, with the seed and how many seeds it befell, or None."""
        failed = {seed: result for seed, result in self.results.items() if result.status != "ok"}
        if not failed:
            return None
        seed, first = next(iter(failed.items()))
        return f"{first.error} (seed {seed}; {len(failed)} of {len(self.results)} seeds failed)"

    @property
    def traceback(self) -> str | None:
        """Where the first error with a known place came from, or None."""
        return next((result.traceback for result in self.results.values() if result.traceback), None)

    def values(self, metric: str) -> tuple[float, ...]:
        """The metric's value for each of `seeds`."""
        return tuple(self.results[seed].metrics[metric] for seed in self.seeds)

    def costs(self, name: str) -> tuple[float, ...]:
        """One cost for each of `seeds`; empty when it was not measured."""
        costs = [getattr(self.results[seed].cost, name) for seed in self.seeds]
        return () if None in costs else tuple(costs)


@dataclass(frozen=True)
class Difference:
    """The paired difference `first - second` in one metric, over the seeds that both finished."""

    first: str
    second: str
    metric: str
    values: tuple[float, ...]

    @property
    def interval(self) -> Interval:
        """Mean and 95 % interval (Student's t)."""
        return interval(self.values)

    @property
    def settled(self) -> bool:
        """Whether zero is outside the interval."""
        return self.interval.excludes(0.0)

    @property
    def constant(self) -> bool:
        """Whether several seeds gave the same: the interval then has no width, however few the test rows."""
        spread = max(self.values) - min(self.values)
        return len(self.values) > 1 and spread <= 1e-12 * max(map(abs, self.values))

    @property
    def more_seeds(self) -> int | None:
        """How many more seeds would probably settle it; None when that cannot be said."""
        return more_seeds_to_settle(self.values)


@dataclass(frozen=True, kw_only=True)
class Board:
    """The outcome of a comparison. `print(board)` shows it as a table.

    Args:
        task: name of the task.
        question: what the task asks.
        data: name, fingerprint and description of the data.
        metrics: the first one decides.
        rows: the methods, in the order given; `ranking` orders them.
        seeds: asked for.
        budget, scale, threads: of every trial.
        environment: machine and versions.
        open_model: gives the fitted model of (method, seed); None for a board read from a file.
        draw: makes the task's own figures.
    """

    task: str
    question: str
    data: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    budget: str | None
    scale: str
    threads: int
    curve_axis: str
    environment: Mapping[str, Any]
    open_model: Callable[[str, int], Any] | None = field(default=None, repr=False, compare=False)
    draw: Callable[["Board"], Sequence[Figure]] = field(default=lambda board: (), repr=False, compare=False)

    def row(self, name: str) -> Row:
        """The row of one method.

        Raises:
            KeyError: no method of that name is on the board.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no method {name!r} on this board; there are {', '.join(r.name for r in self.rows)}")

    @cached_property
    def ranking(self) -> tuple[Row, ...]:
        """The rows, best mean of the deciding metric first; those with failed seeds last: they cannot win."""
        deciding = self.metrics[0]

        def order(row: Row) -> tuple[bool, float]:
            values = row.values(deciding.name)
            return row.status != "ok", -deciding.oriented(interval(values).mean) if values else math.inf

        return tuple(sorted(self.rows, key=order))

    @property
    def leader(self) -> Row | None:
        """The row with the best mean among those that finished every seed; it need not be the winner."""
        return self.ranking[0] if self.ranking and self.ranking[0].status == "ok" else None

    def difference(self, first: str, second: str, metric: str | None = None) -> Difference | None:
        """The paired difference of two methods (deciding metric by default); None without a common seed."""
        a, b = self.row(first), self.row(second)
        metric = metric or self.metrics[0].name
        common = [seed for seed in a.seeds if seed in b.seeds]
        values = [a.results[s].metrics[metric] - b.results[s].metrics[metric] for s in common]
        return Difference(first, second, metric, tuple(values)) if values else None

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Every pair in the deciding metric, better-ranked method first."""
        names = [row.name for row in self.ranking if row.seeds]
        pairs = ((a, b) for i, a in enumerate(names) for b in names[i + 1 :])
        return tuple(d for a, b in pairs if (d := self.difference(a, b)) is not None)

    @property
    def contenders(self) -> tuple[Difference, ...]:
        """The leader's differences with those methods that its interval does not separate from it."""
        if self.leader is None:
            return ()
        others = [row.name for row in self.ranking[1:] if row.status == "ok"]
        differences = [self.difference(self.leader.name, other) for other in others]
        return tuple(d for d in differences if d is not None and not d.settled)

    @property
    def winner(self) -> str | None:
        """The method that is better than every other beyond the interval, or None."""
        ok = [row for row in self.rows if row.status == "ok"]
        return self.leader.name if self.leader and len(ok) > 1 and not self.contenders else None

    @property
    def verdict(self) -> str:
        """One or two sentences: who wins, or why nobody does and what would settle it."""
        if self.leader is None:
            return "No method finished every seed."
        name, metric = self.leader.name, self.metrics[0].name
        if self.winner:
            text = f"{name} wins: its {metric} is better than every other method's beyond the 95 % interval."
            same = ", ".join(d.second for d in self.differences if d.first == name and d.constant)
            if same:
                text += f" Seeds change nothing in its difference from {same}, so no interval bounds it."
            return text
        if not self.contenders:
            return f"{name} is the only method that finished."
        tied = ", ".join(d.second for d in self.contenders)
        text = f"No winner: {name} leads in {metric}, but the 95 % interval does not separate it from {tied}."
        if len(self.seeds) < 2:
            return text + " One seed gives no interval: ask for more."
        hopeless = [d.second for d in self.contenders if d.more_seeds is None]
        if len(hopeless) == len(self.contenders):
            return text + " They are too close for any reasonable number of seeds."
        if hopeless:
            verb = "is" if len(hopeless) == 1 else "are"
            return text + f" {', '.join(hopeless)} {verb} too close to it for any reasonable number of seeds."
        most = max(d.more_seeds or 0 for d in self.contenders)
        return text + f" About {most} more {'seed' if most == 1 else 'seeds'} would probably settle it."

    @property
    def best(self) -> Any:
        """The leader's fitted model (of the first seed)."""
        if self.leader is None:
            raise LookupError("no method finished every seed, so there is no best model")
        return self.model(self.leader.name)

    def model(self, name: str, seed: int | None = None) -> Any:
        """The model that `name` fitted on the training part of `seed` (the first by default)."""
        if self.open_model is None:
            raise LookupError("this board was read from a file; its models are in the folder of its trials")
        seeds = self.row(name).seeds
        if not seeds:
            raise LookupError(f"{name} has no fitted model: {self.row(name).error}")
        return self.open_model(name, seeds[0] if seed is None else seed)

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """The task's own pictures, drawn when first asked for."""
        return tuple(self.draw(self))

    # Forms

    def to_json(self) -> dict[str, Any]:
        """The board as JSON: means, intervals, values, costs, differences, verdict and environment."""
        return {
            "task": self.task,
            "question": self.question,
            "data": dict(self.data),
            "metrics": [dataclasses.asdict(metric) for metric in self.metrics],
            "seeds": list(self.seeds),
            "budget": self.budget,
            "scale": self.scale,
            "threads": self.threads,
            "curve_axis": self.curve_axis,
            "methods": [self._row_json(row) for row in self.ranking],
            "differences": [
                {"first": d.first, "second": d.second, "metric": d.metric}
                | _summary(d.values)
                | {"settled": d.settled, "more_seeds": d.more_seeds}
                for d in self.differences
            ],
            "winner": self.winner,
            "verdict": self.verdict,
            "environment": dict(self.environment),
            "figures": [_figure_json(figure) for figure in self.figures],
        }

    def _row_json(self, row: Row) -> dict[str, Any]:
        costs = {name: _summary(row.costs(name)) | {"unit": unit} for name, unit in COST_UNITS.items()}
        return {
            "name": row.name,
            "peer": row.peer,
            "status": row.status,
            "error": row.error,
            "settings": dict(row.settings),
            "metrics": {m.name: _summary(row.values(m.name)) for m in self.metrics} if row.seeds else {},
            "cost": costs if row.seeds else {},
            "results": {str(seed): result.to_json() for seed, result in row.results.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Board":
        """The board that `to_json` wrote, without access to the models.

        Raises:
            KeyError, TypeError, ValueError: `value` is not a board.
        """
        rows = tuple(
            Row(
                method["name"],
                method["peer"],
                method["settings"],
                {int(seed): Result.from_json(result) for seed, result in method["results"].items()},
            )
            for method in value["methods"]
        )
        figures = tuple(_figure(figure) for figure in value["figures"])
        plain = ("task", "question", "data", "budget", "scale", "threads", "curve_axis", "environment")
        return cls(
            metrics=tuple(Metric(**metric) for metric in value["metrics"]),
            rows=rows,
            seeds=tuple(value["seeds"]),
            draw=lambda board: figures,
            **{name: value[name] for name in plain},
        )

    @classmethod
    def read(cls, path: str | Path) -> "Board":
        """The board in a JSON file.

        Raises:
            ValueError: the file is not a board.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text("utf-8")))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected a board written by assay, got {error!r}") from None

    def write(self, path: str | Path) -> None:
        """Writes the board as JSON."""
        write_json(Path(path), self.to_json())

    def report(self, path: str | Path) -> None:
        """Writes the board as one HTML page that needs no network."""
        from assay.app.report import write_board  # The one arrow that points up: a board shows itself.

        write_board(self, Path(path))

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from assay.core.leaderboard import leaderboard

        yield leaderboard(self, console, options)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=110, force_terminal=False)
        console.print(self)
        return console.file.getvalue()  # type: ignore[attr-defined]


def _figure_json(figure: Figure) -> dict[str, Any]:
    image = None if figure.image is None else base64.b64encode(figure.image).decode("ascii")
    return dataclasses.asdict(figure) | {"image": image}


def _figure(value: Mapping[str, Any]) -> Figure:
    image = None if value["image"] is None else base64.b64decode(value["image"])
    return Figure(value["title"], value["caption"], value["plotly"], image)


def _summary(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"mean": None, "low": None, "high": None, "values": []}
    mean, low, high = interval(values)
    known = math.isfinite(low)
    return {
        "mean": mean,
        "low": low if known else None,
        "high": high if known else None,
        "values": list(values),
    }
