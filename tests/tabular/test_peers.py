"""Every peer on a small mixed table, and against its library called directly."""

import importlib
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

from assay.core.method import locate, settings
from assay.core.run import Run
from assay.data.table import Table
from assay.tabular import peers
from assay.tabular.estimator import Classifier, Estimator
from assay.tabular.task import task

NAMES = sorted({path.partition(":")[2] for path in task.peers.values()})
PROBLEMS = ("two classes", "three classes", "regression")
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


def peer(name, problem, **options):
    cls = getattr(peers, name + ("Regressor" if problem == "regression" else "Classifier"))
    for module in cls.imports:
        pytest.importorskip(module)
    options = {"random_state": 0} | options
    return cls(**options, **({"n_estimators": 5} if hasattr(cls, "n_estimators") else {}))


def problem_of(problem, rows=160, seed=0):
    """A table of numbers, categories and truth values with gaps, a target and weights."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    color = rng.choice(["red", "green", "blue", "cyan", "pink", "grey"], rows)
    score = x[:, 0] + 2 * (color == "red") + x[:, 1] * (color == "blue") + 0.1 * rng.normal(size=rows)
    x[rng.random(x.shape) < 0.1] = np.nan
    columns = {"x": x[:, 0], "y": x[:, 1], "flag": rng.random(rows) < 0.5}
    columns["color"] = np.where(rng.random(rows) < 0.1, None, color).tolist()
    target = {
        "two classes": np.where(score > 0.3, "yes", "no"),
        "three classes": np.digitize(score, [-0.3, 1.0]) * 10,
        "regression": score,
    }[problem]
    return Table.of(columns), target, rng.integers(1, 4, rows).astype(float)


def outputs(model, table):
    return model.predict_proba(table) if isinstance(model, Classifier) else model.predict(table)


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


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BOOSTERS])
def test_scikit_learns_models_are_not_saved(name, tmp_path):
    table, target, _ = problem_of("regression")
    model = peer(name, "regression").fit(table, target)
    assert not task.save_model(model, tmp_path)
    assert os.listdir(tmp_path) == []


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


def direct_frame(table):
    return table.to_pandas().astype({"flag": float})


def direct_outputs(model, X, problem):
    return model.predict(X) if problem == "regression" else model.predict_proba(X)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("Sklearn")])
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


def test_class_weights_are_named_by_class():
    table, target, _ = problem_of("two classes")
    weighted = peer("SklearnCART", "two classes", max_depth=1, class_weight={"yes": 50.0}).fit(table, target)
    by_row = peer("SklearnCART", "two classes", max_depth=1)
    by_row.fit(table, target, sample_weight=np.where(target == "yes", 50.0, 1.0))
    assert np.allclose(weighted.predict_proba(table), by_row.predict_proba(table))


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
