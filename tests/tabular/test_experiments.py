"""The parts of the experiments: what they share, what they choose, and that a seed decides."""

import numpy as np
import pytest

from assay.core.run import Run
from assay.data.table import Table
from assay.tabular import experiments, metrics
from assay.tabular.gbdt import GBDTRegressor
from assay.tabular.task import task
from assay.tabular.xgboost import XGBoostClassifier


def test_the_bound_is_a_product_of_two_root_e_one_minus_e():
    bound = experiments.exponential_bound(np.array([0.5, 0.1, 0.2]))
    np.testing.assert_allclose(bound, [1.0, 0.6, 0.48], rtol=1e-14)
    errors = np.random.default_rng(0).uniform(0.01, 0.49, 50)
    np.testing.assert_allclose(
        experiments.exponential_bound(errors), experiments.exponential_bound(1 - errors), rtol=1e-12
    )
    assert (np.diff(experiments.exponential_bound(errors)) < 0).all()


def test_a_small_run_has_few_rounds_and_others_as_many_as_are_wanted():
    assert experiments._rounds("smoke", 500) == 20
    assert experiments._rounds("default", 500) == 500


def test_halves_are_those_of_the_task_and_change_with_the_seed():
    train, test = experiments._halves("california_housing", 0, "smoke")
    whole = task.load("california_housing", scale="smoke")
    assert len(train) + len(test) == len(whole)
    again, other = (experiments._halves("california_housing", seed, "smoke")[0] for seed in (0, 1))
    np.testing.assert_array_equal(train.target, again.target)
    assert not np.array_equal(train.target, other.target)


def test_the_round_is_chosen_on_held_out_training_rows_and_scored_on_test_rows():
    method = GBDTRegressor(n_estimators=8, learning_rate=1.0, max_depth=4)
    found = experiments._chosen_rmse({"one": method}, 3, "smoke")
    train, test = task.split(task.load("california_housing", scale="smoke"), 3)
    train, held = task.split(train, 3)
    model = task.fit(method, train, Run(seed=3))
    by_round = [
        [metrics.rmse(said, part.target, part.weight) for said in model.staged_predict(part.features)]
        for part in (held, test)
    ]
    assert found == {"one": by_round[1][by_round[0].index(min(by_round[0]))]}


def test_twonorm_follows_its_generator():
    tables = [experiments.twonorm(30, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    (a, y), (b, z), (c, _) = tables
    assert a.fingerprint() == b.fingerprint() != c.fingerprint()
    np.testing.assert_array_equal(y, z)
    assert set(y.tolist()) == {0, 1}


def test_noise_columns_do_not_depend_on_one_another_or_on_the_target():
    data = task.load("california_housing", scale="smoke")
    noisy = experiments._with_noise(data, 2, 5)
    first, second = (noisy.features[f"noise {i}"].values for i in range(2))
    least = 5 / np.sqrt(len(data))
    assert abs(np.corrcoef(first, second)[0, 1]) < least
    assert abs(np.corrcoef(first, data.target)[0, 1]) < least
    assert data.features.names == noisy.features.names[:-2]


def test_without_noise_chance_counts_as_gain():
    rng = np.random.default_rng(0)
    names = [f"{i:03d}" for i in rng.integers(0, 150, 600)]
    table, y = Table.of({"name": names}), rng.integers(0, 2, 600)
    gains = [
        model.fit(table, y).importances("total_gain")[0]
        for model in (
            XGBoostClassifier(n_estimators=1, max_depth=1),
            experiments.GainAsItIsClassifier(n_estimators=1, max_depth=1),
        )
    ]
    assert gains[1] > 50  # about 2 / pi of 150 categories
    assert gains[0] < gains[1] / 3


EXPERIMENTS = [experiments.column_sampling, experiments.approximation, experiments.groups_of_categories]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_seed_decides_what_is_measured(experiment):
    once = experiment(0, "smoke")
    assert once == experiment(0, "smoke")
    assert all(np.isfinite(error) and error > 0 for error in once.values())
    assert len(once) == 3
