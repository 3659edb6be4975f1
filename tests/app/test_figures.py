import itertools
import math

import numpy as np
import pytest
from boards import HOSTILE, board, failed, result, row

from assay.app.figures import cost_against_score, curve, learning_curves, pareto, series
from assay.core.board import Row
from assay.core.statistics import interval


def curved(*curves):
    return Row("m", False, {}, {seed: result(0.5, curve=points) for seed, points in enumerate(curves)})


def test_methods_look_different_from_each_other():
    shown = board(*(row(f"m{i}", [0.5 + i / 100], peer=i % 2 == 0) for i in range(24)))
    looks = [(style.hue, style.dash) for style in series(shown).values()]
    assert len(set(looks)) == 24
    peers = {style.dash for style in series(shown).values() if shown.row(style.name).peer}
    assert not peers & {style.dash for style in series(shown).values() if not shown.row(style.name).peer}


def test_ranks_are_those_of_the_board_and_failed_methods_have_none():
    shown = board()
    assert [style.name for style in series(shown).values()] == [r.name for r in shown.ranking][:4]
    assert [style.rank for style in series(shown).values()] == [1, 2, 3, 4]
    assert "broken" not in series(shown)


def test_curve_is_mean_and_interval_at_each_step():
    values = np.random.default_rng(1).normal(size=(3, 6))
    found = curve(curved(*(list(enumerate(line, 1)) for line in values.tolist())))
    assert found.steps.tolist() == [1, 2, 3, 4, 5, 6]
    for at in range(6):
        expected = interval(values[:, at].tolist())
        assert (found.mean[at], found.low[at], found.high[at]) == pytest.approx(tuple(expected), abs=1e-12)


def test_curve_of_other_steps_is_interpolated_where_all_seeds_reach():
    found = curve(curved([(1, 0.0), (3, 2.0), (9, 8.0)], [(2, 1.0), (5, 4.0)]))
    assert found.steps.tolist() == [2, 3, 5]
    assert found.mean.tolist() == pytest.approx([1, 2, 4])
    assert curve(curved([(1, 0.0)], [(2, 1.0)])) is None
    assert curve(curved([], [])) is None


def test_long_curves_are_thinned_but_keep_their_ends():
    found = curve(curved([(step, step) for step in range(1, 5001)]))
    assert len(found.steps) <= 120
    assert found.steps[0] == 1
    assert found.steps[-1] == 5000
    assert np.isnan(found.low).all()


@pytest.mark.parametrize("seed", range(20))
def test_pareto_front_against_all_pairs(seed):
    rng = np.random.default_rng(seed)
    points = rng.integers(1, 6, size=(8, 2)).tolist()
    shown = board(
        *(row(f"m{i}", [score / 10] * 2, seconds=cost) for i, (cost, score) in enumerate(points)),
        failed("broken"),
    )
    front = pareto(shown)

    def dominates(a, b):
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    expected = {tuple(p) for p in points if not any(dominates(q, p) for q in points)}
    assert {tuple(points[int(name[1:])]) for name in front} == expected
    costs = [points[int(name[1:])][0] for name in front]
    assert costs == sorted(costs)


def charts(shown):
    look = series(shown)
    return learning_curves(shown, look), cost_against_score(shown, look)


def test_figures_are_valid_for_plotly():
    objects = pytest.importorskip("plotly.graph_objects")

    def without_variables(value):
        if isinstance(value, dict):
            return {key: without_variables(item) for key, item in value.items()}
        if isinstance(value, list):
            return [without_variables(item) for item in value]
        return "#123456" if isinstance(value, str) and value.startswith("var(") else value

    for figure in charts(board()):
        objects.Figure(without_variables(figure))  # Raises for any name or value that Plotly does not know.


def test_figures_show_every_method_once_with_its_numbers():
    shown = board()
    curves, cost = charts(shown)
    lines = [trace for trace in curves["data"] if trace.get("fill") is None]
    assert [trace["meta"] for trace in lines] == [
        r.name for r in shown.ranking if r.name in ("forest", "boosting", "rival")
    ]
    assert all(trace["line"]["dash"] == "dot" for trace in lines if trace["meta"] == "rival")
    points = [trace for trace in cost["data"] if "markers" in trace["mode"]]
    costs = {trace["meta"]: trace["x"][0] for trace in points}
    assert costs == pytest.approx({"tree": 0.1, "forest": 5, "boosting": 2, "rival": 30})
    filled = {trace["meta"] for trace in points if trace["marker"]["color"] != "var(--page)"}
    assert filled == set(pareto(shown))
    low, high = cost["layout"]["yaxis"]["range"]
    assert all(low < trace["y"][0] < high for trace in points)
    assert (
        cost["layout"]["xaxis"]["ticktext"][:3] == ["10 ms", "100 ms", "1 s"]
        or "1 s" in cost["layout"]["xaxis"]["ticktext"]
    )


@pytest.mark.parametrize("spread", [1e-3, 0.02, 0.3, 1.0, 20.0, 1e4])
def test_costs_have_at_least_two_ticks_among_them(spread):
    for least in np.geomspace(1e-4, 50, 13).tolist():
        costs = [least, least * (1 + spread / 3), least * (1 + spread)]
        shown = board(*(row(f"m{i}", [0.5], seconds=seconds) for i, seconds in enumerate(costs)))
        chart = cost_against_score(shown, series(shown))
        axis, found = chart["layout"]["xaxis"], [trace["x"][0] for trace in chart["data"][1:]]
        inside = [tick for tick in axis["tickvals"] if min(found) <= tick <= max(found)]
        assert 2 <= len(inside) <= 15
        assert len(axis["ticktext"]) == len(axis["tickvals"])


def test_wide_intervals_do_not_hide_the_means():
    shown = board(row("a", [0.1, 0.9], curve=True), row("b", [0.15, 0.9], curve=True))
    curves, _ = charts(shown)
    low, high = curves["layout"]["yaxis"]["range"]
    means = list(itertools.chain(*(trace["y"] for trace in curves["data"] if trace.get("fill") is None)))
    span = max(means) - min(means)
    assert min(means) - low <= span
    assert high - max(means) <= span


def test_one_seed_and_nothing_finished():
    curves, cost = charts(board(row("only", [0.5], curve=True)))
    assert len(curves["data"]) == 1  # No band.
    assert cost["data"][1]["error_y"]["array"] == [0]
    assert charts(board(failed("a"), failed("b"))) == (None, None)


def test_labels_are_escaped_for_plotly_and_hold_no_nan():
    curves, cost = charts(board(row(HOSTILE, [0.5, 0.6, 0.7], curve=True)))
    for trace in curves["data"] + cost["data"]:
        for text in [*trace.get("text", []), *trace.get("hovertext", [])]:
            assert "<script" not in text
            assert "<img" not in text
        numbers = [value for value in [*trace["x"], *trace["y"]] if value is not None]
        assert all(math.isfinite(value) for value in numbers)
