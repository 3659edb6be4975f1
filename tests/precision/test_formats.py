import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.precision.formats import (
    BF16,
    FP16,
    FP32,
    TF32,
    Format,
    emulated,
    flushed,
    rounded,
    stagnant,
    stochastically_rounded,
)

FORMATS = [FP16, BF16, TF32]
TORCH = {FP16: torch.float16, BF16: torch.bfloat16}


def r(value, format):
    return emulated(torch.tensor([value], dtype=torch.float32), format).item()


def by_hand(value, format):
    """Round to nearest, ties to even, in exact arithmetic on Python floats."""
    if value == 0 or not math.isfinite(value):
        return value
    _, exponent = math.frexp(abs(value))  # 0.5 <= mantissa < 1
    least = math.frexp(format.min_normal)[1]
    place = math.ldexp(1.0, max(exponent, least) - 1 - format.mantissa)
    result = round(abs(value) / place) * place  # Python rounds ties to even.
    return math.copysign(math.inf if result > format.max else result, value)


class TestConstants:
    @pytest.mark.parametrize(
        ("format", "epsilon", "greatest", "normal", "subnormal"),
        [
            (FP32, 2**-23, 3.4028e38, 2**-126, 2**-149),
            (TF32, 2**-10, 3.40e38, 2**-126, 2**-136),
            (FP16, 2**-10, 65504, 2**-14, 2**-24),
            (BF16, 2**-7, 3.3895e38, 2**-126, 2**-133),
        ],
    )
    def test_of_the_handbook(self, format, epsilon, greatest, normal, subnormal):
        assert format.epsilon == epsilon
        assert format.max == pytest.approx(greatest, rel=1e-3)
        assert format.min_normal == normal
        assert format.min_subnormal == subnormal

    @pytest.mark.parametrize(("format", "dtype"), [*TORCH.items(), (FP32, torch.float32)])
    def test_are_torchs(self, format, dtype):
        facts = torch.finfo(dtype)
        assert (format.epsilon, format.max, format.min_normal) == (facts.eps, facts.max, facts.tiny)
        assert format.min_subnormal == facts.smallest_normal * facts.eps

    def test_fp16_facts(self):
        assert FP16.max == 65504
        assert r(2**-24, FP16) == 2**-24
        assert r(2**-25, FP16) == 0
        assert r(2**-25 * (1 + 2**-20), FP16) == 2**-24
        assert r(65519, FP16) == 65504
        assert r(65520, FP16) == math.inf
        assert r(-65520, FP16) == -math.inf
        assert r(1 + 2**-11, FP16) == 1

    def test_bf16_facts(self):
        assert r(1 + 2**-8, BF16) == 1
        assert r(1 + 2**-8 + 2**-16, BF16) == 1.0078125
        assert r(257, BF16) == 256
        assert r(0.1, BF16) == 0.10009765625
        assert math.isinf(r(3.4e38, BF16))

    def test_tf32_facts(self):
        assert r(1 + 2**-11, TF32) == 1
        assert r(1 + 3 * 2**-11, TF32) == 1 + 2**-9
        assert r(1 + 2**-12, TF32) == 1

    @pytest.mark.parametrize(
        ("format", "step", "expected"), [(FP16, 1e-4, 1.0), (BF16, 1e-3, 1.0), (FP32, 1e-4, 0.89998)]
    )
    def test_a_thousand_small_steps_down_from_one(self, format, step, expected):
        value, small = torch.ones(1), rounded(torch.tensor([step]), format)
        for _ in range(1000):
            value = rounded(value - small, format)
        assert value.item() == pytest.approx(expected, abs=1e-5)
        assert format is FP32 or value.item() == 1.0

    @pytest.mark.parametrize(("format", "stop"), [(FP16, 2048), (BF16, 256)])
    def test_summing_ones_stops(self, format, stop):
        total = torch.zeros(1)
        for _ in range(stop + 100):
            total = rounded(total + 1, format)
        assert total.item() == stop


