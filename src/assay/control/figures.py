"""The report's pictures: the grid with its policy, how values spread over it, and convergence.

Colours are the report's CSS variables, so that the pictures can be read on a light and on a dark page.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from assay.control.mdp import Actions, Grid, Values
from assay.control.solution import Solution
from assay.core.board import Board
from assay.core.task import Figure

_PLANNING = ("value-iteration", "truncated-policy-iteration", "policy-iteration", "bellman-iteration")
_SCALE = [[0, "rgba(31,102,193,0.04)"], [1, "rgba(31,102,193,0.55)"]]
_PANELS = 6
_PANEL_COLUMNS = 3
_MOST_LABELLED = 400  # cells; beyond, numbers cannot be read
_SMALLEST_ERROR = 1e-12  # of the logarithmic axis
_CURVE_POINTS = 100
_HUES = 8  # as many as the report's style defines


def figures(board: Board) -> Iterator[Figure]:
    """The pictures that the board has the models and the grid for."""
    written = board.data.get("grid")
    grid = Grid(**{name: tuple(value) for name, value in written.items()}) if written else None
    known = board.data.get("optimal values")
    optimal = None if known is None else np.array(known)
    solutions = {name: list(_solutions(board, name)) for name in _finished(board)}
    solutions = {name: found for name, found in solutions.items() if found}
    if grid is not None and board.leader is not None and board.leader.name in solutions:
        yield policy_picture(board.leader.name, solutions[board.leader.name][0], grid)
    swept = next((name for name in _PLANNING if name in solutions), None)
    if grid is not None and swept is not None:
        yield evolution(swept, solutions[swept][0], grid)
    if optimal is None:
        return
    planned = {name: solutions[name][0] for name in _PLANNING[:3] if name in solutions}
    if planned:
        yield convergence(planned, optimal, float(board.data["gamma"]))
    sampled = {name: found for name, found in solutions.items() if len(found[0].trace.episode_lengths)}
    if sampled:
        yield value_errors(sampled, optimal)


def policy_picture(name: str, solution: Solution, grid: Grid) -> Figure:
    """Values and greedy actions of a solution on its grid."""
    actions = solution.predict()
    layout = {"xaxis": _axis(), "yaxis": _axis("x"), "shapes": _shapes(grid, "")}
    return Figure(
        "The policy found",
        f"What {name} found: in every cell its value and the action taken there ({_legend(grid)}).",
        {"data": [_cells(solution.v, actions, grid, solution.v, "")], "layout": layout},
    )


def evolution(name: str, solution: Solution, grid: Grid) -> Figure:
    """Values and greedy actions at a few iterations, side by side."""
    trace = solution.trace
    last = len(trace.steps) - 1
    shown = np.unique(np.concatenate([[0], np.geomspace(1, max(last, 1), _PANELS - 1).round().astype(int)]))
    shown = shown[shown <= last]
    columns = min(_PANEL_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    data: list[Any] = []
    layout: dict[str, Any] = {"shapes": [], "annotations": []}
    for panel, at in enumerate(shown.tolist()):
        row, column = divmod(panel, columns)
        key = "" if panel == 0 else str(panel + 1)
        left, right = column / columns + 0.01, (column + 1) / columns - 0.01
        top, bottom = 1 - row / rows - 0.07, 1 - (row + 1) / rows + 0.01
        layout[f"xaxis{key}"] = _axis() | {"domain": [left, right], "anchor": f"y{key}"}
        layout[f"yaxis{key}"] = _axis(f"x{key}") | {"domain": [bottom, top], "anchor": f"x{key}"}
        layout["shapes"] += _shapes(grid, key)
        layout["annotations"].append(
            {
                "text": f"iteration {trace.iterations[at]}",
                "x": 0.5,
                "y": 1,
                "xref": f"x{key} domain",
                "yref": f"y{key} domain",
                "yanchor": "bottom",
                "showarrow": False,
            }
        )
        data.append(_cells(trace.v[at], trace.actions[at], grid, trace.v, key))
    return Figure(
        "How it evolves",
        f"Values and greedy actions of {name} after some of its iterations ({_legend(grid)}).",
        {"data": data, "layout": layout},
    )


def convergence(planned: Mapping[str, Solution], optimal: Values, gamma: float) -> Figure:
    """The largest error of a value against the iteration, with the bound of a contraction."""
    data: list[Any] = []
    longest = 1
    for hue, (name, solution) in enumerate(planned.items()):
        errors = np.abs(solution.trace.v - optimal).max(axis=1)
        iterations = solution.trace.iterations
        longest = max(longest, int(iterations[-1]))
        data.append(_line(name, iterations, np.maximum(errors, _SMALLEST_ERROR), hue))
    if gamma > 0:
        steps = np.unique(np.linspace(0, longest, _CURVE_POINTS).round())
        bound = np.maximum(np.abs(optimal).max() * gamma**steps, _SMALLEST_ERROR)
        data.append(_line(f"bound: {gamma:g}^k of the first error", steps, bound, 7, dash="dot"))
    return Figure(
        "Convergence",
        "The largest error of a state's value after k iterations. From values of zero, value iteration must "
        f"stay below the dotted line, which falls by {gamma:g} in every sweep. Policy iteration starts from "
        "the values of a policy instead, and each of its iterations solves a linear system.",
        {
            "data": data,
            "layout": {"xaxis": {"title": {"text": "iteration"}}, "yaxis": _log_axis("largest error")},
        },
    )


def value_errors(sampled: Mapping[str, Sequence[Solution]], optimal: Values) -> Figure:
    """The state value error of methods that sample, mean over seeds, against the steps taken."""
    data: list[Any] = []
    for hue, (name, found) in enumerate(sampled.items()):
        last = min(int(solution.trace.steps[-1]) for solution in found)
        steps = np.unique(np.linspace(0, last, _CURVE_POINTS).round())
        errors = [
            np.interp(steps, s.trace.steps, np.sqrt(np.mean((s.trace.v - optimal) ** 2, axis=1)))
            for s in found
        ]
        low, high = np.min(errors, axis=0), np.max(errors, axis=0)
        if len(found) > 1:
            data.append(_band(steps, low, high, hue))
        data.append(_line(name, steps, np.maximum(np.mean(errors, axis=0), _SMALLEST_ERROR), hue))
    axes = {"xaxis": {"title": {"text": "transitions sampled"}}, "yaxis": _log_axis("RMSE of max q")}
    return Figure(
        "State value error",
        "The root mean square over all states of max q - v* while methods sample: mean over the seeds, with "
        "their range as a band. States off the path that a method prefers are hardly visited any more.",
        {"data": data, "layout": axes},
    )


def _finished(board: Board) -> list[str]:
    return [row.name for row in board.ranking if row.status == "ok"]


def _solutions(board: Board, name: str) -> Iterator[Solution]:
    if board.open_model is None:
        return
    for seed in board.row(name).seeds:
        model = board.model(name, seed)
        if isinstance(model, Solution):
            yield model


def _cells(v: Values, actions: Actions, grid: Grid, all_values: Values, key: str) -> dict[str, Any]:
    rows, columns = grid.shape
    labels = [f"{value:.3g}<br>{grid.arrows[action]}" for value, action in zip(v, actions, strict=True)]
    low, high = float(all_values.min()), float(all_values.max())
    trace = {
        "type": "heatmap",
        "z": [[float(f"{value:.6g}") for value in row] for row in v.reshape(rows, columns)],
        "x": list(range(1, columns + 1)),
        "y": list(range(1, rows + 1)),
        "xaxis": f"x{key}",
        "yaxis": f"y{key}",
        "zmin": low,
        "zmax": high if high > low else low + 1,
        "colorscale": _SCALE,
        "showscale": False,
        "text": np.reshape(labels, (rows, columns)).tolist(),
        "hovertemplate": "row %{y}, column %{x}<br>%{text}<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }
    if rows * columns <= _MOST_LABELLED:
        trace |= {"texttemplate": "%{text}", "textfont": {"color": "var(--ink)"}}
    return trace


def _shapes(grid: Grid, key: str) -> list[dict[str, Any]]:
    """Forbidden cells shaded, targets outlined."""
    edge = {"color": "var(--series-1)", "width": 1.5, "dash": "dot"}
    shaded = {"fillcolor": "rgba(184,72,10,0.16)", "line": edge, "layer": "above"}
    outlined = {"line": {"color": "var(--series-2)", "width": 3}, "layer": "above"}
    marked = [(state, shaded) for state in grid.forbidden] + [(state, outlined) for state in grid.targets]
    shapes = []
    for state, style in marked:
        row, column = divmod(state, grid.shape[1])
        box = {"x0": column + 0.5, "x1": column + 1.5, "y0": row + 0.5, "y1": row + 1.5}
        shapes.append({"type": "rect", "xref": f"x{key}", "yref": f"y{key}", **box, **style})
    return shapes


def _legend(grid: Grid) -> str:
    marks = ["targets are outlined"] if grid.targets else []
    marks += ["forbidden cells are shaded"] if grid.forbidden else []
    marks += ["○ stays"] if "○" in grid.arrows else []
    return ", ".join(marks) or "row 1 is on top"


def _axis(square_with: str | None = None) -> dict[str, Any]:
    axis: dict[str, Any] = {"showticklabels": False, "showgrid": False, "ticks": "", "constrain": "domain"}
    if square_with is None:
        return axis
    return axis | {"autorange": "reversed", "scaleanchor": square_with}


def _log_axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "type": "log", "exponentformat": "power"}


def _line(name: str, x: Any, y: Any, hue: int, dash: str = "solid") -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) <= 40 else "lines",
        "name": name,
        "x": [float(value) for value in x],
        "y": [float(f"{value:.6g}") for value in y],
        "line": {
            "color": f"var(--series-{hue % _HUES})",
            "dash": "dash" if hue >= _HUES else dash,
            "width": 2,
        },
    }


def _band(x: Values, low: Values, high: Values, hue: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [float(value) for value in (*x, *x[::-1])],
        "y": [float(f"{max(value, _SMALLEST_ERROR):.6g}") for value in (*high, *low[::-1])],
        "fill": "toself",
        "fillcolor": f"var(--series-{hue % _HUES})",
        "opacity": 0.15,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
