import numpy as np
import pytest

from assay.data.table import Table


def test_a_line_for_every_column(people):
    age, member, since, town = people.describe()
    assert (age.name, age.kind, age.missing, age.distinct, age.values) == (
        "age",
        "numeric",
        1,
        3,
        "-4 to 58.5",
    )
    assert (member.distinct, member.values) == (2, "False to True")
    assert since.values == "1970-01-01 to 2020-01-01T05:30:00.250000"
    assert (town.missing, town.distinct, town.values, town.note) == (1, 2, "Oslo, Köln", "")


def note(values) -> str:
    return Table.of({"c": values}).describe()[0].note


def test_identifiers_are_pointed_out_but_keep_their_kind():
    texts = [f"user-{index}" for index in range(1500)]
    assert note(texts) == "mostly different texts: an identifier or free text?"
    assert Table.of({"c": texts})["c"].kind == "category"
    assert note(np.random.default_rng(0).permutation(1500)) == "whole numbers, all different: an identifier?"


def test_few_rows_or_repeated_values_are_no_identifier():
    assert note([f"user-{index}" for index in range(900)]) == ""
    assert note(np.arange(3000) // 2) == ""
    assert note(np.arange(3000) + 0.5) == ""


def test_empty_and_constant_columns_are_pointed_out():
    assert note([None, None]) == "all missing"
    assert note([3, None, 3]) == "one value only"
    assert note([1.0, np.inf]) == "infinite values"
    assert note(["a", "b"]) == ""


def test_a_column_of_numbers_with_a_typing_error_is_pointed_out():
    values = [str(index % 50) for index in range(200)]
    values[120], values[150] = "12O", None
    assert note(values) == "numbers, but for 1 text such as '12O'"
    values[7] = "n.a."
    assert note(values) == "numbers, but for 2 texts such as 'n.a.'"
    assert note(["1", "a", "b"]) == ""


def test_texts_of_a_frame_that_spell_something_else_are_pointed_out():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"d": ["2020-01-01", None, "2021-05-06"], "n": ["1", "2", "3"], "t": ["a", "b", "c"]}
    )
    notes = [line.note for line in Table.of(frame).describe()]
    assert notes[0] == "texts that spell dates; as the kind date they would be such"
    assert notes[1] == "texts that spell numbers; as the kind numeric they would be such"
    assert notes[2] == ""
    assert Table.of(frame, kinds={"d": "date"}).describe()[0].note == ""


def test_a_decimal_comma_is_pointed_out():
    assert note(["0,5", None, "-1.234,25"]).startswith("numbers with a decimal comma")
    assert note(["0,5", "1,5", "x"]) == ""
    assert note(["a,5", "b"]) == ""


def test_frequent_categories_come_first_and_long_ones_are_shortened():
    line = Table.of({"c": ["b", "a", "b", "c", "d", "c", "b", "x" * 100, "x" * 100]}).describe()[0]
    assert line.values == f"b, c, {'x' * 23}…, ..."
    assert line.distinct == 5


def test_unused_categories_do_not_count():
    import pyarrow as pa

    column = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), ["a", "never"])
    line = Table.of({"c": column}).describe()[0]
    assert (line.distinct, line.note) == (1, "one value only")
