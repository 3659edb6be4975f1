"""The report's pictures: time and memory against the length, and the rate beside the ceiling of a GPU.

Colours are the report's CSS variables, so that the pictures can be read on a light and on a dark page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from assay.attention.flops import ceiling
from assay.attention.measuring import peak_bytes, stepping, tiny
from assay.attention.methods import Prepared
from assay.core.board import Board
from assay.core.statistics import interval
from assay.core.task import Figure

_HUES = 8  # as many as the report's style defines
_LENGTHS = (256, 512, 1024, 2048)
Points = Sequence[tuple[float, float]]


def figures(board: Board) -> Iterator[Figure]:
    """The pictures that the board has the numbers for."""
    finished = [row for row in board.ranking if row.status == "ok" and row.results]
    times = {row.name: _mean([result.curve for result in row.results.values()]) for row in finished}
    times = {name: points for name, points in times.items() if points}
    if times:
        yield time_figure(times, board.data["name"])
    models = {row.name: board.model(row.name) for row in finished} if board.open_model else {}
    models = {name: model for name, model in models.items() if isinstance(model, Prepared)}
    if models:
        yield memory_figure({name: memory(model) for name, model in models.items()})
    if board.data.get("device", "cpu") != "cpu" and finished:
        rates = {row.name: interval(row.values("GFLOP/s")).mean / 1e3 for row in finished}
        yield ceiling_figure(rates, int(board.data["dim"]))


def time_figure(times: Mapping[str, Points], name: str) -> Figure:
    """Milliseconds against the length, both on logarithmic scales."""
    return Figure(
        "Time against length",
        f"Milliseconds of one step at parts of the length of {name}, mean over the seeds; both axes are "
        "logarithmic. Every method does work that grows with the square of the length.",
        _plot(times, "milliseconds"),
    )


def memory_figure(memories: Mapping[str, Points]) -> Figure:
    """Memory beyond operands and results against the length."""
    return Figure(
        "Memory against length",
        "Megabytes beyond operands and results for one head of one sequence, measured now in one process; "
        "both axes are logarithmic. Where all scores are kept, four times for every doubling of the length; "
        "else a tile, and what grows with the length itself.",
        _plot(memories, "megabytes"),
    )


def ceiling_figure(rates: Mapping[str, float], dim: int) -> Figure:
    """TFLOP/s of each method beside what an H100 can do when products and exponentials do not overlap."""
    limit = ceiling(dim) / 1e12
    bars = {
        "type": "bar",
        "x": list(rates),
        "y": [float(f"{rate:.4g}") for rate in rates.values()],
        "marker": {"color": "var(--series-0)"},
        "name": "measured",
    }
    line = {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": limit, "y1": limit}
    return Figure(
        "Rate and ceiling",
        f"TFLOP/s of each method. The line, at {limit:.0f}, is what an H100 or H200 can reach at D = {dim} "
        "in bfloat16 if matrix products and exponentials wait for each other.",
        {
            "data": [bars],
            "layout": {
                "yaxis": {"title": {"text": "TFLOP/s"}},
                "shapes": [line | {"line": {"color": "var(--series-1)", "dash": "dash", "width": 2}}],
            },
        },
    )


def memory(model: Prepared) -> Points:
    """Megabytes of one head of one sequence, for growing lengths, without those too small to be seen."""
    points = []
    stepping(model, tiny(model.problem))()  # What a first call loads is nobody's memory.
    for length in _LENGTHS:
        problem = replace(model.problem, batch=1, heads=1, kv_heads=1, length=length, keys=None)
        peak, _ = peak_bytes(stepping(replace(model, problem=problem), problem), problem.device)
        points.append((float(length), peak / 1e6))
    return [(length, megabytes) for length, megabytes in points if megabytes > 0]


def _mean(curves: Sequence[Points]) -> Points:
    if not all(curves) or len({len(curve) for curve in curves}) != 1:
        return ()
    return [
        (points[0][0], sum(value for _, value in points) / len(points))
        for points in zip(*curves, strict=True)
    ]


def _plot(lines: Mapping[str, Points], unit: str) -> dict[str, Any]:
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": [x for x, _ in points],
            "y": [float(f"{y:.4g}") for _, y in points],
            "line": {"color": f"var(--series-{hue % _HUES})", "width": 2},
        }
        for hue, (name, points) in enumerate(lines.items())
    ]
    axes = {"xaxis": {"title": {"text": "length"}, "type": "log"}}
    return {"data": data, "layout": axes | {"yaxis": {"title": {"text": unit}, "type": "log"}}}
