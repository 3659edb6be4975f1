"""A board as one HTML page: leaderboard, differences, curves, costs, settings, data. It needs no network."""

import base64
import functools
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from assay import __version__
from assay.app.figures import Series, cost_against_score, curve, learning_curves, pareto, series
from assay.app.strips import Axis
from assay.core.board import Board, Row
from assay.core.files import write_text
from assay.core.leaderboard import format_bytes, format_interval, format_seconds
from assay.core.statistics import interval

_NARROW = 400  # pixels; figures of at most so many stand side by side
_ARROWS = {"higher": "↑", "lower": "↓"}
_LEADERBOARD_COSTS = {
    "fit_cpu": "fit CPU",
    "predict_cpu": "predict CPU",
    "peak_memory": "memory",
    "model_size": "model",
}
_ALL_COSTS = {
    "fit_cpu": "fit CPU",
    "fit_wall": "fit wall",
    "predict_cpu": "predict CPU",
    "predict_wall": "predict wall",
    "peak_memory": "peak memory",
    "model_size": "model size",
}


def write_board(board: Board, path: Path, *, command: str | None = None) -> None:
    """Writes the page of `board` to `path`, with all it needs inside.

    Args:
        board: what to show.
        path: of the HTML file; its folder exists.
        command: that made the board; None derives one.
    """
    write_text(Path(path), board_page(board, command=command, plotly=inline_plotly()))


def board_page(board: Board, *, command: str | None, plotly: Markup, home: str | None = None) -> str:
    """The HTML of a board's page.

    Args:
        board: what to show.
        command: that made the board; None derives one.
        plotly: the script element that defines Plotly.
        home: address of the page that lists all boards, if there is one.
    """
    look = series(board)
    ok = [row for row in board.ranking if row.status == "ok"]
    charts = {"curves": learning_curves(board, look), "cost": cost_against_score(board, look)}
    charts |= {f"own-{i}": figure.plotly for i, figure in enumerate(board.figures) if figure.plotly}
    curves = {row.name: found for row in ok if (found := curve(row)) is not None}
    page = templates().get_template("board.html")
    return page.render(
        board=board,
        home=home,
        plotly=plotly,
        charts={name: chart for name, chart in charts.items() if chart},
        images=[figure.image and base64.b64encode(figure.image).decode() for figure in board.figures],
        beside=[figure.plotly is None and _width(figure.image) <= _NARROW for figure in board.figures],
        ok=ok,
        failures=[row for row in board.ranking if row.status != "ok"],
        tied={difference.second for difference in board.contenders},
        command=command or _derived_command(board),
        given=command is not None,
        data=dict(board.data) | {"fingerprint": board.data["fingerprint"][:16]},
        environment=_environment(board.environment),
        curves_title=_heading(f"{board.metrics[0].name} by {board.curve_axis}"),
        without_curve=[row.name for row in ok if row.name not in curves],
        curved=[look[name] for name in curves],
        curve_numbers=[
            {
                "name": name,
                "texts": [
                    f"{found.mean[at]:.5g} at {found.steps[at]:g}"
                    for at in (round(share * (len(found.steps) - 1)) for share in (0, 0.25, 0.5, 0.75, 1))
                ],
            }
            for name, found in curves.items()
        ],
        cost_labels=_ALL_COSTS.values(),
        costs=_costs(board, look),
        **_leaders(board, look),
        **_differences(board, ok),
    )


def inline_plotly() -> Markup:
    """A script element with all of plotly.js in it."""
    return Markup(f"<script>{plotly_source()}</script>")


def plotly_source() -> str:
    """The text of plotly.js, as the package plotly brings it."""
    from plotly.offline import get_plotlyjs  # Imported here: only a report needs it.

    return get_plotlyjs()


