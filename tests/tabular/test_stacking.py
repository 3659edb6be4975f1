"""Stacking: scikit-learn's on the same folds, out-of-fold rows only, one split for all base methods."""

import numpy as np
import pytest

from assay.data.table import Column, Table
from assay.tabular.cart import CARTClassifier, CARTRegressor
from assay.tabular.gbdt import GBDTClassifier
from assay.tabular.linear import LogisticRegression, RidgeRegression
from assay.tabular.stacking import StackingClassifier, StackingRegressor, folds
from assay.tabular.xgboost import XGBoostClassifier, XGBoostRegressor


def problem(n: int = 200, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    y = X[:, 0] * (X[:, 1] > 0) + X[:, 2] + rng.normal(size=n) / 2
    return X, y


class Memoriser:
    """Repeats the target of a training row that it sees again; says nothing of others."""

    def __init__(self, log=None):
        self.log = log

    def get_params(self, deep=True):
        return {"log": self.log}

    def set_params(self, **params):
        raise AssertionError("it has no random_state to be set")

    def __deepcopy__(self, memo):
        return Memoriser(self.log)

    def fit(self, X, y):
        self.seen = {tuple(row): target for row, target in zip(X, y, strict=True)}
        self.fallback = float(np.mean(y))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.array([self.seen.get(tuple(row), self.fallback) for row in X])

    def predict_proba(self, X):
        p = np.array([self.seen.get(tuple(row), self.fallback) for row in X])
        return np.column_stack([1 - p, p])


class Watcher(Memoriser):
    """Notes in a shared list which rows it is fitted on."""

    def __init__(self, log):
        super().__init__(Shared(log) if isinstance(log, list) else log)

    def __deepcopy__(self, memo):
        return Watcher(self.log)

    def fit(self, X, y):
        self.log.rows.append(tuple(np.asarray(X)[:, 0]))
        return super().fit(X, y)


class Shared:
    """A list that copies of estimators have in common."""

    def __init__(self, rows):
        self.rows = rows

    def __deepcopy__(self, memo):
        return self


# -- scikit-learn --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("stack_method", ["auto", "predict"])
def test_a_stack_of_classifiers_is_scikit_learns(passthrough, num_classes, stack_method):
    ensemble = pytest.importorskip("sklearn.ensemble")
    selection = pytest.importorskip("sklearn.model_selection")
    naive_bayes = pytest.importorskip("sklearn.naive_bayes")
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = problem()
    y = np.array(["a", "b", "c"])[np.digitize(y, np.quantile(y, np.arange(1, num_classes) / num_classes))]
    settings = {
        "estimators": [("bayes", naive_bayes.GaussianNB()), ("linear", linear_model.RidgeClassifier())],
        "final_estimator": linear_model.LogisticRegression(),
        "cv": selection.StratifiedKFold(4),
        "passthrough": passthrough,
        "stack_method": stack_method,
    }
    ours = StackingClassifier(**settings).fit(X, y)
    theirs = ensemble.StackingClassifier(**settings).fit(X, y)
    assert ours.stack_method_ == theirs.stack_method_
    np.testing.assert_allclose(ours.base_predictions(X).to_numpy(), theirs.transform(X), atol=1e-12)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    assert ours.predict(X).tolist() == theirs.predict(X).tolist()


@pytest.mark.parametrize("passthrough", [False, True])
def test_a_stack_of_regressors_is_scikit_learns(passthrough):
    ensemble = pytest.importorskip("sklearn.ensemble")
    selection = pytest.importorskip("sklearn.model_selection")
    linear_model = pytest.importorskip("sklearn.linear_model")
    neighbors = pytest.importorskip("sklearn.neighbors")
    X, y = problem()
    settings = {
        "estimators": [("linear", linear_model.Ridge()), ("near", neighbors.KNeighborsRegressor())],
        "final_estimator": linear_model.Ridge(),
        "cv": selection.KFold(3, shuffle=True, random_state=0),
        "passthrough": passthrough,
    }
    ours = StackingRegressor(**settings).fit(X, y)
    theirs = ensemble.StackingRegressor(**settings).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-12)


