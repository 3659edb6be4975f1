import io
import math
import re

import boards
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from assay.core.leaderboard import format_bytes, format_interval, format_seconds
from assay.core.statistics import interval


def shown(board, width=200):
    out = Console(file=io.StringIO(), width=width)
    out.print(board)
    return out.file.getvalue()  # type: ignore[attr-defined]


def line_of(text, name):
    [line] = [line for line in text.splitlines() if re.match(rf"\s*\S+\s+{name}\b", line)]
    return line


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "-"),
        ([0.5], "0.5000"),
        ([-0.12345], "-0.1235"),
        ([123.456], "123.5"),
        ([9999.4], "9999"),
        ([9999.6], "10,000"),
        ([-1048576.0, -1048576.0], "-1,048,576"),
        ([2.0, 2.0, 2.0], "2"),
        ([0.25, 0.25], "0.2500"),
        ([1 / 450, 1 / 450 + 1e-17], "0.00222"),
        ([5.364483, 5.364483 + 1e-14], "5.364"),
        ([3e-8], "3e-08"),
        ([0.0, 0.0], "0.0000"),
    ],
)
def test_without_spread_four_digits_stand_for_the_value(values, text):
    assert format_interval(values) == text


def test_the_digits_of_a_mean_are_those_its_interval_supports():
    # Two values a, b have the half-width 12.706 |a - b| / 2.
    assert format_interval([1.0, 1.0 + 2e-3 / 12.706]) == "1.0001 ±0.0010"
    assert format_interval([10.0, 10.0 + 6 / 12.706]) == "10.2 ±3.0"
    assert format_interval([1000.0, 1000.0 + 80 / 12.706]) == "1003 ±40"
    assert format_interval([3e-8, 3e-8 + 4e-9 / 12.706]) == "3.02e-08 ±2.0e-09"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3) | st.floats(-1e-7, 1e-7), min_size=2, max_size=6))
def test_an_interval_is_written_to_within_its_last_digit(values):
    mean, _, high = interval(values)
    text = format_interval(values)
    if high - mean > 1e-9 * abs(mean):
        written, half = (float(part) for part in text.split(" ±"))
        assert math.isclose(written, mean, abs_tol=0.051 * (high - mean))
        assert math.isclose(half, high - mean, abs_tol=0.051 * (high - mean))
    else:
        assert "±" not in text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1536, "1.54 kB"), (2.5e6, "2.5 MB"), (3.2e10, "32 GB")],
)
def test_bytes_have_a_decimal_prefix(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.00123, "1.23 ms"), (0.5, "500 ms"), (1.0, "1 s"), (61.26, "61.3 s")],
)
def test_seconds_have_three_digits(seconds, text):
    assert format_seconds(seconds) == text


def test_the_table_ranks_marks_and_says_what_failed():
    board = boards.board()
    text = shown(board)
    assert board.question in text
    assert "people.csv, 3 seeds\n" in text
    for rank, row in enumerate(board.ranking, start=1):
        assert line_of(text, row.name).split()[0] == (str(rank) if row.status == "ok" else row.status)
    assert "peer" in line_of(text, "rival")
    assert "peer" not in line_of(text, "forest")
    assert "AUC ↑" in text
    assert "log-loss nats ↓" in text
    assert "broken: timeout: not finished after 60 s (seed 0; 3 of 3 seeds failed)" in text
    assert board.verdict in text
    assert format_interval(board.row("tree").values("AUC")) in line_of(text, "tree")
    assert "100 ms" in line_of(text, "tree")
    assert "5 MB" in line_of(text, "tree")
    assert line_of(text, "tree").split()[-1] == "-"  # No model was saved.


def test_what_was_left_out_of_the_data_is_said():
    data = boards.board().data
    assert "left out" not in shown(boards.board())
    text = shown(boards.board(data={**data, "notes": ["left out 2 with an empty text: row 3; row 7"]}))
    assert "\npeople.csv: left out 2 with an empty text: row 3; row 7\n" in text


def test_methods_not_separated_from_the_leader_are_marked():
    tied = boards.board(boards.row("one", [0.9, 0.8, 0.7]), boards.row("two", [0.8, 0.9, 0.69]))
    assert tied.leader is not None
    other = next(name for name in ("one", "two") if name != tied.leader.name)
    text = shown(tied)
    assert f"{other} ≈" in text
    assert f"{tied.leader.name} ≈" not in text
    assert "≈ not separated from the leader" in text
    apart = boards.board(boards.row("one", [0.9, 0.8, 0.7]), boards.row("two", [0.5, 0.4, 0.31]))
    assert "≈" not in shown(apart)


def test_a_narrow_terminal_loses_the_last_metrics_and_says_so():
    board = boards.board()
    wide, narrow = shown(board), shown(board, width=70)
    assert "not shown" not in wide
    assert "not shown on a terminal this narrow: log-loss" in narrow
    assert "AUC ↑" in narrow
    assert "log-loss nats" not in narrow
    assert "AUC ↑" in shown(board, width=20)  # The first metric decides: it always stays.


def test_seeds_and_budget_are_in_the_heading():
    assert "people.csv, 1 seed, budget 60s\n" in shown(boards.board(seeds=(0,), budget="60s"))
