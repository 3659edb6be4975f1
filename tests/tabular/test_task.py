import numpy as np
import pytest

from assay.core.budget import Budget
from assay.core.run import Run
from assay.data.table import ContractError, Table
from assay.tabular import metrics
from assay.tabular.cart import CARTClassifier, CARTRegressor
from assay.tabular.task import task


def frame(rows=400, seed=0, classes=2):
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=rows), rng.choice(["red", "green", "blue"], rows)
    score = x + (z == "red") + 0.5 * rng.normal(size=rows)
    y = np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))
    x = np.where(rng.random(rows) < 0.1, np.nan, x)
    return {"x": x, "z": z.tolist(), "g": rng.integers(0, 20, rows), "t": np.arange(rows), "y": y, "r": score}


def load(target="y", **options):
    drop = [name for name in ("y", "r", "g", "t") if name != target and name not in options.values()]
    return task.load(
        Table.of(frame(**options.pop("frame", {})), name="f"), target=target, drop=drop, **options
    )


def parts(data, seed):
    train, test = task.split(data, seed)
    return train.features["x"].values, test.features["x"].values


@pytest.mark.parametrize("seed", range(3))
def test_split_is_a_partition_fixed_by_the_seed(seed):
    data = load()
    train, test = task.split(data, seed)
    both = np.concatenate([train.features["x"].values, test.features["x"].values])
    assert np.array_equal(np.sort(both), np.sort(data.features["x"].values), equal_nan=True)
    assert len(test) == 100
    for one, two in zip(parts(data, seed), parts(data, seed), strict=True):
        assert np.array_equal(one, two, equal_nan=True)
    assert not np.array_equal(parts(data, seed)[1], parts(data, seed + 1)[1], equal_nan=True)


def test_split_keeps_class_shares_and_groups_and_time():
    data = load(frame={"classes": 4})
    train, test = task.split(data, 0)
    assert np.ptp(np.bincount(train.target) / len(train) - np.bincount(test.target) / len(test)) < 0.01
    grouped = load(group="g")
    train, test = task.split(grouped, 1)
    assert not set(train.group) & set(test.group)
    assert len(set(test.group)) == 5
    timed = load(time="t")
    train, test = task.split(timed, 2)
    assert train.time.max() < test.time.min()


def test_smallest_tables_split():
    data = task.load(Table.of({"x": [1, 2, 3, 4], "y": list("aabb")}), target="y")
    train, test = task.split(data, 0)
    assert sorted(train.target) == sorted(test.target) == [0, 1]


@pytest.mark.parametrize("target", ["y", "r"])
def test_a_trial_by_hand(target, tmp_path):
    data = load(target)
    method = task.method("cart", data, {"max_depth": 3})
    assert type(method) is (CARTClassifier if target == "y" else CARTRegressor)
    train, test = task.split(data, 0)
    run = Run(seed=5)
    model = task.fit(method, train, run)
    assert not hasattr(method, "n_features_in_")  # The method itself stays as it was.
    assert model.random_state == 5
    outputs = task.predict(model, test, run)
    scores = task.score(outputs, test)
    assert list(scores) == [metric.name for metric in task.metrics(data)]
    if target == "y":
        assert scores["AUC"] == metrics.auc(model.predict_proba(test.features)[:, 1], test.target == 1)
        assert scores["AUC"] > 0.8
    else:
        assert scores["RMSE"] < test.target.std()
    (tmp_path / "model").mkdir()
    assert task.save_model(model, tmp_path / "model")
    again = task.load_model(tmp_path / "model")
    assert np.array_equal(task.predict(again, test, run), outputs)


def test_settings_are_checked_by_name():
    with pytest.raises(ValueError, match=r"cart has no setting 'max_deep'; it has .*max_depth"):
        task.method("cart", load(), {"max_deep": 3})


def test_smoke_scale_means_few_rounds_unless_said_otherwise():
    data = load()
    assert task.method("random-forest", data, {}, "smoke").n_estimators == 10
    assert task.method("random-forest", data, {"n_estimators": 30}, "smoke").n_estimators == 30


