import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.app.command import (
    allow_modules,
    parse_bytes,
    parse_method_settings,
    parse_seconds,
    parse_settings,
    require_folder_of,
)

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(), max_size=3),
    st.tuples(st.integers(), st.text("abc", max_size=3)),
    st.dictionaries(st.text("xyz", min_size=1, max_size=2), st.integers(), max_size=2),
)


@settings(max_examples=100, deadline=None)
@given(values)
def test_a_literal_means_itself(value):
    assert parse_settings([f"name={value!r}"]) == {"name": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("0.1", 0.1),
        ("none", None),
        ("True", True),
        ("false", False),
        ("sqrt", "sqrt"),
        ("'8'", "8"),
        ("a=b", "a=b"),
        ("", ""),
        ("__import__('os')", "__import__('os')"),
        ("1 +", "1 +"),
        ("[1, 2", "[1, 2"),
    ],
)
def test_anything_else_is_text_and_nothing_is_executed(text, value):
    assert parse_settings([f"name={text}"]) == {"name": value}


def test_settings_are_grouped_by_method():
    texts = ["xgboost.max_depth=8", "xgboost.rate=0.1", "random-forest.criterion=entropy"]
    assert parse_method_settings(texts) == {
        "xgboost": {"max_depth": 8, "rate": 0.1},
        "random-forest": {"criterion": "entropy"},
    }
    assert parse_method_settings([]) == {}
    assert parse_method_settings(["a.b=x.y=z"]) == {"a": {"b": "x.y=z"}}


@pytest.mark.parametrize("text", ["max_depth=8", "xgboost.max_depth", "=8", "xgboost.=8", ".depth=8", ""])
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match=r"--set: expected METHOD\.NAME=VALUE, got"):
        parse_method_settings([text])


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h", 3600), ("none", None), ("NONE", None)]
)
def test_seconds(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["3epochs", "-5s", "0s", "soon", "90"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match=r"expected|positive"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("4GB", 4e9), ("500 MB", 5e8), ("2GiB", 2**31), ("1.5kb", 1500), ("123", 123), ("7B", 7)],
)
def test_bytes(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["much", "4TBs", "0MB", "-4GB", "", "GB"])
def test_what_is_no_memory(text):
    with pytest.raises(ValueError, match="expected an amount of memory"):
        parse_bytes(text)


def test_places_for_results_are_checked_before_the_work(tmp_path):
    require_folder_of(None, "--json")
    require_folder_of(tmp_path / "a.json", "--json")
    with pytest.raises(ValueError, match=r"--json .*: there is no folder"):
        require_folder_of(tmp_path / "no" / "a.json", "--json")
    with pytest.raises(ValueError, match="this is a folder"):
        require_folder_of(tmp_path, "--json")


def test_modules_of_the_working_folder_are_allowed_only_when_one_is_named(monkeypatch):
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    allow_modules(None, "data.csv")
    assert sys.path == ["elsewhere"]
    for _ in range(2):
        allow_modules(None, "mine:function")
    assert sys.path == ["", "elsewhere"]