# -- folds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [None, np.repeat([0, 1, 2], [70, 25, 5])])
def test_folds_leave_every_row_out_once_with_its_share_of_every_class(labels):
    splits = list(folds(labels, 100, 5, np.random.default_rng(0)))
    np.testing.assert_array_equal(np.sort(np.concatenate([out for _, out in splits])), np.arange(100))
    for train, out in splits:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, out])), np.arange(100))
        if labels is not None:
            assert np.bincount(labels[out]).tolist() == [14, 5, 1]


def test_all_base_methods_share_one_split():
    X, y = problem(60)
    logs = [[], []]
    bases = [("one", Watcher(logs[0])), ("two", Watcher(logs[1]))]
    StackingRegressor(estimators=bases, cv=4, random_state=0).fit(X, y)
    assert logs[0] == logs[1]
    *parts, whole = logs[0]
    assert len(parts) == 4
    assert set(whole) == set(X[:, 0])
    for part in parts:
        assert len(part) == 45


# -- what must always hold -----------------------------------------------------------------------------------


def test_a_memoriser_is_not_trusted():
    X, y = problem(300)
    bases = [("memoriser", Memoriser()), ("honest", CARTRegressor(max_depth=3))]
    model = StackingRegressor(estimators=bases, random_state=0).fit(X, y)
    fresh, truth = problem(300, seed=1)
    honest = CARTRegressor(max_depth=3).fit(X, y)
    assert model.score(fresh, truth) > honest.score(fresh, truth) - 0.05
    # Trusting what it says of its own rows would predict those perfectly.
    assert model.score(X, y) < 0.9
    labels = (y > 0).astype(int)
    bases = [("memoriser", Memoriser()), ("honest", CARTClassifier(max_depth=3))]
    model = StackingClassifier(estimators=bases, random_state=0).fit(X, labels)
    assert model.score(X, labels) < 0.95
    assert model.score(fresh, (truth > 0).astype(int)) > 0.7


@pytest.mark.parametrize(
    ("stack", "base"), [(StackingClassifier, XGBoostClassifier), (StackingRegressor, XGBoostRegressor)]
)
def test_same_seed_same_model_for_any_number_of_fits_at_once(stack, base):
    X, y = problem(120)
    y = (y > 0).astype(int) if stack is StackingClassifier else y
    bases = [
        ("a", base(n_estimators=4, subsample=0.5)),
        ("b", base(n_estimators=3, max_depth=2, subsample=0.7)),
    ]
    found = []
    for n_jobs, seed in ((1, 0), (3, 0), (1, 1)):
        model = stack(estimators=bases, n_jobs=n_jobs, random_state=seed).fit(X, y)
        found.append(model.predict_proba(X)[:, 1] if stack is StackingClassifier else model.predict(X))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()
    assert bases[0][1].random_state is None  # what was passed is not touched
    assert not hasattr(bases[0][1], "ensemble_")


def test_the_default_stack_is_at_least_as_good_as_a_tree():
    X, y = problem(400)
    fresh, truth = problem(400, seed=1)
    model = StackingRegressor(random_state=0).fit(X, y)
    assert [type(base).__name__ for base in model.estimators_] == [
        "RandomForestRegressor",
        "XGBoostRegressor",
        "CARTRegressor",
    ]
    assert isinstance(model.final_estimator_, RidgeRegression)
    assert model.score(fresh, truth) > model.estimators_[2].score(Table.of(fresh), truth)
    classifier = StackingClassifier(random_state=0).fit(X, y > 0)
    assert isinstance(classifier.final_estimator_, LogisticRegression)
    assert classifier.score(fresh, truth > 0) > 0.75


