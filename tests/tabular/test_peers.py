"""Every peer on a small mixed table."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from peer_tables import PROBLEMS, outputs, peer, problem_of

from assay.core.method import locate, settings
from assay.core.run import Run
from assay.data.table import Table
from assay.tabular import peers
from assay.tabular.estimator import Estimator
from assay.tabular.task import task

NAMES = sorted({path.partition(":")[2] for path in task.peers.values()})
OURS = {
    "SklearnCART": "cart:CART",
    "SklearnBagging": "bagging:Bagging",
    "SklearnRandomForest": "random_forest:RandomForest",
    "SklearnAdaBoost": "adaboost:AdaBoost",
    "SklearnGBDT": "gbdt:GBDT",
    "SklearnHistGBDT": "gbdt:GBDT",
    "DMLCXGBoost": "xgboost:XGBoost",
    "LightGBM": "xgboost:XGBoost",
    "CatBoost": "xgboost:XGBoost",
}
BOOSTERS = ("DMLCXGBoost", "LightGBM", "CatBoost")


def test_the_task_lists_every_peer():
    assert set(NAMES) == set(OURS)
    both = {name + ending for name in NAMES for ending in ("Classifier", "Regressor")}
    assert both == set(peers.__all__)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", NAMES)
def test_learns_a_mixed_table_the_same_for_a_seed(name, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table, target, weight = problem_of(problem)
    model = peer(name, problem).fit(table, target, sample_weight=weight)
    predicted = outputs(model, table)
    assert np.array_equal(
        outputs(peer(name, problem).fit(table, target, sample_weight=weight), table), predicted
    )
    if problem == "regression":
        assert predicted.shape == target.shape
        assert model.score(table, target) > 0.3
    else:
        assert np.array_equal(model.classes_, np.unique(target))
        assert np.allclose(predicted.sum(axis=1), 1, atol=1e-6)
        assert predicted.min() >= 0
        assert np.array_equal(model.predict(table), model.classes_[predicted.argmax(axis=1)])
        assert model.score(table, target) > 0.7
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_weights_count(name):
    table, target, _ = problem_of("regression")
    low = target < np.median(target)
    depth = {"max_depth": 1} if name == "SklearnCART" else {}  # A full tree says what it saw.
    model = peer(name, "regression", **depth)
    model.fit(table, target, sample_weight=np.where(low, 100.0, 1e-3))
    plain = peer(name, "regression", **depth).fit(table, target)
    assert model.predict(table).mean() < plain.predict(table).mean()


@pytest.mark.parametrize("name", NAMES)
def test_unknown_category_is_missing_and_columns_go_by_name(name):
    table, target, _ = problem_of("two classes")
    model = peer(name, "two classes").fit(table, target)
    rows = {
        "color": ["violet", None, "red"],
        "flag": [True, True, False],
        "y": [0.0] * 3,
        "x": [1.0, 1.0, np.nan],
    }
    predicted = model.predict_proba(rows)
    assert np.array_equal(predicted[0], predicted[1])
    with pytest.raises(ValueError, match="color"):
        model.predict_proba({key: value for key, value in rows.items() if key != "color"})


@pytest.mark.parametrize("name", NAMES)
def test_gaps_seen_only_in_new_rows(name):
    rng = np.random.default_rng(0)
    known = rng.normal(size=(60, 2))
    model = peer(name, "regression").fit(known, known[:, 0])
    assert np.isfinite(model.predict([[np.nan, 0.0], [np.nan, np.nan]])).all()


@pytest.mark.parametrize("name", NAMES)
def test_constant_and_empty_columns(name):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=50), np.full(50, 7.0), np.full(50, np.nan)])
    model = peer(name, "regression").fit(X, X[:, 0])
    assert model.score(X, X[:, 0]) > 0.3


@pytest.mark.parametrize("name", [*BOOSTERS, "SklearnHistGBDT", "SklearnCART"])
def test_more_categories_than_bins_and_than_sixteen_bits(name):
    rng = np.random.default_rng(0)
    texts = [f"c{index:05d}" for index in range(70_000)]
    codes = np.concatenate([np.arange(70_000), rng.integers(0, 100, 500)])
    table = Table.of({"x": rng.normal(size=len(codes)), "c": [texts[code] for code in codes]})
    target = (table["x"].values > 0).astype(int)
    options = {} if name == "SklearnCART" else {"max_bins": 63}
    model = peer(name, "two classes", **options).fit(table, target)
    assert model.score(table, target) > 0.95


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", NAMES)
def test_the_last_stage_is_the_prediction(name, problem):
    table, target, _ = problem_of(problem)
    model = peer(name, problem).fit(table, target)
    staged = getattr(model, "staged_predict" if problem == "regression" else "staged_predict_proba", None)
    if name == "SklearnCART":
        assert staged is None
        return
    stages = list(staged(table))
    assert len(stages) == 5
    assert all(stage.shape == outputs(model, table).shape for stage in stages)
    assert not np.allclose(stages[0], stages[-1])
    assert np.allclose(stages[-1], outputs(model, table), atol=1e-6)
    # A model of fewer rounds is an earlier stage.
    assert np.allclose(
        stages[1], outputs(model.set_params(n_estimators=2).fit(table, target), table), atol=1e-6
    )


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", [*BOOSTERS, "SklearnGBDT"])
def test_a_monitor_stops_the_rounds(name, problem):
    table, target, _ = problem_of(problem)
    told = []

    def monitor(rounds, estimator):
        told.append((rounds, estimator))
        return rounds == 3

    model = peer(name, problem)
    model.fit(table, target, monitor=monitor)
    assert told == [(1, model), (2, model), (3, model)]
    full = peer(name, problem).set_params(n_estimators=3).fit(table, target)
    assert np.allclose(outputs(model, table), outputs(full, table), atol=1e-12)
    unstopped = peer(name, problem).fit(table, target, monitor=lambda rounds, estimator: None)
    assert np.array_equal(outputs(unstopped, table), outputs(peer(name, problem).fit(table, target), table))


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", BOOSTERS)
def test_saved_models_predict_the_same(name, problem, tmp_path):
    table, target, _ = problem_of(problem)
    model = peer(name, problem).fit(table, target)
    assert task.save_model(model, tmp_path / "model")
    again = task.load_model(tmp_path / "model")
    assert type(again) is type(model)
    assert again.get_params() == model.get_params()
    assert np.array_equal(outputs(again, table), outputs(model, table))
    again.save(tmp_path / "twice")
    twice = Estimator.load(tmp_path / "twice")
    stages = "staged_predict" if problem == "regression" else "staged_predict_proba"
    for one, two in zip(getattr(twice, stages)(table), getattr(model, stages)(table), strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("ending", ["Classifier", "Regressor"])
@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_our_method(name, ending):
    ours = locate(f"assay.tabular.{OURS[name]}{ending}")()
    theirs = getattr(peers, name + ending)()
    own = {"CatBoost": {"grow_policy"}, "SklearnHistGBDT": {"max_features", "max_leaf_nodes"}}.get(
        name, set()
    )
    for key, value in settings(theirs).items():
        if key not in own:
            assert value == settings(ours)[key], key


def test_budgets_bound_the_rounds():
    table, target, _ = problem_of("two classes")
    data = task.load(Table((*table.columns, Table.of({"t": target.tolist()})["t"])), target="t")
    from assay.core.budget import Budget

    for name in ("lightgbm", "sklearn-random-forest"):
        method = task.method(name, data, {})
        if task.available(name) is None:
            model = task.fit(method, data, Run(budget=Budget.parse("4steps")))
            assert len(list(model.staged_predict_proba(data.features))) == 4


def test_importing_the_peers_imports_no_library():
    code = "import sys, assay.tabular.peers; print(*{name.partition('.')[0] for name in sys.modules})"
    python = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"sklearn", "xgboost", "lightgbm", "catboost", "pandas"} & set(python.stdout.split())


def test_only_methods_with_callbacks_take_a_monitor():
    takes = {
        name
        for name in NAMES
        if "monitor" in inspect.signature(getattr(peers, f"{name}Regressor").fit).parameters
    }
    assert takes == {*BOOSTERS, "SklearnGBDT"}
