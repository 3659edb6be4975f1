"""A board as a table for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from assay.core.statistics import interval

if TYPE_CHECKING:
    from assay.core.board import Board, Row

_ROUNDING = 1e-9  # relative; less spread than this is that of floating point
_MOST_DIGITS = 6  # behind the point; smaller numbers get an exponent


def leaderboard(board: "Board", console: Console, options: ConsoleOptions) -> RenderableType:
    """The table: rank, method, metrics with intervals, costs; below it the verdict and what failed.

    Where the terminal is too narrow for all metrics, the last ones are left out, and that is said.
    """
    shown, unlimited = len(board.metrics), options.update_width(10_000)
    while shown > 1 and console.measure(_table(board, shown), options=unlimited).maximum > options.max_width:
        shown -= 1
    seeds = f"{len(board.seeds)} seed{'s' if len(board.seeds) != 1 else ''}"
    budget = f", budget {board.budget}" if board.budget else ""
    heading = Text.assemble((board.question, "bold"), f"\n{board.data['name']}, {seeds}{budget}\n")
    failures = [Text(f"{r.name}: {r.status}: {r.error}", style="red") for r in board.ranking if r.error]
    parts = [heading, _table(board, shown), Text(), Text(board.verdict, style="bold"), *failures]
    if board.contenders:
        parts.append(
            Text("≈ not separated from the leader by the 95 % interval of the paired difference", "dim")
        )
    if hidden := [metric.name for metric in board.metrics[shown:]]:
        parts.append(Text(f"not shown on a terminal this narrow: {', '.join(hidden)}", "dim"))
    parts += [Text(f"{board.data['name']}: {note}", "dim") for note in board.data.get("notes", ())]
    return Group(*parts)


def _table(board: "Board", shown: int) -> Table:
    """The leaderboard with the first `shown` metrics."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", justify="right", style="dim")
    table.add_column("method", no_wrap=True)
    for metric in board.metrics[:shown]:
        arrow = "↑" if metric.better == "higher" else "↓"
        unit = f" {metric.unit}" if metric.unit else ""
        table.add_column(f"{metric.name}{unit} {arrow}", justify="right", no_wrap=True)
    for header in ("fit CPU", "predict", "memory", "model"):
        table.add_column(header, justify="right", no_wrap=True)
    tied = {difference.second for difference in board.contenders}
    for rank, row in enumerate(board.ranking, start=1):
        style = "bold green" if row.name == board.winner else "" if row.status == "ok" else "red"
        mark = " ≈" if row.name in tied else ""
        name = Text(row.name + mark, style=style)
        if row.peer:
            name.append(" peer", style="dim")
        scores = [format_interval(row.values(metric.name)) for metric in board.metrics[:shown]]
        table.add_row(str(rank) if row.status == "ok" else row.status, name, *scores, *_costs(row))
    return table


def format_interval(values: Sequence[float]) -> str:
    """Mean and half-width with as many digits as the interval supports, such as "0.9271 ±0.0008".

    There is no half-width with one seed, nor where values differ by no more than rounding.
    """
    if not values:
        return "-"
    mean, _, high = interval(values)
    half = high - mean
    if not half > _ROUNDING * abs(mean):
        if abs(mean) >= 9999.5:
            return f"{mean:,.0f}"
        if 0 < abs(mean) < 0.01:
            return f"{mean:.3g}"
        return f"{mean:.4g}" if abs(mean) >= 1 else f"{mean:.4f}"
    digits = max(0, 1 - _exponent(half))
    if digits > _MOST_DIGITS:
        return f"{mean:.{max(1, _exponent(mean) + digits)}e} ±{half:.1e}"
    return f"{mean:.{digits}f} ±{half:.{digits}f}"


def format_bytes(count: float) -> str:
    """Bytes with a decimal prefix, such as "1.5 MB"."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{_three(count)} {unit}"
        count /= 1000
    return f"{_three(count)} GB"


def format_seconds(seconds: float) -> str:
    """Seconds in three digits, in ms below one second."""
    return f"{_three(seconds * 1000)} ms" if seconds < 0.9995 else f"{_three(seconds)} s"


def _three(value: float) -> str:
    """Three significant digits, or all digits before the point; never an exponent for a large number."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _costs(row: "Row") -> list[str]:
    forms = {"fit_cpu": format_seconds, "predict_cpu": format_seconds}
    cells = []
    for name in ("fit_cpu", "predict_cpu", "peak_memory", "model_size"):
        values = row.costs(name)
        cells.append(forms.get(name, format_bytes)(interval(values).mean) if values else "-")
    return cells
