from few_bits import gradient, trained, updated

from assay.precision.bf16_pure import BF16Pure
from assay.precision.formats import BF16
from assay.precision.fp16 import FP16Pure


def test_updates_vanish_that_fp16_would_make():
    assert updated(BF16Pure, 1e-3).item() == 1.0
    assert updated(FP16Pure, 1e-3).item() > 1.0
    assert updated(BF16Pure, 2.0**-7).item() == 1 + 2.0**-7


def test_a_small_gradient_arrives():
    assert gradient(BF16Pure, 2.0**-120) == 2.0**-120


def test_a_training_is_in_bf16_throughout():
    assert trained(BF16Pure) == (BF16, BF16, 1.0)