class TestRounding:
    @pytest.mark.parametrize("format", [FP16, BF16])
    def test_equals_torchs_cast_around_every_value(self, format):
        high = torch.arange(1 << 16, dtype=torch.int32) << 16
        low = torch.from_numpy(np.random.default_rng(0).integers(0, 1 << 16, 1 << 16, dtype=np.int32))
        ties = torch.full_like(low, 1 << 15)
        for part in (low, ties, torch.zeros_like(low), ties - 1, ties + 1):
            values = (high | part).view(torch.float32)
            expected, found = values.to(TORCH[format]).float(), emulated(values, format)
            assert torch.equal(rounded(values, format).nan_to_num(7.0), found.nan_to_num(7.0))
            assert torch.equal(torch.isnan(found), torch.isnan(values))
            finite = ~torch.isnan(values)
            assert torch.equal(found[finite].view(torch.int32), expected[finite].view(torch.int32))

    def test_equals_torchs_cast_where_fp16_has_its_numbers_and_ties(self):
        numbers = torch.arange(1 << 15, dtype=torch.int32).to(torch.int16).view(torch.float16).float()
        numbers = numbers[torch.isfinite(numbers)]
        between = (numbers[:-1] + numbers[1:]) / 2  # Exact in float32.
        for values in (
            numbers,
            between,
            torch.nextafter(between, numbers[1:]),
            torch.nextafter(between, numbers[:-1]),
        ):
            for signed in (values, -values):
                assert torch.equal(emulated(signed, FP16), signed.half().float())

    @pytest.mark.parametrize("format", FORMATS)
    @settings(max_examples=300, deadline=None)
    @given(value=st.floats(width=32, allow_nan=False))
    def test_equals_exact_arithmetic(self, format, value):
        assert r(value, format) == by_hand(value, format)
        assert math.copysign(1, r(value, format)) == math.copysign(1, value)

    @pytest.mark.parametrize("format", FORMATS)
    def test_not_a_number_with_any_payload_stays_one(self, format):
        payloads = torch.cat([torch.arange(1, 1 << 12), torch.arange((1 << 23) - (1 << 12), 1 << 23)])
        for sign in (0, -(1 << 31)):
            values = (payloads.int() | 0x7F800000 | sign).view(torch.float32)
            assert torch.isnan(emulated(values, format)).all()
            assert torch.isnan(rounded(values, format)).all()
        assert r(math.inf, format) == math.inf

    @pytest.mark.parametrize("format", FORMATS)
    def test_is_idempotent_monotone_and_within_half_a_place(self, format):
        rng = np.random.default_rng(1)
        values = torch.from_numpy(
            (rng.normal(size=4000) * 10.0 ** rng.uniform(-4, 4, 4000)).astype(np.float32)
        )
        once = emulated(values, format)
        assert torch.equal(emulated(once, format), once)
        assert torch.equal(rounded(values, format), once)
        assert (emulated(values.sort().values, format).diff() >= 0).all()
        assert ((once - values).abs() <= values.abs() * format.epsilon / 2 + format.min_subnormal / 2).all()

    def test_float32_is_left_alone_and_other_types_are_refused(self):
        values = torch.tensor([1 + 2**-23])
        assert emulated(values, FP32) is values
        assert rounded(values, FP32) is values
        with pytest.raises(TypeError, match=r"expected float32 values, got torch\.float64"):
            rounded(values.double(), FP16)

    def test_products_of_tf32_lose_the_tail(self):
        a = torch.full((64, 64), 1 + 2**-12)
        assert torch.equal(rounded(a, TF32) @ rounded(a, TF32), torch.full((64, 64), 64.0))
        assert not torch.equal(a @ a, torch.full((64, 64), 64.0))
        eye = torch.eye(64)
        kept = rounded(
            torch.from_numpy(np.random.default_rng(2).normal(size=(64, 64)).astype(np.float32)), TF32
        )
        assert torch.equal(rounded(kept, TF32) @ rounded(eye, TF32), kept)


class TestStochasticRounding:
    @pytest.mark.parametrize("format", [BF16, TF32])
    @pytest.mark.parametrize("value", [1 + 2**-9, -0.3, 1e-30, 257.1])
    def test_is_unbiased_and_goes_to_a_neighbour(self, format, value):
        count = 100_000
        values = torch.full((count,), value)
        found = stochastically_rounded(values, format, torch.Generator().manual_seed(0)).double()
        exact = values[0].double().item()
        assert len(found.unique()) <= 2
        assert torch.equal(rounded(found.float(), format).double(), found)
        assert abs(found.mean().item() - exact) <= 4 * found.std().item() / math.sqrt(count) + 1e-45

    def test_keeps_what_needs_no_rounding_and_what_is_not_finite(self):
        values = torch.tensor([1.5, -2.0, 0.0, math.inf, -math.inf, math.nan])
        found = stochastically_rounded(values, BF16, torch.Generator().manual_seed(0))
        assert torch.equal(found[:5], values[:5])
        assert found[5].isnan()

    def test_small_steps_are_not_lost(self):
        generator = torch.Generator().manual_seed(1)
        values = torch.ones(200)
        for _ in range(1000):
            values = stochastically_rounded(values - 1e-3, BF16, generator)
        assert abs(values.mean().item()) < 0.05

    def test_fp16_is_refused(self):
        with pytest.raises(ValueError, match="expected a format with 8 bits of exponent"):
            stochastically_rounded(torch.ones(1), FP16, torch.Generator())


class TestShares:
    def test_flushed_counts_non_zero_entries_that_vanish(self):
        gradients = torch.tensor([0.0, 2**-25, -(2**-26), 2**-24, 1.0])
        assert flushed(gradients, FP16) == pytest.approx(2 / 4)
        assert flushed(gradients, FP16, scale=2.0) == pytest.approx(1 / 4)
        assert flushed(gradients, FP16, scale=4.0) == 0
        assert flushed(gradients, BF16) == 0
        assert flushed(torch.zeros(3), FP16) == 0

    def test_flushed_falls_monotonically_in_the_scale(self):
        gradients = torch.from_numpy(10.0 ** np.random.default_rng(0).uniform(-12, 0, 2000)).float()
        shares = [flushed(gradients, FP16, 2.0**k) for k in range(0, 17, 2)]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] > 0.3
        assert shares[-1] == 0

    def test_stagnant_counts_updates_that_round_away(self):
        weights = torch.tensor([1.0, 1.0, 1.0, 0.0])
        updates = torch.tensor([2**-12, 2**-10, 0.0, 2**-12])
        assert stagnant(weights, updates, FP16) == pytest.approx(1 / 3)
        assert stagnant(weights, updates, FP32) == 0
        assert stagnant(weights, torch.zeros(4), FP16) == 0

    def test_less_than_half_a_place_of_every_weight_never_moves(self):
        weights = rounded(torch.from_numpy(np.random.default_rng(3).uniform(0.1, 2, 500)).float(), FP16)
        assert stagnant(weights, -weights * 2.0**-12.1, FP16) == 1.0
        assert stagnant(weights, -weights * 2.0**-10.9, FP16) < 0.5

    def test_other_formats_can_be_described(self):
        e4m3 = Format("e4m3", 4, 3)
        assert r(1 + 2**-4, e4m3) == 1
        assert r(e4m3.min_subnormal, e4m3) == 2**-9
