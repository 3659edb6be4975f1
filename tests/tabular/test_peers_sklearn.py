"""scikit-learn's methods through their peers and called directly."""

import importlib
import os

import numpy as np
import pytest
from peer_tables import PROBLEMS, direct_frame, direct_outputs, outputs, peer, problem_of

from assay.tabular.task import task

NAMES = sorted({path.partition(":")[2] for path in task.peers.values() if ":Sklearn" in path})


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", NAMES)
def test_equals_scikit_learn(name, problem):
    model = peer(name, problem)
    ending = "Regressor" if problem == "regression" else "Classifier"
    table, target, weight = problem_of(problem)
    model.fit(table, target, sample_weight=weight)
    X = table.to_numpy()
    if name in ("SklearnAdaBoost", "SklearnGBDT"):
        low, high = np.nanmin(X, axis=0), np.nanmax(X, axis=0)
        X = np.where(np.isnan(X), low - (1 + high - low + np.abs(low)), X)
    rounds = {"n_estimators": 5, "random_state": 0}
    ensemble = importlib.import_module("sklearn.ensemble")
    tree = importlib.import_module("sklearn.tree")
    library = {
        "SklearnCART": lambda: getattr(tree, f"DecisionTree{ending}")(random_state=0),
        "SklearnBagging": lambda: getattr(ensemble, f"Bagging{ending}")(max_samples=len(X), **rounds),
        "SklearnRandomForest": lambda: getattr(ensemble, f"RandomForest{ending}")(**rounds),
        "SklearnAdaBoost": lambda: getattr(ensemble, f"AdaBoost{ending}")(**rounds),
        "SklearnGBDT": lambda: getattr(ensemble, f"GradientBoosting{ending}")(**rounds),
        "SklearnHistGBDT": lambda: getattr(ensemble, f"HistGradientBoosting{ending}")(
            max_iter=5, max_depth=3, max_leaf_nodes=None, min_samples_leaf=1, early_stopping=False
        ),
    }[name]()
    if name == "SklearnHistGBDT":
        X = direct_frame(table)
    library.fit(X, target, sample_weight=weight)
    assert np.allclose(outputs(model, table), direct_outputs(library, X, problem), rtol=1e-12, atol=1e-14)


def test_class_weights_are_named_by_class():
    table, target, _ = problem_of("two classes")
    weighted = peer("SklearnCART", "two classes", max_depth=1, class_weight={"yes": 50.0}).fit(table, target)
    by_row = peer("SklearnCART", "two classes", max_depth=1)
    by_row.fit(table, target, sample_weight=np.where(target == "yes", 50.0, 1.0))
    assert np.allclose(weighted.predict_proba(table), by_row.predict_proba(table))


@pytest.mark.parametrize("name", NAMES)
def test_scikit_learns_models_are_not_saved(name, tmp_path):
    table, target, _ = problem_of("regression")
    model = peer(name, "regression").fit(table, target)
    assert not task.save_model(model, tmp_path)
    assert os.listdir(tmp_path) == []
