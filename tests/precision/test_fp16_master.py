import pytest
from few_bits import HALF_OF_FP16, gradient, output, trained, updated

from assay.precision.formats import FP16
from assay.precision.fp16_master import FP16Master


def test_a_small_update_of_a_weight_is_made_though_layers_do_not_see_it_yet():
    weight = updated(FP16Master, 1e-5).item()
    assert weight == pytest.approx(1.00001, abs=1e-7)
    assert output(FP16Master, 1.0, weight) == 1.0
    assert output(FP16Master, 1.0, 1 + 50 * (weight - 1)) == 1 + 2.0**-10  # 50 of them they see.


def test_a_small_gradient_vanishes_all_the_same():
    assert gradient(FP16Master, HALF_OF_FP16) == 0.0


def test_a_training_has_float32_weights_and_fp16_layers():
    assert trained(FP16Master) == (None, FP16, 1.0)
