# ruff: noqa: E501
import numpy as np
import pytest

from assay.data.table import ContractError, Table
from assay.tabular.contract import TabularData, read_contract


def table(**columns) -> Table:
    return Table.of(
        columns or {"x": [1.0, 2.0, None, 4.0] * 5, "c": ["a", "b"] * 10, "y": [0, 1] * 10}, name="t"
    )


def test_text_targets_are_classes_in_sorted_order():
    data = read_contract(table(x=[1, 2, 3, 4], y=["b", "a", "b", "a"]), target="y")
    assert data.problem == "classification"
    assert data.classes.tolist() == ["a", "b"]
    assert data.target.tolist() == [1, 0, 1, 0]
    assert data.labels.tolist() == ["b", "a", "b", "a"]
    assert data.features.names == ("x",)


@pytest.mark.parametrize(
    ("target", "problem", "classes"),
    [
        ([0, 1] * 10, "classification", [0, 1]),
        ([True, False] * 10, "classification", [False, True]),
        ([1.5, 2.5] * 10, "classification", [1.5, 2.5]),
        ([1, 2, 3, 4] * 5, "classification", [1, 2, 3, 4]),
        (list(range(20)), "regression", []),
        ([0.1, 0.2, 0.3, 0.7] * 5, "regression", []),
    ],
)
def test_numbers_are_classes_when_few_and_whole(target, problem, classes):
    data = read_contract(table(x=list(range(20)), y=target), target="y")
    assert data.problem == problem
    assert data.classes.tolist() == classes
    assert data.labels.tolist() == target
    assert ("problem=regression if not" in data.note) == (
        problem == "classification" and target[0] is not True
    )


def test_the_user_has_the_last_word_on_the_problem():
    data = read_contract(table(x=list(range(20)), y=[1, 2, 3, 4] * 5), target="y", problem="regression")
    assert data.problem == "regression"
    data = read_contract(
        table(x=list(range(40)), y=list(range(20)) * 2), target="y", problem="classification"
    )
    assert len(data.classes) == 20


def test_roles_leave_the_features():
    full = table(
        x=[1, 2, 3, 4], y=["a", "b", "a", "b"], w=[1, 2, 0, 1], g=["p", "q", None, "p"],
        t=np.array(["2020-01-02", "2020-01-01", "2020-01-03", "2020-01-04"], "M8[D]"), junk=[0, 0, 0, 0],
    )  # fmt: skip
    data = read_contract(full, target="y", weight="w", group="g", time="t", drop=["junk"])
    assert data.features.names == ("x",)
    assert data.weight is not None
    assert data.weight.tolist() == [1, 2, 0, 1]
    assert data.group is not None
    assert len(set(data.group.tolist())) == 3
    assert data.group[0] == data.group[3]


def test_saved_data_is_the_same(tmp_path):
    data = read_contract(table(), target="y", drop=())
    data.save(tmp_path)
    again = TabularData.open(tmp_path)
    assert again.fingerprint() == data.fingerprint()
    assert again.describe() == data.describe()
    assert again.labels.tolist() == data.labels.tolist()
    assert again.labels.dtype == data.labels.dtype
    rows = np.array([3, 1])
    assert again.take(rows).fingerprint() == data.take(rows).fingerprint()
    assert again.take(rows).fingerprint() != data.fingerprint()


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"x": [1, 2]}, {"target": None}, "which column is the target"),
        ({"x": [1, 2], "y": [0, 1]}, {"target": "z"}, "no column 'z'"),
        ({"inc": [1, 2], "income": [0, 1]}, {"target": "incom"}, "did you mean 'income'"),
        ({"y": [0, 1]}, {"target": "y"}, "at least one column beside the target"),
        ({"x": [1], "y": [0]}, {"target": "y"}, "at least two rows, got 1"),
        ({"x": [1, 2, 3], "y": ["a", "a", "a"]}, {"target": "y"}, "two classes or more in 'y', got only 'a'"),
        ({"x": [1, 2, 3], "y": [2.5, 2.5, 2.5]}, {"target": "y"}, "is 2.5 in every row"),
        ({"x": [1, 2, 3], "y": ["a", "a", "b"]}, {"target": "y"}, "class 'b' of 'y' has one row"),
        ({"x": [None, None], "y": [0.5, 1.7]}, {"target": "y"}, "every value beside the target 'y' is missing"),
        ({"x": [1.0, np.inf], "y": [0.5, 1.7]}, {"target": "y"}, "column 'x' is infinite in row 2"),
        ({"x": [1.0, 2.0], "y": [0.5, -np.inf]}, {"target": "y"}, "column 'y' is infinite in row 2"),
        ({"x": [1, 2, 3], "y": [0.5, None, None]}, {"target": "y"}, "missing in 2 of 3 rows, first in row 2"),
        (
            {"x": list(range(8)), "y": ["1", "2", "1", "2", "1", "2", "x", "x"]},
            {"target": "y"},
            "mixes numbers and text: expected a number in row 7, got 'x'",
        ),
        ({"x": list(range(20)), "y": list("abcdefghijklmnopqrst")}, {"target": "y"}, "is it an identifier"),
        ({"x": [1, 2, 3, 4], "y": list("abab")}, {"target": "y", "problem": "regression"}, "got text such as 'a'"),
        ({"x": [1, 2, 3, 4], "y": list("abab")}, {"target": "y", "problem": "ranking"}, "got 'ranking'"),
        ({"x": [1, 2] * 2, "w": [1, -1] * 2, "y": [0, 1, 1, 0]}, {"target": "y", "weight": "w"}, "at least 0 in weight 'w'"),
        ({"x": [1, 2] * 2, "w": list("abab"), "y": [0, 1, 1, 0]}, {"target": "y", "weight": "w"}, "numbers of at least 0"),
        ({"x": [1, 2] * 2, "t": [1, None, 2, 3], "y": [0, 1, 1, 0]}, {"target": "y", "time": "t"}, "time 't'; see row 2"),
        ({"x": [1, 2], "y": [0, 1]}, {"target": "y", "weight": "y"}, "must differ"),
    ],
)  # fmt: skip
def test_broken_contracts_are_named(columns, options, message):
    with pytest.raises(ContractError, match=message):
        read_contract(Table.of(columns, name="t"), **options)


def test_other_labels_are_other_data():
    one, two = (read_contract(table(x=[1, 2, 3, 4], y=y), target="y") for y in (list("abab"), list("acac")))
    assert one.target.tolist() == two.target.tolist()
    assert one.fingerprint() != two.fingerprint()


def test_a_hundred_thousand_categories_are_a_feature_like_any_other():
    ids = [f"id{i}" for i in range(100_000)]
    data = read_contract(table(i=ids, x=list(range(100_000)), y=[0, 1] * 50_000), target="y")
    assert len(data) == 100_000
    with pytest.raises(ContractError, match="100000 classes in 100000 rows; is it an identifier"):
        read_contract(table(i=ids, x=list(range(100_000))), target="i")
