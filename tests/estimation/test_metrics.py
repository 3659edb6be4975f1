import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from assay.estimation import metrics

runs = arrays.arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e3, 1e3))
vectors = arrays.arrays(
    np.float64, st.tuples(st.integers(2, 9), st.integers(1, 3)), elements=st.floats(-9, 9)
)


@given(runs, st.floats(-1e3, 1e3))
def test_rmse_is_a_plain_sum(values, answer):
    expected = math.sqrt(sum((value - answer) ** 2 for value in values) / len(values))
    assert metrics.rmse(values, answer) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(vectors)
def test_errors_of_vectors_are_euclidean(values):
    answer = np.ones(values.shape[1])
    distances = [math.dist(value, answer) for value in values]
    assert metrics.rmse(values, answer) == pytest.approx(
        math.sqrt(np.mean(np.square(distances))), rel=1e-9, abs=1e-9
    )
    centre = [sum(column) / len(values) for column in values.T]
    assert metrics.bias(values, answer) == pytest.approx(math.dist(centre, answer), rel=1e-9, abs=1e-9)
    spread = math.sqrt(sum(math.dist(value, centre) ** 2 for value in values) / (len(values) - 1))
    assert metrics.deviation(values) == pytest.approx(spread, rel=1e-9, abs=1e-9)


@given(runs, st.floats(-1e3, 1e3))
def test_the_square_of_the_error_is_bias_and_variance(values, answer):
    n = len(values)
    variance = metrics.deviation(values) ** 2 * (n - 1) / n
    parts = metrics.bias(values, answer) ** 2 + variance
    assert metrics.rmse(values, answer) ** 2 == pytest.approx(parts, rel=1e-8, abs=1e-8)


def test_rounding_is_no_error_and_no_difference():
    values = np.full(4, 1e6)
    assert metrics.rmse(values + 1e-10, 1e6) == 0
    assert metrics.rmse(values + 1.0, 1e6) == 1
    assert metrics.rmse(np.array([0.3]), 0.1) == metrics.rmse(np.array([0.3 + 1e-15]), 0.1)
    assert math.isnan(metrics.rmse(np.array([math.nan]), 0.0))


def test_a_single_run_has_no_spread():
    assert metrics.deviation(np.array([3.0])) == 0


@pytest.mark.parametrize("slope", [-1.0, -0.5, 0.0])
def test_the_rate_is_the_slope_of_the_last_decade(slope):
    samples = np.array([0, 1, 10, 100, 300, 1000])
    errors = np.where(samples < 100, 7.0, 3.0 * np.maximum(samples, 1.0) ** slope)
    assert metrics.rate(samples, errors) == pytest.approx(slope, abs=1e-12)


@pytest.mark.parametrize(
    ("samples", "errors"),
    [([100], [0.1]), ([50, 100], [0.2, 0.1]), ([1, 10, 100], [1, 1, 1]), ([80, 90, 100], [0, 0.1, 0.1])],
)
def test_too_few_points_have_no_rate(samples, errors):
    assert metrics.rate(samples, errors) is None


def test_the_share_of_runs_that_blow_up():
    values = np.array([[0, 0, 0, 0], [5, 2000, 0, np.nan], [1, 1, -1001, 1]], float)
    assert metrics.blow_up_share(values) == 0.75
    assert metrics.blow_up_share(values, bound=1e4) == 0.25


def test_relative_errors_of_gradients():
    exact, noisy = np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([[3.0, 4.0], [3.0, 6.0]])
    assert metrics.relative_gradient_error(noisy, exact).tolist() == [0.0, 2.5]
    w, x, mean = 5.0, 4.0, 1.0  # For a mean: |x - E X| / |w - E X|.
    found = metrics.relative_gradient_error(np.array([[w - x]]), np.array([[w - mean]]))
    assert found == [abs(x - mean) / abs(w - mean)]


def test_the_noise_scale_is_variance_over_squared_gradient():
    rng = np.random.default_rng(0)
    observations = np.array([3.0, -4.0]) + rng.normal(0, 2.0, (100_000, 2))
    assert metrics.gradient_noise_scale(observations) == pytest.approx(8 / 25, rel=0.03)
    assert metrics.gradient_noise_scale(np.array([1.0, -1.0])) is None
    small = [metrics.gradient_noise_scale(rng.normal(1.0, 1.0, 30)) for _ in range(2000)]
    # |gradient|^2 is estimated without bias; 1 / variance of 30 normal numbers is 29 / 27 on average.
    assert np.mean([1 / scale for scale in small if scale]) == pytest.approx(29 / 27, abs=0.05)


def test_an_error_is_worth_as_many_samples_as_the_best_estimate_needs():
    assert metrics.equivalent_samples(0.1, 1.0) == pytest.approx(100)
    assert metrics.equivalent_samples(5.0, 50.0) == pytest.approx(100)
    assert math.isfinite(metrics.equivalent_samples(0.0, 1.0))
