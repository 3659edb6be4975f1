import pytest

from assay.attention import experiments


def test_counted_quantities_are_exact():
    assert experiments.divisions(0, "default") == {"flash1 / flash2": 8.0, "blocks of keys": 8.0}
    assert experiments.causal_blocks(0, "default")["all / causal"] == pytest.approx(32 * 32 / (32 * 33 / 2))


def test_online_rows_neither_grow_nor_err():
    found = experiments.online_rows_memory(1, "default")
    assert found["minus growth"] == -1.0
    assert -1e-13 < found["minus error"] <= 0


def test_half_precision_errors_are_those_of_half_precision_and_fixed_by_the_seed():
    found = experiments.half_precision_error(0, "smoke")
    assert (
        found == experiments.half_precision_error(0, "smoke") != experiments.half_precision_error(1, "smoke")
    )
    assert 1e-6 < found["flash2"] < found["naive"] < 1e-3
    assert found["naive / flash2"] == pytest.approx(found["naive"] / found["flash2"])


def test_errors_in_8_bits_are_fixed_by_the_seed():
    found = experiments.fp8_error(0, "smoke")
    assert found == experiments.fp8_error(0, "smoke") != experiments.fp8_error(1, "smoke")
    assert 1e-3 < found["both"] < 0.1
    assert set(found) == {"neither / both", "no rotation / both", "no blocks / both", "both"}


def test_turns_measure_every_method():
    found = experiments.speed_against_naive(0, "smoke")
    assert all(ratio > 0 for ratio in found.values())
    assert experiments.second_against_first(0, "smoke")["flash1 / flash2"] > 0
