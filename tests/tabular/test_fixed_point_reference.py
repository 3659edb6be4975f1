"""The NumPy passes over rows, by hand."""

import numpy as np
import pytest

from assay.tabular import fixed_point_reference as twin

ROWS = np.arange(4, dtype=np.int32)


def test_extent_of_some_rows():
    values = np.array([-8.0, 0.0, 2.0, -0.0])
    assert twin.extent(values, ROWS, 1) == twin.Extent(8.0, 2, 2, 1, 20)
    assert twin.extent(values, ROWS[1:], 0) == twin.Extent(2.0, 2, 1, 0, 2)


def test_rows_of_no_gradient_and_no_hessian_are_left_out():
    gradient, hessian = np.array([0.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 2.0, 0.0])
    assert twin.not_zero(gradient, hessian, ROWS).tolist() == [1, 2]


def test_sums_drop_the_fraction_of_every_magnitude():
    values = np.array([0.75, -0.75, 1.5, 0.0])
    assert twin.extent(values, ROWS, 0).scaled_sum == 1
    assert twin.extent(values, ROWS, 2).scaled_sum == 12
    assert twin.extent(values, ROWS, 40).scaled_sum == 3 * (2**31 - 1)
    assert twin.scaled_squares(values, 1) == 1 + 1 + 9


@pytest.mark.parametrize(("values", "whole"), [([1.0, -2.0, 0.0, 3.0], True), ([1.0, 2.5, 0.0, 3.0], False)])
def test_whole_numbers(values, whole):
    assert twin.all_whole(np.array(values), ROWS) == whole


def test_records_hold_a_gradient_above_a_hessian():
    gradient, hessian = np.array([1.0, -1.0, 0.25, 0.0]), np.array([1.0, 3.0, 0.1, 0.0])
    records, packing = twin.pack(gradient, hessian, ROWS, (1, 0))
    assert (records >> 16).tolist() == [2, -2, 0, 0]  # a half is rounded to even
    assert (records & 0xFFFF).tolist() == [1, 3, 1, 0]  # what is positive stays positive
    assert packing == twin.Packing(4, 5, False, False, True)


def test_records_of_classes_hold_the_weight_of_the_second():
    labels, weights = np.array([0, 1, 1, 0], np.int32), np.array([2.0, 3.0, 0.5, 1.0])
    records, packing = twin.pack_classes(labels, weights, ROWS, 1)
    assert (records >> 16).tolist() == [0, 6, 1, 0]
    assert (records & 0xFFFF).tolist() == [4, 6, 1, 2]
    assert packing == twin.Packing(7, 13, True, True, False)


def test_units_of_weights_do_not_vanish():
    values = np.array([0.1, 0.5, 1.5, 0.0])
    assert twin.quantise(values, ROWS, 0, is_weight=True).tolist() == [1, 1, 2, 0]
    assert twin.quantise(values, ROWS, 0, is_weight=False).tolist() == [0, 0, 2, 0]