class Threshold:
    """A user's classifier without probabilities, which wants a pandas frame."""

    def __init__(self, cut=0.0):
        self.cut = cut

    def get_params(self, deep=True):
        return {"cut": self.cut}

    def set_params(self, **params):
        vars(self).update(params)
        return self

    def fit(self, X, y):
        self.columns = list(X.columns)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[(X["x"] > self.cut).astype(int)]


def test_a_users_estimator_gets_a_frame_and_may_lack_probabilities():
    pytest.importorskip("pandas")
    data = load()
    train, test = task.split(data, 0)
    method = task.accept(Threshold, data)
    model = task.fit(method, train, Run())
    assert model.columns == ["x", "z"]
    outputs = task.predict(model, test, Run())
    assert set(np.unique(outputs)) == {0.0, 1.0}
    assert task.score(outputs, test)["AUC"] > 0.6
    assert task.save_model(model, __import__("pathlib").Path("nowhere")) is False


def test_a_pipeline_of_scikit_learn_is_a_method(tmp_path):
    pipeline = pytest.importorskip("sklearn.pipeline")
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer(
        (OneHotEncoder(), make_column_selector(dtype_include="category")),
        (SimpleImputer(), make_column_selector(dtype_include="number")),
    )
    model = pipeline.make_pipeline(columns, LogisticRegression())
    from assay.core.comparison import compare

    board = compare(
        task,
        Table.of(frame(), name="f"),
        target="y",
        drop=["r", "g", "t"],
        methods={"logistic": model, "cart": "cart"},
        seeds=2,
        runs=tmp_path,
        progress=False,
    )
    assert [row.status for row in board.rows] == ["ok", "ok"]
    assert min(board.row("logistic").values("AUC")) > 0.8


@pytest.mark.parametrize("method", [3, "text", object()])
def test_what_is_no_estimator_is_refused(method):
    with pytest.raises(TypeError, match="expected"):
        task.accept(method, load())


def test_budget_of_steps_is_the_number_of_trees():
    data = load()
    train, _ = task.split(data, 0)
    run = Run(budget=Budget(7, "steps"))
    model = task.fit(task.method("random-forest", data, {}), train, run)
    assert len(model.ensemble_.trees) == 7
    with pytest.raises(ValueError, match="a tabular budget is in seconds or steps"):
        task.fit(task.method("cart", data, {}), train, Run(budget=Budget(7, "epochs")))


def test_budget_of_seconds_stops_between_rounds():
    data = load()
    train, test = task.split(data, 0)
    run = Run(budget=Budget(0.3, "seconds"))
    run.start_clock()
    model = task.fit(task.method("gbdt", data, {"n_estimators": 100_000}), train, run)
    assert 1 <= sum(1 for _ in model.staged_predict_proba(test.features)) < 100_000


def test_curve_ends_at_the_score():
    data = load()
    train, test = task.split(data, 0)
    model = task.fit(task.method("gbdt", data, {"n_estimators": 40}), train, Run())
    curve = task.curve(model, test)
    assert curve[0][0] == 1
    assert curve[-1] == (40, task.score(task.predict(model, test, Run()), test)["AUC"])
    assert task.curve(task.fit(task.method("cart", data, {}), train, Run()), test) == []


def test_weights_reach_fit_and_score():
    columns = frame()
    columns["w"] = np.where(columns["y"] == 1, 5.0, 1.0)
    data = task.load(Table.of(columns), target="y", weight="w", drop=["r", "g", "t"])
    train, test = task.split(data, 0)
    model = task.fit(task.method("cart", data, {"max_depth": 1}), train, Run())
    plain = task.fit(task.method("cart", data, {"max_depth": 1}), task.split(load(), 0)[0], Run())
    assert (
        model.predict_proba(test.features)[:, 1].mean()
        > plain.predict_proba(test.features)[:, 1].mean() + 0.1
    )
    outputs = task.predict(model, test, Run())
    assert task.score(outputs, test)["accuracy"] == metrics.accuracy(outputs, test.target, test.weight)


def test_default_data_and_smoke_scale():
    data = task.load(scale="smoke")
    assert data.name == "adult"
    assert len(data) == 2000
    assert data.problem == "classification"
    assert data.fingerprint() == task.load("adult", scale="smoke").fingerprint()
    with pytest.raises(ContractError, match="no column 'incme'"):
        task.load("adult", target="incme")
