import pytest
from few_bits import gradient, output, trained, updated

from assay.precision.bf16 import BF16Mixed
from assay.precision.formats import BF16


def test_the_range_is_float32s():
    assert gradient(BF16Mixed, 2.0**-120) == 2.0**-120
    assert output(BF16Mixed, 2.0**100, 2.0**20) == 2.0**120


def test_outputs_have_7_bits_of_mantissa():
    assert output(BF16Mixed, 257.0, 1.0) == 256.0
    assert output(BF16Mixed, 258.0, 1.0) == 258.0


def test_a_small_update_of_a_weight_is_made():
    assert updated(BF16Mixed, 1e-5).item() == pytest.approx(1.00001, abs=1e-7)


def test_a_training_has_float32_weights_and_bf16_layers():
    assert trained(BF16Mixed) == (None, BF16, 1.0)
