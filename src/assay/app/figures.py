"""The report's charts as Plotly figures in plain JSON; colours are CSS variables, which the page resolves."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.core.board import Board, Row
from assay.core.leaderboard import format_interval, format_seconds
from assay.core.statistics import interval
from assay.core.task import Metric

Figure = dict[str, Any]

_HUES = 8  # as many as style.css defines
_DASHES = {False: ("solid", "dash", "dashdot"), True: ("dot", "longdash", "longdashdot")}  # Peers: True.
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "star", "hexagon")
_CURVE_POINTS = 120


@dataclass(frozen=True)
class Series:
    """How one method looks in every chart of a page; no two of up to 24 and 24 peers look the same."""

    rank: int
    name: str
    hue: str
    dash: str
    symbol: str


def series(board: Board) -> dict[str, Series]:
    """The appearance of every method that finished all its seeds, by name, in the order of the ranking."""
    look = {}
    count = {False: 0, True: 0}
    for rank, row in enumerate((row for row in board.ranking if row.status == "ok"), start=1):
        index = count[row.peer]
        count[row.peer] += 1
        dashes = _DASHES[row.peer]
        look[row.name] = Series(
            rank=rank,
            name=row.name,
            hue=f"var(--series-{index % _HUES})",
            dash=dashes[index // _HUES % len(dashes)],
            symbol=_SYMBOLS[index % len(_SYMBOLS)],
        )
    return look


@dataclass(frozen=True)
class Curve:
    """A method's learning curve: the mean over seeds with its interval (NaN for one seed) at common steps."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve(row: Row) -> Curve | None:
    """The learning curve of a row, or None when the method left none.

    Seeds that looked at other steps are interpolated; beyond the shortest seed there is no common step.
    """
    curves = [np.asarray(row.results[seed].curve, dtype=float) for seed in row.seeds]
    curves = [points for points in curves if len(points)]
    if not curves:
        return None
    first = max(points[0, 0] for points in curves)
    last = min(points[-1, 0] for points in curves)
    steps = np.unique(np.concatenate([points[:, 0] for points in curves]))
    steps = steps[(steps >= first) & (steps <= last)]
    if len(steps) > _CURVE_POINTS:
        steps = steps[np.unique(np.linspace(0, len(steps) - 1, _CURVE_POINTS).round().astype(int))]
    if not len(steps):
        return None
    values = np.array([np.interp(steps, points[:, 0], points[:, 1]) for points in curves])
    intervals = np.array([interval(column) for column in values.T.tolist()])
    return Curve(steps, intervals[:, 0], intervals[:, 1], intervals[:, 2])


def learning_curves(board: Board, look: Mapping[str, Series]) -> Figure | None:
    """The deciding metric against the round, one line and one band per method; None without any curve."""
    traces: list[Figure] = []
    curves = {row.name: found for row in board.ranking if row.name in look and (found := curve(row))}
    for name, found in curves.items():
        row = board.row(name)
        style = look[row.name]
        if np.isfinite(found.low).all() and len(found.steps) > 1:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": _numbers([*found.steps, *found.steps[::-1]]),
                    "y": _numbers([*found.high, *found.low[::-1]]),
                    "fill": "toself",
                    "fillcolor": style.hue,
                    "opacity": min(0.16, 0.8 / len(curves)),  # Many bands over each other hide the lines.
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                    "meta": row.name,
                }
            )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if len(found.steps) > 1 else "markers",
                "x": _numbers(found.steps),
                "y": _numbers(found.mean),
                "line": {"color": style.hue, "dash": style.dash, "width": 2},
                "marker": {"color": style.hue, "symbol": style.symbol, "size": 9},
                "text": [
                    f"{_safe(row.name)}<br>{board.curve_axis} {step:g}: {mean:.5g}"
                    for step, mean in zip(found.steps, found.mean, strict=True)
                ],
                "hoverinfo": "text",
                "meta": row.name,
            }
        )
    if not traces:
        return None
    together = (
        np.concatenate(part) for part in zip(*((c.mean, c.low, c.high) for c in curves.values()), strict=True)
    )
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": _safe(board.curve_axis)}},
            "yaxis": {"title": {"text": _axis(board.metrics[0])}, "range": _range(*together)},
        },
    }


