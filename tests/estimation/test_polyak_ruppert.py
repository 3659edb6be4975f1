import math

import numpy as np
import pytest
from estimation_worlds import Exact, Normal, mean_of, observations, values

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.polyak_ruppert import PolyakRuppert
from assay.estimation.robbins_monro import RobbinsMonro
from assay.estimation.schedules import power

RUNS = 4000
NOISE = 5 * math.sqrt(2 / RUNS)  # Five standard errors of a variance, as a share of it.


def test_it_is_the_average_of_the_iterates():
    experiment = mean_of(Normal(1, 2), start=9.0, samples=50, runs=4)
    x = observations(experiment)
    w, iterates = np.full(4, 9.0), []
    for k in range(1, 51):
        w = w - 0.8 * k**-0.6 * (w - x[k - 1])
        iterates.append(w)
    fitted = PolyakRuppert(c=0.8, power=0.6).fit(experiment, run=Run())
    assert fitted.values == pytest.approx(np.mean(iterates, axis=0), rel=1e-12)
    assert fitted.averaged
    assert fitted.schedule == power(0.8, 0.6)


def test_the_average_reaches_the_limit_that_its_iterates_miss():
    experiment = mean_of(Normal(), samples=2000, runs=RUNS)
    last = 2000 * values(RobbinsMonro(power=0.7), experiment).var()
    average = 2000 * values(PolyakRuppert(power=0.7), experiment).var()
    assert last == pytest.approx(5.05, rel=NOISE)
    assert average == pytest.approx(1.05, rel=NOISE)
    assert average > 1 - NOISE  # Nothing can be better than the limit, 1.


@pytest.mark.parametrize("slope", [0.5, 2.0])
def test_it_needs_no_knowledge_of_the_slope(slope):
    oracle = Exact(lambda w: slope * (w - 1), noise=1.0)
    found = values(PolyakRuppert(), Experiment(oracle=oracle, start=1.0, samples=2000, runs=1000))
    assert slope * found.std() * math.sqrt(2000) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"power": 1.0}, "longer than 1 / k"),
        ({"power": 0.5}, "sum a_k\\^2 is infinite"),
        ({"power": 1.5}, "sum a_k is finite"),
        ({"c": -1.0}, "c must be above 0"),
    ],
)
def test_steps_that_are_not_averaged_to_the_limit_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        PolyakRuppert(**settings)
