"""The report's pictures: error against samples beside the theory, and the estimates on their way.

Colours are the report's CSS variables, so that the pictures can be read on a light and on a dark page.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from assay.core.board import Board, Row
from assay.core.statistics import interval
from assay.core.task import Figure
from assay.estimation.estimate import Estimate
from assay.estimation.metrics import rate
from assay.estimation.schedules import Values
from assay.estimation.theory import limit, predicted_error

_HUES = 8  # as many as the report's style defines
_PATHS = 3  # runs of a method that are drawn
_LEAST = 1e-12  # of the logarithmic axis


def figures(board: Board) -> Iterator[Figure]:
    """The pictures that the board has curves and models for."""
    rows = [row for row in board.ranking if row.status == "ok"]
    if any(row.results[seed].curve for row in rows for seed in row.seeds):
        yield convergence(board, rows)
    models = {row.name: model for row in rows if (model := _model(board, row)) is not None}
    shape = np.shape(board.data["answer"])
    if models and shape == ():
        yield estimates(models, float(board.data["answer"]), board.data["seeks"])
    if models and shape == (2,):
        yield paths(models, board.data["answer"], board.data["seeks"])


def convergence(board: Board, rows: Sequence[Row]) -> Figure:
    """Error against samples on logarithmic axes: means over seeds with intervals, and what theory says."""
    data: list[Any] = []
    slope, noise = board.data.get("slope"), board.data.get("noise")
    last = 1.0
    for hue, row in enumerate(rows):
        samples, errors = _curve(row)
        if not len(samples):
            continue
        last = max(last, float(samples[-1]))
        found = np.array([interval(list(column)) for column in errors.T])
        steep = rate(samples, found[:, 0])
        name = row.name if steep is None else f"{row.name} (slope {steep:.2f})"
        if len(errors) > 1:
            data.append(_band(samples, found[:, 1], found[:, 2], hue))
        data.append(_line(name, samples, found[:, 0], hue))
        if slope and noise and (model := _model(board, row)) is not None:
            data += _theory(model, samples, slope, noise, hue)
    caption = (
        f"Root mean square error of {board.data['seeks']} after so many samples: mean over the seeds with "
        "its 95 % interval; the slope is that of the last decade."
    )
    if slope and noise:
        ends = np.array([1.0, last])
        data.append(_line("limit", ends, limit(ends, slope=slope, noise=noise), None, dash="dash"))
        caption += (
            " Dashed: the least error that theory allows. Dotted: what theory says of a method near the root."
        )
    if notes := _notes(board, rows):
        caption += f" Conditions that are broken: {notes}."
    axes = {"xaxis": _log_axis("samples of a run", 1), "yaxis": _log_axis("RMSE")}
    return Figure("Convergence", caption, {"data": data, "layout": axes})


def estimates(models: dict[str, Estimate], answer: float, seeks: str) -> Figure:
    """Mean and standard deviation over the runs of every method's estimate, against samples."""
    data: list[Any] = []
    last = 1
    for hue, (name, model) in enumerate(models.items()):
        samples, trace = model.samples[1:].astype(np.float64), model.trace[1:]
        last = max(last, int(samples[-1]))
        mean, spread = trace.mean(axis=1), trace.std(axis=1)
        data.append(_band(samples, mean - spread, mean + spread, hue, positive=False))
        data.append(_line(name, samples, mean, hue, positive=False))
    data.append(_line("answer", np.array([1, last]), np.full(2, answer), None, dash="dash", positive=False))
    axes = {"xaxis": _log_axis("samples of a run", 1), "yaxis": {"title": {"text": "estimate"}}}
    return Figure(
        "Estimates",
        f"Where the estimates of {seeks} are after so many samples: mean over the runs of the first seed "
        "and, as a band, one standard deviation to either side. Dashed: the answer.",
        {"data": data, "layout": axes},
    )


def paths(models: dict[str, Estimate], answer: Sequence[float], seeks: str) -> Figure:
    """The way of a few runs of every method through the plane."""
    data: list[Any] = []
    for hue, (name, model) in enumerate(models.items()):
        for run in range(min(_PATHS, model.trace.shape[1])):
            x, y = model.trace[:, run].T
            line = _line(name, x, y, hue, positive=False) | {"showlegend": run == 0, "legendgroup": name}
            data.append(line)
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "answer",
            "x": [answer[0]],
            "y": [answer[1]],
            "marker": {"symbol": "x", "size": 10, "color": "var(--ink)"},
        }
    )
    axes = {"xaxis": {"title": {"text": "w, first entry"}}, "yaxis": {"title": {"text": "w, second entry"}}}
    caption = f"The way of a few runs towards {seeks}: fast when far, noisy when near."
    return Figure("Paths", caption, {"data": data, "layout": axes})


def _model(board: Board, row: Row) -> Estimate | None:
    if board.open_model is None or not row.seeds:
        return None
    model = board.model(row.name)
    return model if isinstance(model, Estimate) else None


def _curve(row: Row) -> tuple[Values, Values]:
    """Samples, and errors of shape (seeds, samples); empty without a curve."""
    curves = [np.array(row.results[seed].curve).reshape(-1, 2) for seed in row.seeds]
    common = min((len(points) for points in curves), default=0)
    return curves[0][:common, 0] if curves else np.empty(0), np.array(
        [points[:common, 1] for points in curves]
    )


def _theory(model: Estimate, samples: Values, slope: float, noise: float, hue: int) -> Iterator[Any]:
    if model.schedule is None:
        return
    predicted = predicted_error(
        samples,
        slope=slope,
        noise=noise,
        schedule=model.schedule,
        batch_size=model.batch_size,
        averaged=model.averaged,
    )
    if predicted is not None:
        yield _line("theory", samples, predicted, hue, dash="dot") | {"showlegend": False, "opacity": 0.7}


def _notes(board: Board, rows: Sequence[Row]) -> str:
    models = {row.name: _model(board, row) for row in rows}
    return "; ".join(
        f"{name}: {', '.join(model.notes)}" for name, model in models.items() if model and model.notes
    )


def _log_axis(title: str, ticks: str | int = "D2") -> dict[str, Any]:
    """Ticks at every 1, 2 and 5; or at powers of ten only, which a narrow page has room for."""
    return {"title": {"text": title}, "type": "log", "dtick": ticks, "exponentformat": "power"}


def _line(
    name: str, x: Values, y: Values, hue: int | None, *, dash: str = "solid", positive: bool = True
) -> dict[str, Any]:
    if hue is not None and hue >= _HUES and dash == "solid":
        dash = "longdash"
    return {
        "type": "scatter",
        "mode": "lines" if len(x) > 1 else "markers",
        "name": name,
        "x": _numbers(x),
        "y": _numbers(np.maximum(y, _LEAST) if positive else y),
        "line": {"color": _colour(hue), "dash": dash, "width": 2},
        "marker": {"color": _colour(hue), "size": 9},
    }


def _band(x: Values, low: Values, high: Values, hue: int, *, positive: bool = True) -> dict[str, Any]:
    if positive:  # An interval may reach below zero, which a logarithmic axis has no place for.
        low = np.maximum(low, high / 100)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _numbers([*x, *x[::-1]]),
        "y": _numbers([*high, *low[::-1]]),
        "fill": "toself",
        "fillcolor": _colour(hue),
        "opacity": 0.12,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _colour(hue: int | None) -> str:
    return "var(--ink)" if hue is None else f"var(--series-{hue % _HUES})"


def _numbers(values: Any) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
