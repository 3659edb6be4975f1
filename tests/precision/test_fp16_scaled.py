from few_bits import HALF_OF_FP16, gradient, trained, updated

from assay.precision.formats import FP16
from assay.precision.fp16 import FP16Pure
from assay.precision.fp16_scaled import FP16Scaled


def test_a_small_gradient_is_kept():
    assert gradient(FP16Scaled, HALF_OF_FP16) == HALF_OF_FP16
    assert gradient(FP16Pure, HALF_OF_FP16) == 0.0


def test_a_small_update_of_a_weight_vanishes_all_the_same():
    assert updated(FP16Scaled, 1e-5).item() == 1.0


def test_a_training_is_in_fp16_throughout_and_begins_with_a_large_factor():
    assert trained(FP16Scaled) == (FP16, FP16, 2.0**16)
