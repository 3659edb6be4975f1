import math
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.kinds import RowError, cast, date, infer, moment, number, seconds, text, truth
from assay.data.table import Column, Table


@pytest.mark.parametrize(
    ("spelled", "value"),
    [("12", 12), (" -1.5 ", -1.5), ("+2e-3", 0.002), (".5", 0.5), ("5.", 5), ("007", 7), ("INF", math.inf)],
)
def test_texts_that_spell_a_number(spelled, value):
    assert number(spelled) == value


@pytest.mark.parametrize(
    "spelled", ["", "1,000", "1_000", "0x1F", "nan", "1 2", "e5", "١٢", "--1", "1.2.3", "$5"]
)
def test_texts_that_spell_no_number(spelled):
    assert number(spelled) is None


def test_truth_values_are_true_and_false_only():
    assert [truth(word) for word in ("true", "False", " TRUE ", "yes", "1", "t")] == [
        1,
        0,
        1,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("1970-01-02", 86_400),
        ("2013-01-31 05:00", 1_359_608_400),
        ("2013-01-31T05:00:00.5", 1_359_608_400.5),
        ("2013-01-31T05:00:00Z", 1_359_608_400),
        ("2013-01-31T05:00:00+01:00", 1_359_604_800),
        ("2013-01-31 05:00+0100", 1_359_604_800),
        ("1600-02-29", -11_670_998_400),
    ],
)
def test_texts_that_spell_a_date(spelled, value):
    assert date(spelled) == value


@pytest.mark.parametrize(
    "spelled", ["2013-13-01", "2013-02-29", "20130131", "31.1.2013", "01/02/2013", "2013", "05:00"]
)
def test_texts_that_spell_no_date(spelled):
    assert date(spelled) is None


def test_a_moment_with_a_zone_and_one_without():
    plain = datetime(2020, 1, 1, 12)
    assert moment(plain) == moment(plain.replace(tzinfo=UTC)) == 1_577_880_000
    assert moment(plain.replace(tzinfo=timezone(timedelta(hours=2)))) == 1_577_880_000 - 7200


@settings(max_examples=100, deadline=None)
@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 1, 1)))
def test_ticks_and_moments_agree_to_the_last_bit(time):
    micro = int((time - datetime(1970, 1, 1)) // timedelta(microseconds=1))
    ticks = np.array([micro])
    assert seconds(ticks, 10**6, np.array([False])).tolist() == [moment(time)]
    assert date(time.isoformat()) == moment(time)


def test_ticks_where_missing():
    values = seconds(np.array([1_500, -1]), 1000, np.array([False, True]))
    np.testing.assert_array_equal(values, [1.5, np.nan])


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "2.5"], "numeric"),
        (["true", "FALSE"], "boolean"),
        (["2020-01-01", "2020-01-01 05:00"], "date"),
        (["1", "a"], "category"),
        (["1", "true"], "category"),
        (["true", "2020-01-01"], "category"),
        (["5:00"], "category"),
        ([], "category"),
    ],
)
def test_the_kind_that_all_texts_spell(texts, kind):
    assert infer(texts) == kind


class TestCast:
    def test_the_same_kind_is_the_same_column(self):
        column = Column("a", "numeric", np.zeros(2))
        assert cast(column, "numeric") is column

    def test_numbers_and_truth_values(self):
        truths = Column("a", "boolean", np.array([1.0, 0.0, np.nan]))
        numbers = cast(truths, "numeric")
        assert numbers.kind == "numeric"
        np.testing.assert_array_equal(cast(numbers, "boolean").values, truths.values)
        with pytest.raises(RowError, match="row 2, column 'a': expected true or false, got a number, 2"):
            cast(Column("a", "numeric", np.array([1.0, 2.0])), "boolean")

    @pytest.mark.parametrize("kind", ["numeric", "boolean"])
    def test_a_date_is_neither_number_nor_truth_value(self, kind):
        column = Column("d", "date", np.array([np.nan, 86_400.0]))
        with pytest.raises(
            RowError, match=r"row 2, column 'd': expected .*, got an ISO 8601 date, 1970-01-02"
        ):
            cast(column, kind)

    def test_everything_has_a_text(self):
        table = Table.of({"n": [3, 0.5, None, 1e300], "b": [True, None, False, True]})
        assert cast(table["n"], "category").categories == ("0.5", "1e+300", "3")
        assert cast(table["b"], "category").categories == ("False", "True")
        dates = Column("d", "date", np.array([0.0, 3600.5, np.nan]))
        assert cast(dates, "category").categories == ("1970-01-01", "1970-01-01T01:00:00.500000")
        assert cast(dates, "category").values.tolist() == [0, 1, -1]

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.none() | st.floats(allow_nan=False), min_size=1, max_size=20))
    def test_numbers_survive_as_text(self, values):
        column = Table.of({"n": values})["n"]
        back = cast(cast(column, "category"), "numeric")
        np.testing.assert_array_equal(back.values, column.values)

    def test_text_that_no_row_uses_need_not_spell_anything(self):
        column = Column("c", "category", np.array([0, -1], np.int32), ("1", "one"))
        np.testing.assert_array_equal(cast(column, "numeric").values, [1, np.nan])

    def test_the_first_wrong_row_is_named(self):
        column = Table.of({"c": ["1", None, "one", "two"]})["c"]
        with pytest.raises(RowError, match="row 3, column 'c': expected a number, got 'one'") as caught:
            cast(column, "numeric")
        assert caught.value.row == 2

    def test_text_of_a_value(self):
        assert [text(3.0, "numeric"), text(-0.25, "numeric"), text(1.0, "boolean")] == ["3", "-0.25", "True"]