def test_passthrough_reads_gaps_and_categories():
    X, _ = problem(300)
    kind = np.random.default_rng(5).integers(-1, 3, 300).astype(np.int32)
    number = np.where(kind == 1, np.nan, X[:, 0])
    table = Table((Column("number", "numeric", number), Column("kind", "category", kind, ("a", "b", "c"))))
    labels = np.where(kind == 2, "yes", np.where(X[:, 0] > 0, "maybe", "no"))
    bases = [("tree", CARTClassifier(max_depth=2))]
    model = StackingClassifier(estimators=bases, passthrough=True, random_state=0).fit(table, labels)
    assert isinstance(model.final_estimator_, GBDTClassifier)
    assert model.base_predictions(table).names == ("tree:0", "tree:1", "tree:2", "number", "kind")
    assert model.score(table, labels) > 0.87  # of kind "b", half "maybe" and half "no", nothing else is known
    np.testing.assert_allclose(model.predict_proba(table).sum(axis=1), 1, atol=1e-12)


def test_a_class_that_a_fold_lacks_gets_no_probability_there():
    X, _ = problem(40)
    y = np.array([0] * 20 + [1] * 19 + [2])  # one fold trains without class 2
    model = StackingClassifier(estimators=[("tree", CARTClassifier(max_depth=2))], cv=4, random_state=0)
    model.fit(X, y)
    assert model.predict_proba(X).shape == (40, 3)


def test_weights_reach_base_and_final_methods():
    X, y = problem(100)
    half = (np.arange(100) < 50).astype(float)
    cv = [(np.r_[0:25, 50:75], np.r_[25:50, 75:100]), (np.r_[25:50, 75:100], np.r_[0:25, 50:75])]
    bases = [("tree", CARTRegressor(max_depth=3))]
    weighted = StackingRegressor(estimators=bases, cv=cv, random_state=0).fit(X, y, half)
    cv = [(np.r_[0:25], np.r_[25:50]), (np.r_[25:50], np.r_[0:25])]
    alone = StackingRegressor(estimators=bases, cv=cv, random_state=0).fit(X[:50], y[:50])
    np.testing.assert_allclose(weighted.predict(X), alone.predict(X), atol=1e-9)


def test_importances_weigh_the_base_methods():
    X, y = problem(300)
    model = StackingRegressor(
        estimators=[("tree", CARTRegressor(max_depth=4)), ("boost", XGBoostRegressor(n_estimators=20))],
        random_state=0,
    ).fit(X, y)
    shares = model.final_estimator_.feature_importances_
    tree, boost = (base.feature_importances_ for base in model.estimators_)
    np.testing.assert_allclose(model.feature_importances_, shares[0] * tree + shares[1] * boost)
    assert model.feature_importances_[2] > model.feature_importances_[3]


def test_saved_and_loaded_predicts_the_same(tmp_path):
    X, y = problem(80)
    model = StackingClassifier(estimators=[("tree", CARTClassifier(max_depth=2))], random_state=0)
    model.fit(X, np.where(y > 0, "up", "down"))
    model.save(tmp_path / "model")
    back = StackingClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(back.feature_importances_, model.feature_importances_)


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"estimators": []},
        {"estimators": [CARTRegressor()]},
        {"estimators": [("a", CARTRegressor()), ("a", CARTRegressor())]},
        {"stack_method": "predict_proba"},
        {"cv": 1},
        {"cv": 2.5},
        {"n_jobs": 0},
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(wrong):
    X, y = problem(20)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StackingRegressor(**{"estimators": [("a", CARTRegressor())]} | wrong).fit(X, y)


def test_folds_that_do_not_partition_the_rows_are_refused():
    X, y = problem(20)
    bases = [("tree", CARTRegressor())]
    for cv in ([], [(np.arange(10), np.arange(10, 20))], [(np.arange(20), np.arange(20))] * 2):
        with pytest.raises(ValueError, match="exactly once"):
            StackingRegressor(estimators=bases, cv=cv).fit(X, y)
    with pytest.raises(ValueError, match="n_samples = 3"):
        StackingRegressor(estimators=bases).fit(X[:3], y[:3])


def test_a_base_method_without_a_method_is_named():
    X, y = problem(20)
    with pytest.raises(ValueError, match="'tree' has none"):
        StackingClassifier(estimators=[("tree", CARTClassifier())], stack_method="decision_function").fit(
            X, y > 0
        )
