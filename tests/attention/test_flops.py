import pytest

from assay.attention.flops import ceiling, forward_flops, training_flops


def test_two_products_of_multiplications_and_additions():
    assert forward_flops(2, 3, 5, 7, 11) == 2 * 3 * (2 * 5 * 7 * 11 + 2 * 5 * 7 * 11)
    assert forward_flops(1, 1, 8, 8, 4, causal=True) == forward_flops(1, 1, 8, 8, 4) / 2
    assert forward_flops(1, 1, 4, 8, 4, causal=True) == forward_flops(1, 1, 4, 8, 4)


def test_backward_is_five_products_to_two():
    assert training_flops(1, 2, 8, 8, 4) == forward_flops(1, 2, 8, 8, 4) * (1 + 5 / 2)


@pytest.mark.parametrize(("dim", "teraflops"), [(64, 497), (128, 661), (256, 793)])
def test_ceilings_of_an_h100_without_overlap(dim, teraflops):
    assert ceiling(dim) / 1e12 == pytest.approx(teraflops, abs=0.6)


def test_exponentials_for_nothing_leave_the_peak():
    assert ceiling(64, 1e12, 1e30) == pytest.approx(1e12)
    assert ceiling(64, 1e30, 1e9) == pytest.approx(4 * 64 * 1e9)
