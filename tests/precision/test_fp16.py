from few_bits import HALF_OF_FP16, gradient, output, trained, updated

from assay.precision.formats import FP16
from assay.precision.fp16 import FP16Pure


def test_a_small_update_of_a_weight_vanishes():
    assert updated(FP16Pure, 1e-5).item() == 1.0
    assert updated(FP16Pure, 1e-3).item() == 1 + 2.0**-10


def test_a_small_gradient_vanishes():
    assert gradient(FP16Pure, HALF_OF_FP16) == 0.0
    assert gradient(FP16Pure, 2.0**-24) == 2.0**-24


def test_a_large_output_overflows():
    assert output(FP16Pure, 250.0, 250.0) == 62496.0  # To the nearest 32.
    assert output(FP16Pure, 300.0, 300.0) == float("inf")


def test_a_training_is_in_fp16_throughout():
    assert trained(FP16Pure) == (FP16, FP16, 1.0)
