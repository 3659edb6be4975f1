import math

import pytest

from assay.core.board import Board, Row
from assay.core.leaderboard import format_bytes, format_interval, format_seconds
from assay.core.task import Figure, Metric
from assay.core.trial import Cost, Result

COST = Cost(fit_wall=1.0, fit_cpu=2.0, predict_wall=0.1, predict_cpu=0.2, peak_memory=10**6, model_size=2000)


def board(better="higher", failed=(), **scores) -> Board:
    rows = [
        Row(
            name,
            False,
            {"depth": 3},
            {
                s: Result(status="ok", metrics={"auc": v, "other": -v}, cost=COST)
                for s, v in enumerate(values)
            },
        )
        for name, values in scores.items()
    ]
    for name in failed:
        rows.append(Row(name, True, {}, {0: Result(status="timeout", error="not finished after 1 s")}))
    return Board(
        task="toy",
        question="Which?",
        data={"name": "numbers"},
        metrics=(Metric("auc", better), Metric("other", "lower", "s")),
        rows=tuple(rows),
        seeds=tuple(range(len(next(iter(scores.values()))))) if scores else (0,),
        budget=None,
        scale="default",
        threads=1,
        curve_axis="round",
        environment={"python": "3"},
    )


def test_winner_must_beat_every_other_beyond_the_interval():
    clear = board(a=[0.9, 0.91, 0.92], b=[0.8, 0.81, 0.82], c=[0.7, 0.75, 0.7])
    assert clear.winner == "a"
    assert "a wins" in clear.verdict
    assert [row.name for row in clear.ranking] == ["a", "b", "c"]
    tied = board(a=[0.9, 0.91, 0.92], b=[0.8, 0.92, 0.95], c=[0.1, 0.1, 0.1])
    assert tied.leader is not None
    assert tied.leader.name == "a"
    assert tied.winner is None
    assert [d.second for d in tied.contenders] == ["b"]
    assert "does not separate it from b" in tied.verdict
    assert "more seeds would probably settle it" in tied.verdict


def test_a_difference_that_no_seed_changes_is_said_to_have_no_interval():
    split = board(a=[0.9, 0.91, 0.92], b=[0.8, 0.81, 0.82], c=[0.7, 0.75, 0.7])
    assert split.winner == "a"
    assert split.verdict.endswith(" Seeds change nothing in its difference from b, so no interval bounds it.")
    assert "Seeds change nothing" not in board(a=[0.9, 0.91], b=[0.2, 0.22]).verdict
    assert "Seeds change nothing" not in board(a=[0.9], b=[0.8]).verdict


def test_lower_can_be_better():
    found = board(better="lower", a=[3.0, 3.1], b=[1.0, 1.1])
    assert found.winner == "b"
    assert found.difference("a", "b").interval.mean == pytest.approx(2)


def test_one_seed_names_no_winner():
    found = board(a=[0.9], b=[0.1])
    assert found.winner is None
    assert "One seed gives no interval" in found.verdict


def test_equal_methods_are_said_to_be_too_close():
    found = board(a=[0.9, 0.8], b=[0.9, 0.8])
    assert found.verdict.endswith(" They are too close for any reasonable number of seeds.")
    mixed = board(a=[0.9, 0.8], b=[0.9, 0.8], c=[0.9, 0.7])
    assert mixed.verdict.endswith(
        "separate it from b, c. b is too close to it for any reasonable number of seeds."
    )


def test_failed_methods_come_last_and_cannot_win():
    found = board(failed=["late"], a=[0.1, 0.2])
    assert [row.name for row in found.ranking] == ["a", "late"]
    assert found.row("late").status == "timeout"
    assert found.row("late").error == "not finished after 1 s (seed 0; 1 of 1 seeds failed)"
    assert found.winner is None
    assert "only method that finished" in found.verdict
    assert "not finished after 1 s" in str(found)
    nothing = board(failed=["late"])
    assert nothing.verdict == "No method finished every seed."
    with pytest.raises(LookupError):
        _ = nothing.best
    str(nothing)


