import numpy as np
import pytest
from estimation_worlds import Exact, Normal, cubic, mean_of, observations, values

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.full_batch import FullBatch, overshot
from assay.estimation.oracles import Cubic, Quantile, Tanh, function_oracle
from assay.estimation.populations import Column, Square


@pytest.mark.parametrize("population", [Normal(5, 2), Square(), Column(np.arange(9.0))])
def test_one_step_of_one_is_exact_for_a_mean(population):
    experiment = mean_of(population, start=np.full(population.shape, 40.0), samples=50, runs=4)
    mean = observations(experiment).mean(axis=0)
    assert values(FullBatch(steps=1), experiment) == pytest.approx(mean, rel=1e-12)
    assert values(FullBatch(), experiment) == pytest.approx(mean, rel=1e-12)
    short = values(FullBatch(alpha=0.5, steps=1), experiment)
    assert short == pytest.approx((40 + mean) / 2, rel=1e-12)


def test_without_putting_back_it_is_the_mean_of_the_population():
    column = Column(np.random.default_rng(0).normal(size=30), "shuffled")
    experiment = mean_of(column, samples=30, runs=5)
    assert values(FullBatch(), experiment) == pytest.approx(column.mean(), abs=1e-14)


def test_every_step_looks_at_the_same_samples():
    experiment = Experiment(oracle=Tanh(), start=3.0, samples=400, runs=6)
    noise = np.mean(
        [Run().rng("samples").standard_normal((400, 6))], axis=(0, 1)
    )  # Of a run, which stays the same.
    expected = 1 + np.arctanh(-noise)  # tanh(w - 1) + noise = 0
    assert values(FullBatch(), experiment) == pytest.approx(expected, abs=1e-7)


def test_the_quantile_of_the_samples():
    column = Column(np.random.default_rng(1).gamma(2.0, size=2000))
    experiment = Experiment(oracle=Quantile(column, 0.6), samples=500, runs=5)
    rng = Run().rng("samples")
    samples = column.draw(500, 5, rng)
    expected = np.quantile(samples, 0.6, axis=0, method="inverted_cdf")
    found = values(FullBatch(steps=1000), experiment)
    assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("start", "steps"), [(0.0, 100), (1.0, 100), (4.0, 100), (10.0, 1000)])
def test_long_steps_are_taken_back(start, steps):
    exact = Experiment(oracle=Exact(cubic), start=start, samples=1)
    assert values(FullBatch(steps=steps), exact) == pytest.approx([5 ** (1 / 3)], abs=2e-8)
    noisy = Experiment(oracle=Cubic(), start=start, samples=100, runs=20)
    found = values(FullBatch(steps=steps), noisy)
    noise = Run().rng("samples").standard_normal((100, 20)).mean(axis=0)
    assert found == pytest.approx(np.cbrt(5 - noise), abs=2e-7)


def test_a_slope_of_two_does_not_go_round_in_circles():
    found = values(FullBatch(), Experiment(oracle=Exact(lambda w: 2 * (w - 3)), start=0.0, samples=1))
    assert found == pytest.approx([3.0], abs=1e-9)


def test_which_gradients_have_overshot():
    before = np.array([4.0, 4.0, 4.0, 4.0, 0.0])
    after = np.array([3.0, -1.9, -2.1, -50.0, 1.0])
    assert overshot(before, after).tolist() == [False, False, True, True, False]
    assert overshot(np.array([[3.0, 4.0]]), np.array([[-3.0, -3.0]])).tolist() == [True]
    assert overshot(np.array([[3.0, 4.0]]), np.array([[-4.0, 3.0]])).tolist() == [False]  # A right angle.


def test_it_stops_where_nothing_moves_any_more():
    looks = []

    def counted(w):
        looks.append(1)
        return w - 3

    values(FullBatch(), Experiment(oracle=Exact(counted), start=0.0, samples=1))
    assert len(looks) == 3  # At the start, at 3, and there once more.
    looks.clear()
    values(FullBatch(tolerance=0, steps=7), Experiment(oracle=Exact(counted), start=0.5, samples=1))
    assert len(looks) <= 8


def test_samples_that_cannot_be_seen_again_are_refused():
    source = np.random.default_rng(0)
    oracle = function_oracle(lambda w: w - 1 + source.normal(), np.array(0.0))
    with pytest.raises(ValueError, match="without an argument rng"):
        values(FullBatch(), Experiment(oracle=oracle, start=0.0, samples=10))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alpha": 0}, "c must be above 0"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"tolerance": -1}, "tolerance must be at least 0"),
    ],
)
def test_what_cannot_be_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        FullBatch(**settings)
