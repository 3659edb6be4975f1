import math

import numpy as np
import pytest
from estimation_worlds import Normal, Sequence, mean_of, observations, values

from assay.core.run import Run
from assay.estimation.mini_batch import MiniBatch
from assay.estimation.populations import Column, Square
from assay.estimation.sgd import SGD

RMS = {  # Distance from the mean of the square after k steps with batches of m.
    (1, 1): 8.165,
    (1, 5): 3.651,
    (1, 50): 1.155,
    (10, 1): 2.582,
    (10, 5): 1.155,
    (10, 50): 0.365,
    (30, 1): 1.491,
    (30, 5): 0.667,
    (30, 50): 0.211,
}


@pytest.mark.parametrize(("k", "m"), RMS)
def test_the_cloud_of_figure_6_5(k, m):
    theory = math.sqrt(2 * 400 / 12 / (k * m))
    assert theory == pytest.approx(RMS[k, m], abs=6e-4)
    experiment = mean_of(Square(), start=np.array([20.0, 20.0]), samples=k * m, runs=3000, scale=20.0)
    found = values(MiniBatch(batch_size=m), experiment)
    assert np.sqrt((found**2).sum(axis=1).mean()) == pytest.approx(theory, rel=0.035)


def test_with_steps_one_over_k_it_is_the_mean_of_all_samples():
    experiment = mean_of(Normal(3, 2), start=-9.0, samples=120, runs=4)
    mean = observations(experiment).mean(axis=0)
    for m in (1, 2, 10, 120, 500):
        assert values(MiniBatch(batch_size=m), experiment) == pytest.approx(mean, rel=1e-12)
    assert np.array_equal(values(MiniBatch(batch_size=1), experiment), values(SGD(), experiment))


def test_the_learning_rate_is_not_scaled_with_the_batch():
    for m in (1, 4, 20):
        experiment = mean_of(Sequence(np.full(m, 10.0)), samples=m)
        assert values(MiniBatch(batch_size=m, c=0.1), experiment) == pytest.approx([1.0])


def test_all_rows_with_putting_back_are_not_the_full_batch():
    column = Column(np.random.default_rng(0).normal(size=25))
    drawn = values(MiniBatch(batch_size=25), mean_of(column, samples=25, runs=4000))
    assert drawn.var() == pytest.approx(column.deviation() ** 2 / 25, rel=5 * math.sqrt(2 / 4000))
    shuffled = values(
        MiniBatch(batch_size=25), mean_of(Column(column.values, "shuffled"), samples=25, runs=9)
    )
    assert shuffled == pytest.approx(column.mean(), abs=1e-14)


def test_a_rest_smaller_than_a_batch_is_not_taken():
    fitted = MiniBatch(batch_size=8).fit(mean_of(Normal(), samples=30), run=Run())
    assert fitted.samples[-1] == 24
    assert fitted.batch_size == 8


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        MiniBatch(batch_size=0)
    with pytest.raises(ValueError, match="power must be at least 0"):
        MiniBatch(power=-1)
