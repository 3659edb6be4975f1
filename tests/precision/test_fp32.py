import pytest
from few_bits import HALF_OF_FP16, gradient, output, trained, updated

from assay.precision.fp32 import FP32Full


def test_a_small_update_of_a_weight_is_made():
    assert updated(FP32Full, 1e-5).item() == pytest.approx(1.00001, abs=1e-7)
    assert updated(FP32Full, 2.0**-25).item() == 1.0  # Its own limit.


def test_a_small_gradient_arrives():
    assert gradient(FP32Full, HALF_OF_FP16) == HALF_OF_FP16
    assert gradient(FP32Full, 2.0**-120) == 2.0**-120


def test_factors_keep_their_digits():
    assert output(FP32Full, 1 + 2.0**-20, 1.0) == 1 + 2.0**-20


def test_a_training_rounds_to_nothing_shorter():
    assert trained(FP32Full) == (None, None, 1.0)