@functools.cache
def templates() -> Environment:
    """The templates of the report; everything put into them is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = __version__
    return environment


def _leaders(board: Board, look: Mapping[str, Series]) -> dict[str, Any]:
    deciding = board.metrics[0]
    intervals = {row.name: interval(values) for row in board.ranking if (values := row.values(deciding.name))}
    best = intervals[board.leader.name].mean if board.leader else None
    axis = Axis.around(best, list(intervals.values())) if best is not None else None
    # The deciding metric, drawn, then what it costs, then the other metrics.
    headings = [f"{m.name}{f' {m.unit}' if m.unit else ''} {_ARROWS[m.better]}" for m in board.metrics]
    headings[1:1] = ["", *_LEADERBOARD_COSTS.values()]
    columns = [{"label": "rank", "kind": "number"}, {"label": "method", "kind": ""}]
    columns += [{"label": label, "kind": "number" if label else "drawing"} for label in headings]
    leaders = [
        {
            "rank": look[row.name].rank if row.name in look else None,
            "name": row.name,
            "status": row.status,
            "peer": row.peer,
            "cells": [
                _cell(row.values(deciding.name), format_interval),
                *(_cost(row, name) for name in _LEADERBOARD_COSTS),
                *(_cell(row.values(metric.name), format_interval) for metric in board.metrics[1:]),
            ],
            "strip": axis.strip(intervals[row.name]) if axis and row.name in intervals else None,
        }
        for row in board.ranking
    ]
    reference = axis.place(best) if axis and best is not None else None
    return {"columns": columns, "leaders": leaders, "axis": axis, "reference": reference}


def _differences(board: Board, ok: Sequence[Row]) -> dict[str, Any]:
    """Each other method minus the leader, drawn around zero."""
    leader = board.leader
    found = [board.difference(row.name, leader.name) for row in ok if leader and row is not leader]
    known = [difference for difference in found if difference is not None]
    if not known:
        return {"differences": [], "difference_axis": None, "zero": None}
    axis = Axis.around(0.0, [difference.interval for difference in known])
    rows = []
    for difference in known:
        if difference.settled:
            reading = "worse than the leader"
        elif len(difference.values) < 2:
            reading = "one seed gives no interval"
        elif difference.more_seeds is None:
            reading = "≈ tie; too close for any reasonable number of seeds"
        else:
            count = difference.more_seeds
            reading = f"≈ tie; about {count} more seed{'s' if count != 1 else ''} would probably settle it"
        rows.append(
            {
                "name": difference.first,
                "text": format_interval(difference.values),
                "strip": axis.strip(difference.interval),
                "settled": difference.settled,
                "reading": reading,
            }
        )
    return {"differences": rows, "difference_axis": axis, "zero": axis.place(0.0)}


def _costs(board: Board, look: Mapping[str, Series]) -> list[dict[str, Any]]:
    front = pareto(board)
    return [
        {
            "rank": style.rank,
            "name": style.name,
            "hue": style.hue,
            "front": style.name in front,
            "cells": [_cost(board.row(style.name), name) for name in _ALL_COSTS],
        }
        for style in look.values()
    ]


def _cost(row: Row, name: str) -> dict[str, Any]:
    form = format_bytes if name in ("peak_memory", "model_size") else format_seconds
    return _cell(row.costs(name), lambda values: form(interval(values).mean) if values else "–")


def _cell(values: Sequence[float], form: Any) -> dict[str, Any]:
    """A table's cell: what is read, and what it is sorted by."""
    return {"text": form(values), "value": interval(values).mean if values else ""}


def _width(png: bytes | None) -> int:
    """Pixels, as the header of a PNG says."""
    return int.from_bytes(png[16:20], "big") if png else 0


def _heading(words: str) -> str:
    return words[:1].upper() + words[1:]


def _environment(environment: Mapping[str, Any]) -> dict[str, Any]:
    shown = dict(environment)
    if isinstance(shown.get("memory"), (int, float)):
        shown["memory"] = format_bytes(shown["memory"])
    return shown


def _derived_command(board: Board) -> str:
    words = ["assay", "compare", board.task, "--data", str(board.data.get("name", ""))]
    target = board.data.get("target")
    words += ["--target", target] if isinstance(target, str) else []
    own = [row.name for row in board.ranking if not row.peer]
    words += ["--methods", ",".join(own)] if own else []
    words += ["--peers"] if len(own) < len(board.rows) else []
    words += ["--seeds", str(len(board.seeds))]
    words += ["--budget", board.budget] if board.budget else []
    words += ["--scale", board.scale] if board.scale != "default" else []
    words += ["--threads", str(board.threads)] if board.threads != 1 else []
    for name, usual in (("device", "cpu"), ("precision", "fp32")):
        chosen = board.environment.get(name, usual)
        words += [f"--{name}", chosen] if chosen != usual else []
    return shlex.join(words)
