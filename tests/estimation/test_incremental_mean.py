from fractions import Fraction

import numpy as np
import pytest
from estimation_worlds import Normal, Sequence, mean_of, observations, values
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.run import Run
from assay.estimation.batch_mean import BatchMean
from assay.estimation.incremental_mean import IncrementalMean
from assay.estimation.populations import Coin, Column
from assay.estimation.schedules import harmonic


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12), st.floats(-1e6, 1e6))
def test_it_is_the_mean_of_all_samples_so_far_at_every_k(samples, start):
    for k in range(1, len(samples) + 1):
        experiment = mean_of(Sequence(samples), start=start, samples=k, runs=2)
        exact = float(sum(map(Fraction, samples[:k])) / k)
        assert values(IncrementalMean(), experiment) == pytest.approx(exact, rel=1e-12, abs=1e-12)
        assert values(BatchMean(), experiment) == pytest.approx(exact, rel=1e-12, abs=1e-12)


def test_its_trace_is_the_running_mean():
    experiment = mean_of(Normal(2, 3), samples=400, runs=5)
    fitted = IncrementalMean().fit(experiment, run=Run(seed=1))
    x = observations(experiment, seed=1)
    running = np.cumsum(x, axis=0) / np.arange(1, 401)[:, None]
    assert fitted.samples[0] == 0
    assert fitted.samples[-1] == 400
    assert fitted.trace[1:] == pytest.approx(running[fitted.samples[1:] - 1], rel=1e-11)
    assert fitted.schedule == harmonic()


def test_order_does_not_matter_in_the_end():
    rng = np.random.default_rng(0)
    samples = rng.normal(10, 5, 300)
    found = [
        values(IncrementalMean(), mean_of(Sequence(rng.permutation(samples)), samples=300))[0]
        for _ in range(5)
    ]
    assert np.ptp(found) < 1e-12


def test_two_hundred_flips_of_a_coin():
    found = values(IncrementalMean(), mean_of(Coin(), samples=200, runs=20_000))
    assert found.std() == pytest.approx(0.0707, rel=0.02)
    assert abs(found.mean()) < 5 * 0.0707 / np.sqrt(20_000)


def test_sorted_rows_read_in_order_are_biased_along_the_way():
    column = Column(np.sort(np.random.default_rng(1).normal(size=100)), "given")
    fitted = IncrementalMean().fit(mean_of(column, samples=100), run=Run())
    off = fitted.trace[1:, 0] - column.mean()
    assert (off[:-1] < 0).all()
    assert off[fitted.samples[1:] <= 50].max() < -0.5
    assert off[-1] == pytest.approx(0, abs=1e-12)
    shuffled = values(IncrementalMean(), mean_of(Column(column.values, "shuffled"), samples=50, runs=500))
    assert abs(shuffled.mean() - column.mean()) < 5 * shuffled.std() / np.sqrt(500)


def test_its_standard_error_covers_as_it_should():
    fitted = IncrementalMean().fit(mean_of(Normal(3, 2), samples=100, runs=4000), run=Run())
    assert fitted.standard_error is not None
    covered = np.abs(fitted.values - 3) < 1.984 * fitted.standard_error  # Student's t with 99 degrees.
    assert covered.mean() == pytest.approx(0.95, abs=5 * np.sqrt(0.95 * 0.05 / 4000))
