import numpy as np
import pytest
from estimation_worlds import Normal

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.oracles import Mean, Quantile, Tanh
from assay.estimation.populations import Column, Square

COLUMN = Column(np.arange(10.0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 0}, "samples must be a whole number"),
        ({"samples": 2.5}, "samples must be a whole number"),
        ({"runs": -1}, "runs must be a whole number"),
        ({"scale": 0.0}, "scale must be above 0"),
        ({"scale": float("inf")}, "scale must be above 0"),
        ({"start": None}, "expected a start"),
        ({"start": [1.0, 2.0]}, r"expected a start of shape \(\), got shape \(2,\)"),
        ({"interval": (3.0, 3.0)}, "low end below its high end"),
    ],
)
def test_what_is_no_experiment_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Experiment(**{"oracle": Tanh(), "start": 0.0} | options)


def test_every_run_begins_at_the_start():
    experiment = Experiment(oracle=Mean(Square()), start=[1.0, 2.0], runs=3)
    first = experiment.first(Run())
    assert first.tolist() == [[1.0, 2.0]] * 3
    first += 1  # A fit may do with it what it likes.
    assert experiment.first(Run()).tolist() == [[1.0, 2.0]] * 3


@pytest.mark.parametrize("oracle", [Mean(COLUMN), Quantile(COLUMN, 0.3)])
def test_without_a_start_every_run_begins_at_a_row_of_its_own(oracle):
    experiment = Experiment(oracle=oracle, runs=500)
    first = experiment.first(Run(seed=1))
    assert set(first) == set(range(10))
    assert np.array_equal(experiment.first(Run(seed=1)), first)
    assert not np.array_equal(experiment.first(Run(seed=2)), first)


def test_only_a_column_has_rows():
    assert Experiment(oracle=Mean(COLUMN)).rows == 10
    assert Experiment(oracle=Mean(Normal())).rows is None
    assert Experiment(oracle=Tanh(), start=0.0).rows is None
    assert Experiment(oracle=Tanh(), start=0.0).population is None
