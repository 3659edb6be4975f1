import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.jsonl import line_of
from assay.data.table import ContractError, Table


def test_kinds_of_json_values(write):
    content = (
        '{"n": 1, "b": true, "t": "x", "d": "2020-01-01", "q": "12", "m": "NA"}\n'
        '{"n": 2.5, "b": null, "t": null, "d": "2020-01-01T05:00:00.5+01:00", "q": "x"}\n'
    )
    table = Table.of(write("a.jsonl", content))
    kinds = {column.name: column.kind for column in table}
    assert kinds == {
        "n": "numeric",
        "b": "boolean",
        "t": "category",
        "d": "date",
        "q": "category",
        "m": "category",
    }
    assert table["d"].values.tolist() == [1_577_836_800, 1_577_851_200.5]
    assert table["m"].values.tolist() == [0, -1]


def test_numbers_in_quotes_stay_text(write):
    assert Table.of(write("a.jsonl", '{"a": "1"}\n{"a": "2"}\n'))["a"].kind == "category"


def test_nan_and_infinity_as_python_writes_them(write):
    table = Table.of(write("a.jsonl", '{"a": NaN}\n{"a": Infinity}\n{"a": -Infinity}\n'))
    np.testing.assert_array_equal(table["a"].values, [np.nan, np.inf, -np.inf])


def test_truth_values_among_numbers_are_numbers(write):
    table = Table.of(write("a.jsonl", '{"a": true}\n{"a": 2}\n'))
    assert (table["a"].kind, table["a"].values.tolist()) == ("numeric", [1, 2])


def test_a_kind_may_be_corrected(write):
    path = write("a.jsonl", '{"zip": 123, "d": "2020-01-01"}\n{"zip": 45, "d": "2020-01-02"}\n')
    table = Table.of(path, kinds={"zip": "category", "d": "category"})
    assert table["zip"].categories == ("123", "45")
    assert table["d"].categories == ("2020-01-01", "2020-01-02")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n\n{"a":\n', r"line 3: expected a JSON object, got '\{\"a\":' \(Expecting value\)"),
        ('{"a": 1}\nabc\n', "line 2: expected a JSON object, got 'abc'"),
        ('{"a": 1} trailing\n', "line 1: expected a JSON object, got .* \\(Extra data\\)"),
        ('{"a": 1}\n[1]\n', r"line 2: expected a JSON object, got an array, '\[1\]'"),
        ('{"a": 1}\n"x"\n', "line 2: expected a JSON object, got a text"),
        ('[{"a": 1},\n{"a": 2}]\n', "line 1: expected a JSON object, got"),
        ('{"a": 1, "a": 2}\n', "line 1: expected distinct keys, got 'a' twice"),
        (
            '{"a": 1}\n{"a": "x"}\n',
            "line 2, column 'a': expected a number as in the rows before, got text, 'x'",
        ),
        ('{"a": 1}\n\n{"a": [1]}\n', "line 3, column 'a': expected a number, .*, got list"),
        ('{"a": {"b": 1}}\n', "line 1, column 'a': expected a number, .*, got dict"),
        ("{}\n{}\n", "expected objects with keys, got none"),
        ("\n\n", "expected objects with keys, got none"),
    ],
)
def test_the_line_is_named(write, content, message):
    path = write("a.jsonl", content)
    with pytest.raises(ContractError, match=f"^{path}: {message}"):
        Table.of(path)


def test_a_mistake_far_down(write):
    content = '{"a": 1}\n' * 100_000 + '{"a": 1,}\n'
    with pytest.raises(ContractError, match="line 100001: expected a JSON object"):
        Table.of(write("a.jsonl", content))


def test_another_encoding(write):
    content = '{"a": 1}\n{"a": "é"}\n'.encode("latin-1")
    with pytest.raises(ContractError, match="line 2: expected UTF-8 text, got the byte 0xe9"):
        Table.of(write("a.jsonl", content))


def test_the_line_of_a_row(write):
    path = write("a.jsonl", '\n{"a": 1}\n\n\n{"a": 2}\n')
    assert [line_of(path, row) for row in range(2)] == [2, 5]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"always": st.floats(allow_nan=False)},
            optional={
                "number": st.none() | st.floats(allow_nan=False),
                "truth": st.none() | st.booleans(),
                "text": st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
            },
        ),
        min_size=1,
        max_size=8,
    )
)
def test_round_trip_through_a_file(records):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        table = Table.of(path)
    expected = Table.of(records)
    assert set(table.names) == set(expected.names)
    assert table.select(expected.names).fingerprint() == expected.fingerprint()
