import pytest
from few_bits import gradient, output, trained, updated

from assay.precision.tf32 import TF32Products


def test_factors_have_10_bits_of_mantissa():
    assert output(TF32Products, 1 + 2.0**-10, 1.0) == 1 + 2.0**-10
    assert output(TF32Products, 1 + 2.0**-12, 1.0) == 1.0
    assert output(TF32Products, 1 + 2.0**-11, 1.0) == 1.0  # A tie, to even.
    assert output(TF32Products, 1 + 3 * 2.0**-11, 1.0) == 1 + 2.0**-9


def test_products_have_more():
    assert output(TF32Products, 1 + 2.0**-10, 1 + 2.0**-10) == (1 + 2.0**-10) ** 2


def test_weights_and_gradients_are_float32s():
    assert updated(TF32Products, 1e-5).item() == pytest.approx(1.00001, abs=1e-7)
    assert gradient(TF32Products, 2.0**-120) == 2.0**-120
    assert trained(TF32Products) == (None, None, 1.0)
