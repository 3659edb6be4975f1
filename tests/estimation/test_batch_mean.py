import math

import numpy as np
import pytest
from estimation_worlds import Normal, Sequence, mean_of, observations, values

from assay.core.budget import Budget
from assay.core.run import Run
from assay.estimation.batch_mean import BatchMean
from assay.estimation.experiment import Experiment
from assay.estimation.incremental_mean import IncrementalMean
from assay.estimation.oracles import Quantile, Tanh
from assay.estimation.populations import Coin, Column, Square


@pytest.mark.parametrize("population", [Coin(), Square(), Normal(5, 2), Column(np.arange(9.0), "shuffled")])
def test_it_is_numpys_mean_of_the_samples(population):
    experiment = mean_of(population, samples=537, runs=3)
    fitted = BatchMean().fit(experiment, run=Run(seed=4))
    x = observations(experiment, seed=4)
    assert fitted.values == pytest.approx(np.mean(x, axis=0), rel=1e-12, abs=1e-13)
    error = np.std(x, axis=0, ddof=1) / math.sqrt(537)
    assert fitted.standard_error == pytest.approx(error, rel=1e-9)


def test_blocks_make_no_difference(monkeypatch):
    experiment = mean_of(Normal(1e3, 1), samples=1000, runs=2)
    whole = values(BatchMean(), experiment)
    for block in (2, 14, 400):
        monkeypatch.setattr("assay.estimation.batch_mean._BLOCK", block)
        assert values(BatchMean(), experiment) == pytest.approx(whole, rel=1e-13)


def test_one_sample_is_its_own_mean():
    fitted = BatchMean().fit(mean_of(Sequence([7.5]), samples=1), run=Run())
    assert fitted.values.tolist() == [7.5]
    assert fitted.standard_error is None
    assert fitted.schedule is None


def test_large_numbers_lose_nothing():
    fitted = BatchMean().fit(mean_of(Sequence([1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]), samples=4), run=Run())
    assert fitted.values.tolist() == [1e9 + 10]
    assert fitted.standard_error is not None
    assert fitted.standard_error[0] == pytest.approx(math.sqrt(30 / 4), rel=1e-12)


@pytest.mark.parametrize("method", [BatchMean(), IncrementalMean()])
@pytest.mark.parametrize("oracle", [Tanh(), Quantile(Column(np.arange(5.0)), 0.5)])
def test_it_says_that_it_answers_for_means_only(method, oracle):
    with pytest.raises(ValueError, match="-mean estimates the mean of samples"):
        values(method, Experiment(oracle=oracle, start=0.0, samples=5))


def test_the_finite_population_is_known_exactly_after_an_epoch():
    column = Column(np.random.default_rng(0).normal(size=40), "shuffled")
    shuffled = values(BatchMean(), mean_of(column, samples=40, runs=20))
    assert shuffled == pytest.approx(column.mean(), rel=1e-12)
    with_putting_back = values(BatchMean(), mean_of(Column(column.values), samples=40, runs=2000))
    assert with_putting_back.var() == pytest.approx(column.deviation() ** 2 / 40, rel=0.15)


def test_the_budget_is_in_samples():
    run = Run(budget=Budget.parse("2epochs"))
    fitted = BatchMean().fit(mean_of(Column(np.arange(30.0)), samples=7), run=run)
    assert fitted.samples[-1] == 60
