"""CatBoost through its peer and called directly."""

import importlib

import numpy as np
import pytest
from peer_tables import PROBLEMS, direct_frame, direct_outputs, outputs, peer, problem_of


@pytest.mark.parametrize("problem", PROBLEMS)
def test_equals_catboost(problem):
    model = peer("CatBoost", problem, max_depth=3, subsample=0.7)
    catboost = importlib.import_module("catboost")
    table, target, weight = problem_of(problem)
    model.fit(table, target, sample_weight=weight)
    make = catboost.CatBoostRegressor if problem == "regression" else catboost.CatBoostClassifier
    X = direct_frame(table).assign(color=table["color"].values)
    options = {
        "depth": 3,
        "learning_rate": 0.3,
        "l2_leaf_reg": 1,
        "bootstrap_type": "Bernoulli",
        "subsample": 0.7,
    }
    library = make(
        iterations=5, random_seed=0, thread_count=1, verbose=False, allow_writing_files=False, **options
    )
    library.fit(X, target, sample_weight=weight, cat_features=["color"])
    assert np.allclose(outputs(model, table), direct_outputs(library, X, problem), rtol=1e-9)
