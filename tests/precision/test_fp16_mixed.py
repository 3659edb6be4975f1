import pytest
from few_bits import HALF_OF_FP16, gradient, trained, updated

from assay.precision.formats import FP16
from assay.precision.fp16_mixed import FP16Mixed


def test_neither_a_small_gradient_nor_a_small_update_vanishes():
    assert gradient(FP16Mixed, HALF_OF_FP16) == HALF_OF_FP16
    assert updated(FP16Mixed, 1e-5).item() == pytest.approx(1.00001, abs=1e-7)


def test_what_the_factor_makes_too_large_is_noticed():
    assert gradient(FP16Mixed, 0.5) == 0.5
    assert gradient(FP16Mixed, 2.0) == float("inf")  # 2^17 is more than fp16 has; the step will be skipped.


def test_a_training_has_float32_weights_and_fp16_layers():
    assert trained(FP16Mixed) == (None, FP16, 2.0**16)
