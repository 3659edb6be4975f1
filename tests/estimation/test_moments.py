import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.estimation.moments import Moments, neighbour_correlation, widening

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)
CATASTROPHE = 1e9 + np.array([4.0, 7.0, 13.0, 16.0])


def fed(samples) -> Moments:
    moments = Moments(np.shape(samples)[1:])
    for x in samples:
        moments.update(x)
    return moments


@given(st.lists(st.fractions(-100, 100, max_denominator=50), min_size=1, max_size=30))
def test_the_update_is_the_mean_of_all_so_far_exactly_and_to_rounding(samples):
    exact, moments = Fraction(10**6), Moments()  # Where it starts has no weight.
    for k, x in enumerate(samples, start=1):
        exact -= (exact - x) / k
        assert exact == sum(samples[:k]) / k
        assert moments.update(float(x)) == pytest.approx(float(exact), rel=1e-12, abs=1e-12)


@given(numbers)
def test_mean_and_variance_are_numpys(samples):
    moments = fed(samples)
    assert moments.count == len(samples)
    assert moments.mean == pytest.approx(np.mean(samples), rel=1e-12, abs=1e-9)
    if len(samples) > 1:
        assert moments.variance == pytest.approx(np.var(samples, ddof=1), rel=1e-9, abs=1e-6)
        assert moments.standard_error() == pytest.approx(
            np.std(samples, ddof=1) / math.sqrt(len(samples)), rel=1e-9, abs=1e-3
        )


def test_one_sample_is_its_own_mean_and_has_no_variance():
    moments = Moments()
    assert moments.update(7.5) == 7.5  # Not half of it, as a clock from zero would give.
    assert np.isnan(moments.variance)
    assert np.isnan(Moments().variance)


def test_the_variance_does_not_cancel():
    assert fed(CATASTROPHE).variance == 30.0
    assert Moments.of(CATASTROPHE).variance == 30.0
    assert fed(CATASTROPHE[:2]).merge(fed(CATASTROPHE[2:])).variance == 30.0

    def textbook(x):  # (sum of squares - square of the sum / n) / (n - 1)
        return (np.sum(x * x) - np.sum(x) ** 2 / x.dtype.type(4)) / x.dtype.type(3)

    assert textbook(CATASTROPHE) == pytest.approx(-170.67, abs=0.01)
    assert textbook(CATASTROPHE.astype(np.float32)) == 0


@given(numbers, st.data())
def test_parts_merge_to_the_whole_wherever_it_is_cut(samples, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=4)))
    whole, merged = fed(samples), Moments()
    for start, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        part = Moments.of(samples[start:end]) if start % 2 else fed(samples[start:end])
        merged.merge(part)
    assert merged.count == whole.count
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12, abs=1e-9)
    if len(samples) > 1:
        assert merged.variance == pytest.approx(whole.variance, rel=1e-9, abs=1e-4)


def test_means_of_unequal_batches_are_weighted_by_their_counts():
    merged = Moments.of([1.0]).merge(Moments.of([4.0, 4.0, 4.0]))
    assert merged.mean == 3.25  # And not 2.5, the mean of the means.
    assert merged.variance == np.var([1, 4, 4, 4], ddof=1)  # The cross term: both parts have none.


def test_streams_are_independent_of_each_other():
    samples = np.random.default_rng(0).normal(size=(50, 3, 2))
    together = fed(samples)
    for index in np.ndindex(3, 2):
        alone = fed(samples[(slice(None), *index)])
        assert together.mean[index] == alone.mean
        assert together.variance[index] == alone.variance


def test_order_makes_no_difference():
    rng = np.random.default_rng(1)
    samples = rng.normal(5, 2, 200)
    means = [fed(rng.permutation(samples)).mean for _ in range(10)]
    assert np.ptp(means) < 1e-13


def test_a_narrow_type_does_not_stop_the_sum():
    ones = np.ones(3000, np.float16)
    narrow = np.float16(0)
    for x in ones:
        narrow = np.float16(narrow + x)
    assert narrow == 2048  # Half precision cannot count further,
    moments = Moments()
    for k, x in enumerate(ones):
        moments.update(x * (k % 2))
    assert moments.mean == 0.5  # and nothing here is kept in it.
    assert moments.mean.dtype == np.float64


def test_it_goes_on_where_its_state_was_written():
    samples = np.random.default_rng(2).normal(size=(20, 4))
    half = fed(samples[:10])
    state = json.loads(json.dumps(half.state_dict()))
    assert set(state) == {"count", "mean", "M2"}
    again = Moments.from_state_dict(state)
    for x in samples[10:]:
        again.update(x)
    whole = fed(samples)
    assert again.count == 20
    assert np.array_equal(again.mean, whole.mean)
    assert np.array_equal(again.variance, whole.variance)


def autoregression(rho, runs, length, rng):
    """Series with unit variance whose neighbours correlate by rho."""
    x = np.empty((length, runs))
    x[0] = rng.standard_normal(runs)
    for k in range(1, length):
        x[k] = rho * x[k - 1] + math.sqrt(1 - rho**2) * rng.standard_normal(runs)
    return x


def test_error_bars_of_correlated_samples_are_widened():
    rng = np.random.default_rng(3)
    x = autoregression(0.9, 2000, 2000, rng)
    moments = Moments.of(x)
    true = moments.mean.std()
    naive, widened = moments.standard_error().mean(), moments.standard_error(0.9).mean()
    assert widening(0.9) == pytest.approx(4.36, abs=0.005)
    assert widened / naive == pytest.approx(widening(0.9), rel=1e-12)
    assert true / naive == pytest.approx(4.36, rel=0.08)  # A series of 2,000 is nearly long.
    assert true == pytest.approx(widened, rel=0.08)
    assert neighbour_correlation(x[:, 0]) == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("correlation", [1.0, -1.0, 1.5, math.nan])
def test_a_correlation_that_cannot_be_is_refused(correlation):
    with pytest.raises(ValueError, match="correlation must be in"):
        widening(correlation)


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0], [3.0, 3.0, 3.0]])
def test_too_little_to_see_a_correlation_in(values):
    assert neighbour_correlation(np.array(values)) == 0


def test_the_correlation_is_that_of_neighbours():
    x = np.array([1.0, 2.0, 4.0, 3.0, 0.0])
    d = x - 2
    assert neighbour_correlation(x) == pytest.approx((d[:-1] * d[1:]).sum() / (d * d).sum())
    assert widening(0.0) == 1
    assert widening(-0.5) == pytest.approx(math.sqrt(1 / 3))
