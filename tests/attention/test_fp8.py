import math

import pytest
import torch

from assay.attention.fp8 import E4M3_MAX, fp8_attention, quantised, rotation, weights_in_8_bits
from assay.attention.naive import naive_attention
from assay.attention.pattern import Pattern


def drawn(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def e4m3():
    """All finite numbers that are not negative, from their bits: 4 of exponent with bias 7, 3 of mantissa."""
    subnormal = [m / 8 * 2.0**-6 for m in range(8)]
    normal = [(1 + m / 8) * 2.0 ** (e - 7) for e in range(1, 16) for m in range(8)]
    return torch.tensor((subnormal + normal)[:-1], dtype=torch.float64)  # The last one is NaN.


def nearest(x):
    """The nearest e4m3 number, of two that are equally near the one with an even last bit."""
    table, sign = e4m3(), torch.sign(x)
    found = []
    for value in x.abs().double().flatten().tolist():
        apart = (table - value).abs()
        near = (apart == apart.min()).nonzero().flatten().tolist()
        found.append(table[min(near, key=lambda place: place % 2)])
    return torch.stack(found).view(x.shape).to(x.dtype) * sign


class TestQuantised:
    def test_is_the_nearest_number_that_8_bits_hold(self):
        assert e4m3().max() == E4M3_MAX
        (x,) = drawn((1, 2, 6, 5))
        x[0, 0, 0, 0] = 0.0
        whole = x.abs().max() / E4M3_MAX
        torch.testing.assert_close(quantised(x, None), nearest(x / whole) * whole, atol=0, rtol=1e-6)
        for head in range(2):
            for rows in (slice(0, 4), slice(4, 6)):
                part = x[0, head, rows]
                scale = part.abs().max() / E4M3_MAX
                wanted = nearest(part / scale) * scale
                torch.testing.assert_close(quantised(x, 4)[0, head, rows], wanted, atol=0, rtol=1e-6)

    def test_ties_go_to_the_even_one(self):
        x = torch.tensor([448.0, 17.0, 19.0, 2.0**-10, 3 * 2.0**-10]).view(1, 1, 5, 1)
        assert quantised(x, None).flatten().tolist() == [448.0, 16.0, 20.0, 0.0, 2.0**-8]

    def test_an_outlier_takes_digits_from_its_own_block_only(self):
        (x,) = drawn((1, 1, 32, 8))
        spoiled = x.clone()
        spoiled[0, 0, 3, 2] = 100.0
        before, after = quantised(x, 8), quantised(spoiled, 8)
        assert torch.equal(before[:, :, 8:], after[:, :, 8:])
        assert not torch.equal(before[:, :, :3], after[:, :, :3])
        assert not torch.equal(quantised(spoiled, None)[:, :, 8:], quantised(x, None)[:, :, 8:])
        spoiled[0, 0, 3, 2] = 1e7  # All others are below half of the least number.
        assert quantised(spoiled, None).count_nonzero() == 1

    def test_zeros_and_nothing(self):
        assert not quantised(torch.zeros(1, 1, 3, 2), 2).any()
        assert quantised(torch.zeros(1, 1, 0, 2), None).shape == (1, 1, 0, 2)


@pytest.mark.parametrize("dim", [1, 2, 64])
def test_a_rotation_leaves_products_as_they_are_and_spreads_an_outlier(dim):
    turn = rotation(dim, seed=3)
    q, k = (x.double() for x in drawn((5, dim), (7, dim)))
    torch.testing.assert_close((q @ turn) @ (k @ turn).T, q @ k.T, atol=1e-12, rtol=0)
    spread = torch.eye(dim, dtype=torch.float64)[0] @ turn
    torch.testing.assert_close(spread.abs(), torch.full((dim,), dim**-0.5, dtype=torch.float64))
    assert dim < 64 or not torch.equal(turn, rotation(dim, seed=4))


def test_a_rotation_needs_a_power_of_two():
    with pytest.raises(ValueError, match="power of two, got 6"):
        rotation(6, 0)


def test_weights_fill_the_range_of_8_bits():
    weights = torch.tensor([1.0, 0.5, 2.0**-17, 2.0**-18, 0.0])
    assert weights_in_8_bits(weights).tolist() == [1.0, 0.5, 2.0**-17, 0.0, 0.0]  # 256 x 2^-17 is the least.


class TestAttention:
    @pytest.mark.parametrize("block", [None, 4, 16])
    def test_lse_and_output_are_those_of_the_rounded_operands(self, block):
        q, k, v = drawn((2, 4, 11, 8), (2, 2, 18, 8), (2, 2, 18, 5))
        pattern = Pattern(scale=0.4, window=(-1, 0))
        out, lse = fp8_attention(q, k, v, pattern, block=block, rotate=False)
        rounded = (quantised(x, block).double() for x in (q, k, v))
        exact, exact_lse = naive_attention(*rounded, pattern)
        torch.testing.assert_close(lse.double(), exact_lse, atol=1e-5, rtol=0)
        # A weight of 8 bits is off by 2^-4 of itself at most, or lost below 2^-18.
        most = v.abs().max()
        assert (out.double() - exact).abs().max() <= most * (2**-4 + 18 * 2**-18)

    @pytest.mark.parametrize("dim", [8, 12])
    def test_a_rotation_changes_rounding_only(self, dim):
        q, k, v = drawn((1, 2, 9, dim), (1, 1, 10, dim), (1, 1, 10, 4))
        exact = naive_attention(q, k, v, Pattern(scale=0.3))[0]
        plain, turned = (fp8_attention(q, k, v, Pattern(scale=0.3), rotate=r)[0] for r in (False, True))
        assert not torch.equal(plain, turned)
        for found in (plain, turned):
            assert (found - exact).abs().max() < 0.1

    def test_a_rotation_saves_digits_from_outliers(self):
        q, k, v = drawn((1, 1, 256, 64), (1, 1, 256, 64), (1, 1, 256, 64))
        for x, y in zip((q, k), drawn(*[(1, 1, 256, 64)] * 2, seed=1), strict=True):
            x += 10 * y * (y.abs() > 3)
        exact = naive_attention(q.double(), k.double(), v.double(), Pattern(scale=1 / 8))[0]
        errors = []
        for rotate in (False, True):
            out = fp8_attention(q, k, v, Pattern(scale=1 / 8), rotate=rotate)[0]
            errors.append(float((out.double() - exact).square().mean().sqrt()))
        assert errors[1] < errors[0]

    def test_sums_are_kept_in_more_than_8_bits(self):
        q, k = drawn((1, 1, 2, 4), (1, 1, 8192, 4))
        out, lse = fp8_attention(q * 0, k, torch.ones(1, 1, 8192, 4), Pattern(scale=0.5))
        torch.testing.assert_close(out, torch.ones(1, 1, 2, 4), atol=1e-6, rtol=0)
        torch.testing.assert_close(lse, torch.full((1, 1, 2), math.log(8192)), atol=1e-5, rtol=0)

    def test_rows_that_see_nothing_and_the_dtype(self):
        q, k, v = (x.half() for x in drawn((1, 1, 3, 4), (1, 1, 2, 4), (1, 1, 2, 4)))
        out, lse = fp8_attention(q, k, v, Pattern(scale=0.5, window=(-1, 0)))
        assert out.dtype == torch.float16
        assert not out[0, 0, 0].any()
        assert lse[0, 0, 0] == -math.inf

    def test_a_gradient_is_refused(self):
        q, k, v = drawn((1, 1, 3, 4), (1, 1, 2, 4), (1, 1, 2, 4))
        with pytest.raises(ValueError, match="no backward pass"):
            fp8_attention(q, k.requires_grad_(), v, Pattern(scale=0.5))
        with torch.no_grad():
            fp8_attention(q, k, v, Pattern(scale=0.5))
