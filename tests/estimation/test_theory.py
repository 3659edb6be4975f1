import math

import numpy as np
import pytest
from estimation_worlds import Exact, values

from assay.estimation.experiment import Experiment
from assay.estimation.mini_batch import MiniBatch
from assay.estimation.schedules import Schedule, constant, harmonic, power
from assay.estimation.sgd import SGD
from assay.estimation.theory import limit, predicted_error


def test_the_limit_falls_with_the_root_of_the_samples():
    assert limit([1, 100], slope=2.0, noise=3.0) == pytest.approx([1.5, 0.15])


def exact_variance(schedule, slope, noise, steps):
    """The variance of the linear iteration, step by step: v <- (1 - a g')^2 v + a^2 noise^2."""
    v = 0.0
    for k in range(1, steps + 1):
        a = schedule(k)
        v = (1 - a * slope) ** 2 * v + a**2 * noise**2
    return v


@pytest.mark.parametrize("slope", [0.8, 1.0, 3.0])
@pytest.mark.parametrize(
    "schedule", [harmonic(1), harmonic(2), power(1, 0.7), power(0.5, 0.6), constant(0.1)]
)
def test_it_is_what_the_linear_iteration_comes_to(schedule, slope):
    steps = 20_000
    expected = math.sqrt(exact_variance(schedule, slope, 2.0, steps))
    found = predicted_error(steps, slope=slope, noise=2.0, schedule=schedule)
    assert found == pytest.approx(expected, rel=0.02)


def test_a_constant_step_keeps_alpha_over_two_less_alpha():
    found = predicted_error([10, 1000], slope=1.0, noise=1.0, schedule=constant(0.5))
    assert found == pytest.approx([math.sqrt(1 / 3)] * 2)


@pytest.mark.parametrize("method", [SGD(c=1, power=0.8), MiniBatch(batch_size=5, c=1, power=0.8)])
def test_it_is_what_simulation_shows(method):
    oracle = Exact(lambda w: 2 * (w - 1), noise=1.5)
    found = values(method, Experiment(oracle=oracle, start=1.0, samples=1500, runs=1500)).std()
    size = getattr(method, "batch_size", 1)
    theory = predicted_error(1500, slope=2.0, noise=1.5, schedule=power(1, 0.8), batch_size=size)
    assert theory == pytest.approx(found, rel=0.1)


def test_averages_are_at_the_limit_and_some_schedules_have_no_theory():
    known = {"slope": 1.0, "noise": 1.0}
    average = predicted_error([400], schedule=power(1, 0.7), averaged=True, **known)
    assert average == pytest.approx([0.05])
    for schedule in (harmonic(0.5), harmonic(0.2), constant(2.0), Schedule(1, 1.5)):
        assert predicted_error(np.array([10]), schedule=schedule, **known) is None