def pareto(board: Board) -> list[str]:
    """The methods that no other beats in CPU seconds of a fit and in the deciding metric, cheapest first."""
    deciding = board.metrics[0]
    points = []
    for row in board.ranking:
        if row.status == "ok" and row.costs("fit_cpu"):
            score = deciding.oriented(interval(row.values(deciding.name)).mean)
            points.append((interval(row.costs("fit_cpu")).mean, -score, row.name))
    front, best = [], math.inf
    for _, loss, name in sorted(points):
        if loss < best:
            front.append(name)
            best = loss
    return front


def cost_against_score(board: Board, look: Mapping[str, Series]) -> Figure | None:
    """The deciding metric against CPU seconds of a fit, numbered by rank, with the Pareto front; or None."""
    deciding = board.metrics[0]
    rows = [row for row in board.ranking if row.name in look and row.costs("fit_cpu")]
    if not rows:
        return None
    cost = {row.name: max(interval(row.costs("fit_cpu")).mean, 1e-6) for row in rows}
    score = {row.name: interval(row.values(deciding.name)) for row in rows}
    front = pareto(board)
    traces: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [cost[name] for name in front],
            "y": [score[name].mean for name in front],
            "line": {"shape": "hv", "color": "var(--muted)", "width": 1.5, "dash": "dash"},
            "hoverinfo": "skip",
        }
    ]
    for row in rows:
        style, found = look[row.name], score[row.name]
        on_front = row.name in front
        half = found.high - found.mean
        words = f"{_safe(deciding.name)} {format_interval(row.values(deciding.name))}"
        words += f"<br>fit {format_seconds(cost[row.name])} of CPU"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [cost[row.name]],
                "y": [found.mean],
                "error_y": {
                    "type": "data",
                    "array": [half if math.isfinite(half) else 0],
                    "color": style.hue,
                    "thickness": 1.5,
                    "width": 0,
                },
                "marker": {
                    "size": 22,
                    "color": style.hue if on_front else "var(--page)",
                    "line": {"color": style.hue, "width": 2},
                },
                "text": [str(style.rank)],
                "textfont": {"color": "var(--page)" if on_front else "var(--ink)", "size": 12},
                "hovertext": [f"{_safe(row.name)}<br>{words}" + ("<br>Pareto front" if on_front else "")],
                "hoverinfo": "text",
                "cliponaxis": False,
                "meta": row.name,
            }
        )
    ticks = _ticks(list(cost.values()))
    return {
        "data": traces,
        "layout": {
            "xaxis": {
                "type": "log",
                "title": {"text": "CPU time of a fit"},
                "tickvals": ticks,
                "ticktext": [format_seconds(tick) for tick in ticks],
            },
            "yaxis": {"title": {"text": _axis(deciding)}, "range": _range(*np.array(list(score.values())).T)},
        },
    }


def _range(mean: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[float] | None:
    """The range that shows all means, and of their intervals as much as lets the means be told apart."""
    bottom, top = mean.min(), mean.max()
    span = top - bottom
    if span == 0:
        return None
    bottom = max(np.nanmin([*low, bottom]), bottom - span / 2) - 0.06 * span
    top = min(np.nanmax([*high, top]), top + span / 2) + 0.06 * span
    return [float(bottom), float(top)]


def _ticks(values: Sequence[float]) -> list[float]:
    """Ticks 1, 2, 5 x 10^k around the values; only powers of ten over more than three decades.

    Where fewer than two of them lie among the values, evenly spaced ones.
    """
    least, most = min(values), max(values)
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    steps = (1,) if high - low > 3 else (1, 2, 5)
    ticks = [step * 10.0**power for power in range(low - 1, high + 1) for step in steps]
    if least == most or sum(least <= tick <= most for tick in ticks) >= 2:
        return ticks
    unit = 10.0 ** math.floor(math.log10(most - least))
    step = next(unit * times for times in (0.2, 0.5, 1, 2) if unit * times >= (most - least) / 6)
    first, last = math.floor(least / step), math.ceil(most / step)
    return [float(f"{step * at:.6g}") for at in range(max(first, 1), last + 1)]


def _axis(metric: Metric) -> str:
    unit = f" [{metric.unit}]" if metric.unit else ""
    return _safe(f"{metric.name}{unit} ({metric.better} is better)")


def _safe(text: str) -> str:
    """`text` for Plotly, which reads a few HTML tags in its labels."""
    return html.escape(text, quote=False)


def _numbers(values: Sequence[float] | np.ndarray) -> list[float | None]:
    """JSON numbers of seven digits, null where there is none."""
    return [float(f"{value:.7g}") if math.isfinite(value) else None for value in values]