def test_partly_failed_method_keeps_its_values_but_cannot_lead():
    results = {0: Result(status="ok", metrics={"auc": 1.0, "other": 0}, cost=COST), 1: Result(status="nan")}
    base = board(a=[0.5, 0.6])
    from dataclasses import replace

    found = replace(base, rows=(*base.rows, Row("half", False, {}, results)))
    assert found.leader is not None
    assert found.leader.name == "a"
    assert found.row("half").values("auc") == (1.0,)
    assert found.difference("half", "a").values == (0.5,)


def test_json_round_trip(tmp_path):
    found = board(failed=["late"], a=[0.9, 0.91], b=[0.8, 0.92])
    value = found.to_json()
    assert value["metrics"][1] == {"name": "other", "better": "lower", "unit": "s"}
    first = value["methods"][0]
    assert {"name", "peer", "status", "error", "settings", "metrics", "cost"} <= set(first)
    assert set(first["metrics"]["auc"]) == {"mean", "low", "high", "values"}
    assert first["cost"]["fit_cpu"]["mean"] == 2.0
    assert value["differences"][0]["first"] == "a"
    found.write(tmp_path / "board.json")
    again = Board.read(tmp_path / "board.json")
    assert again.to_json() == value
    assert str(again) == str(found)
    with pytest.raises(LookupError, match="read from a file"):
        again.model("a")


def test_figures_survive_the_round_trip():
    from dataclasses import replace

    pictures = (
        Figure("grid", "values", image=b"PNG"),
        Figure("curve", "a line", plotly={"data": [], "layout": {}}),
    )
    found = replace(board(a=[0.9, 0.91]), draw=lambda board: pictures)
    assert Board.from_json(found.to_json()).figures == pictures


def test_one_seed_has_null_bounds_in_json():
    summary = board(a=[0.9]).to_json()["methods"][0]["metrics"]["auc"]
    assert summary == {"mean": 0.9, "low": None, "high": None, "values": [0.9]}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"methods": 3}'])
def test_reading_something_else_is_a_clear_error(tmp_path, text):
    path = tmp_path / "board.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"board\.json: expected a board"):
        Board.read(path)


def test_unknown_row_lists_the_known():
    with pytest.raises(KeyError, match="there are a, b"):
        board(a=[1.0], b=[2.0]).row("c")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "-"),
        ([0.5], "0.5000"),
        ([12.3456], "12.35"),
        ([0.9271, 0.9281, 0.9261], "0.9271 ±0.0025"),
        ([10.0, 30.0, 50.0], "30 ±50"),
        ([0.5, 0.5], "0.5000"),
    ],
)
def test_format_interval(values, text):
    assert format_interval(values) == text


def test_format_sizes_and_times():
    assert [format_bytes(b) for b in (12, 3456, 7_654_321, 3e9)] == ["12 B", "3.46 kB", "7.65 MB", "3 GB"]
    assert [format_seconds(s) for s in (0.0123, 1.234, 250.0)] == ["12.3 ms", "1.23 s", "250 s"]
    assert [format_seconds(s) for s in (0.9996, 1234.0, 99.96)] == ["1 s", "1234 s", "100 s"]
    assert [format_bytes(b) for b in (999.9, 1.5e12)] == ["1 kB", "1500 GB"]
    assert math.isfinite(float(format_seconds(2).split()[0]))


def test_a_narrow_terminal_shows_fewer_metrics_and_says_so():
    from io import StringIO

    from rich.console import Console

    def shown(width):
        console = Console(file=StringIO(), width=width)
        console.print(board(a=[0.9, 0.91], b=[0.5, 0.6]))
        return console.file.getvalue()

    assert "other s ↓" in shown(110)
    assert "not shown" not in shown(110)
    narrow = shown(60)
    assert "other s ↓" not in narrow
    assert "not shown on a terminal this narrow: other" in narrow
    assert max(map(len, narrow.splitlines())) <= 60
