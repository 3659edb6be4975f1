"""Counts and codes in NumPy, by hand and against naive loops."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Column
from assay.tabular.binning_reference import count_values, encode, encode_column

NAN = math.nan


def test_counts_by_hand():
    values, counts = count_values(np.array([2.0, NAN, -0.0, 2.0, 0.0]), None)
    assert values.tolist() == [0.0, 2.0]
    assert not np.signbit(values[0])
    assert counts.tolist() == [2.0, 2.0]
    assert counts.dtype == np.float64


def test_rows_of_weight_zero_do_not_count():
    values, counts = count_values(np.array([1.0, 2.0, 2.0, NAN]), np.array([0.0, 0.25, 0.5, 3.0]))
    assert values.tolist() == [2.0]
    assert counts.tolist() == [0.75]
    assert count_values(np.array([1.0]), np.zeros(1))[0].tolist() == []


def number(*values: float) -> Column:
    return Column("x", "numeric", np.array(values))


def letters(*codes: int) -> Column:
    return Column("c", "category", np.array(codes, np.int32), ("a", "b", "c"))


def test_a_code_is_the_number_of_thresholds_below():
    coding = (np.array([1.0, 2.0]), None, 3)
    column = number(0.0, 1.0, 1.5, 2.0, 9.0, NAN, -math.inf)
    assert encode_column(column, coding).tolist() == [0, 0, 1, 1, 2, 3, 0]


def test_categories_have_the_code_of_their_class_and_a_missing_one_its_own():
    coding = (np.empty(0), np.array([1, 0, 1], np.int32), 2)
    assert encode_column(letters(0, 1, 2, -1), coding).tolist() == [1, 0, 1, 2]


def test_columns_lie_one_below_the_other():
    codings = [(np.array([0.5]), None, 2), (np.empty(0), np.arange(3, dtype=np.int32), 3)]
    codes, has_missing = encode([number(0.0, NAN), letters(2, 0)], codings, np.dtype(np.uint8))
    assert codes.tolist() == [[0, 2], [2, 0]]
    assert codes.dtype == np.uint8
    assert has_missing.tolist() == [True, False]


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(allow_infinity=True), max_size=20),
    thresholds=st.lists(st.floats(allow_nan=False), max_size=8, unique=True),
)
def test_codes_equal_those_of_a_loop(values, thresholds):
    cuts = sorted({t + 0.0 for t in thresholds})
    found = encode_column(number(*values), (np.array(cuts), None, len(cuts) + 1))
    for value, code in zip(values, found.tolist(), strict=True):
        below = sum(cut < value for cut in cuts)
        assert code == (len(cuts) + 1 if math.isnan(value) else below)
