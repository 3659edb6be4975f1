"""The xgboost package and LightGBM through their peers and called directly."""

import importlib

import numpy as np
import pytest
from peer_tables import PROBLEMS, direct_frame, direct_outputs, outputs, peer, problem_of


@pytest.mark.parametrize("problem", PROBLEMS)
def test_equals_xgboost(problem):
    model = peer("DMLCXGBoost", problem, max_depth=3, learning_rate=0.2, gamma=0.1, colsample_bynode=0.5)
    xgboost = importlib.import_module("xgboost")
    table, target, weight = problem_of(problem)
    model.fit(table, target, sample_weight=weight)
    make = xgboost.XGBRegressor if problem == "regression" else xgboost.XGBClassifier
    options = {"n_estimators": 5, "max_depth": 3, "learning_rate": 0.2, "gamma": 0.1, "colsample_bynode": 0.5}
    library = make(
        tree_method="hist", max_bin=255, enable_categorical=True, random_state=0, n_jobs=1, **options
    )
    X = direct_frame(table)
    codes = np.unique(target, return_inverse=True)[1]
    library.fit(X, target if problem == "regression" else codes, sample_weight=weight)
    assert np.allclose(outputs(model, table), direct_outputs(library, X, problem), rtol=1e-6)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_equals_lightgbm(problem):
    model = peer("LightGBM", problem, max_depth=3, subsample=0.7, colsample_bytree=0.8)
    lightgbm = importlib.import_module("lightgbm")
    table, target, weight = problem_of(problem)
    model.fit(table, target, sample_weight=weight)
    make = lightgbm.LGBMRegressor if problem == "regression" else lightgbm.LGBMClassifier
    options = {
        "subsample": 0.7,
        "subsample_freq": 1,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
        "max_depth": 3,
    }
    options |= {"min_child_samples": 0, "min_child_weight": 1.0, "num_leaves": 8, "learning_rate": 0.3}
    library = make(n_estimators=5, random_state=0, n_jobs=1, verbosity=-1, **options)
    X = direct_frame(table)
    library.fit(X, target, sample_weight=weight)
    assert np.allclose(outputs(model, table), direct_outputs(library, X, problem), rtol=1e-9)
