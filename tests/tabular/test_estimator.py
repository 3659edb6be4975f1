"""The estimator contract: parameters, inputs, errors, saving, and life inside scikit-learn's tools."""

import subprocess
import sys

import numpy as np
import pytest

from assay.data.table import Table
from assay.tabular.adaboost import AdaBoostClassifier
from assay.tabular.bagging import BaggingClassifier
from assay.tabular.cart import CARTClassifier, CARTRegressor
from assay.tabular.estimator import NotFittedError, clone
from assay.tabular.random_forest import RandomForestClassifier, RandomForestRegressor

# -- parameters ----------------------------------------------------------------------------------------------


def test_parameters_are_read_set_and_shown():
    model = CARTClassifier(max_depth=3)
    assert repr(model) == "CARTClassifier(max_depth=3)"
    assert model.get_params()["max_depth"] == 3
    assert model.set_params(max_depth=None, criterion="entropy") is model
    assert repr(model) == "CARTClassifier(criterion='entropy')"
    with pytest.raises(ValueError, match="Invalid parameter 'depth' for estimator CARTClassifier"):
        model.set_params(depth=3)
    with pytest.raises(TypeError):
        CARTClassifier(3)


def test_nested_parameters_are_reached_by_name():
    model = AdaBoostClassifier(estimator=CARTClassifier(max_depth=1))
    assert model.get_params()["estimator__max_depth"] == 1
    assert "estimator__max_depth" not in model.get_params(deep=False)
    model.set_params(estimator__max_depth=2, learning_rate=0.5)
    assert model.estimator.max_depth == 2
    assert repr(model) == "AdaBoostClassifier(estimator=CARTClassifier(max_depth=2), learning_rate=0.5)"


def test_clones_share_nothing():
    model = BaggingClassifier(estimator=CARTClassifier(class_weight={0: 2.0})).fit([[0.0], [1.0]], [0, 1])
    copied = clone(model)
    assert repr(copied) == repr(model)
    assert not hasattr(copied, "classes_")
    assert copied.estimator is not model.estimator
    assert copied.estimator.class_weight is not model.estimator.class_weight


def test_estimators_compare_by_identity():
    assert CARTClassifier() != CARTClassifier()
    assert len({CARTClassifier(), CARTClassifier()}) == 2


# -- what importing and fitting bring along ------------------------------------------------------------------


def test_slow_libraries_are_not_loaded():
    code = (
        "import sys\n"
        "import assay.tabular.random_forest, assay.tabular.adaboost\n"
        "model = assay.tabular.random_forest.RandomForestClassifier(n_estimators=2, random_state=0)\n"
        "assert model.fit([[0.], [1.]] * 5, [0, 1] * 5).score([[0.], [1.]], [0, 1]) >= 0.5\n"
        "slow = {'sklearn', 'pandas', 'polars', 'scipy', 'torch'} & set(sys.modules)\n"
        "assert not slow, slow\n"
        "try: assay.tabular.adaboost.AdaBoostClassifier().predict([[0.]])\n"
        "except ValueError as error: assert isinstance(error, AttributeError), error\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_global_random_state_is_neither_read_nor_written():
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = RandomForestClassifier(n_estimators=3, random_state=0).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(
        RandomForestClassifier(n_estimators=3, random_state=0).fit(X, y).predict_proba(X), first
    )


def test_inputs_are_not_changed(people):
    table, y = people
    matrix, labels, weight = np.arange(20.0).reshape(10, 2), np.arange(10) % 2, np.ones(10)
    copies = matrix.copy(), labels.copy(), weight.copy()
    AdaBoostClassifier(n_estimators=3).fit(matrix, labels, sample_weight=weight).predict(matrix)
    for now, before in zip((matrix, labels, weight), copies, strict=True):
        np.testing.assert_array_equal(now, before)
    fingerprint = table.fingerprint()
    CARTClassifier().fit(table, y).predict(table)
    assert table.fingerprint() == fingerprint


def test_score_is_accuracy_and_r_squared():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(60, 2)), rng.normal(size=60), rng.uniform(size=60)
    model = CARTRegressor(max_depth=2).fit(X, y)
    assert model.score(X, y, weight) == pytest.approx(
        metrics.r2_score(y, model.predict(X), sample_weight=weight)
    )
    labels = y > 0
    classifier = CARTClassifier(max_depth=2).fit(X, labels)
    assert classifier.score(X, labels, weight) == pytest.approx(
        metrics.accuracy_score(labels, classifier.predict(X), sample_weight=weight)
    )
    assert CARTRegressor().fit([[0.0]], [1.0]).score([[0.0]], [1.0]) == 1.0
    assert CARTRegressor().fit([[0.0]], [1.0]).score([[0.0]], [2.0]) == 0.0


# -- fitted or not -------------------------------------------------------------------------------------------


def test_predicting_before_fitting_is_an_error():
    for method in ("predict", "predict_proba", "predict_log_proba", "apply"):
        with pytest.raises(ValueError, match="CARTClassifier instance is not fitted"):
            getattr(CARTClassifier(), method)([[0.0]])
    assert issubclass(NotFittedError, (ValueError, AttributeError))


def test_a_failed_fit_leaves_the_estimator_unfitted():
    model = CARTClassifier().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="NaN"):
        model.fit([[0.0], [1.0]], [0, np.nan])
    assert not model.__sklearn_is_fitted__()
    assert not hasattr(model, "classes_")


def test_fitting_again_forgets_the_first_time():
    model = CARTClassifier().fit(Table.of({"a": [0.0, 1.0]}), [0, 1])
    model.fit([[0.0, 1.0], [1.0, 0.0]], ["x", "y"])
    assert model.n_features_in_ == 2
    assert not hasattr(model, "feature_names_in_")
    assert model.predict([[0.0, 1.0]]).tolist() == ["x"]


# -- scikit-learn's tools ------------------------------------------------------------------------------------


def test_grid_search_pipelines_and_cross_validation():
    selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.base import clone as sklearn_clone
    from sklearn.base import is_classifier, is_regressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = np.where(X[:, 0] * X[:, 1] > 0, "yes", "no")
    assert is_classifier(CARTClassifier())
    assert is_regressor(RandomForestRegressor())
    assert repr(sklearn_clone(AdaBoostClassifier(n_estimators=7))) == "AdaBoostClassifier(n_estimators=7)"
    pipeline = make_pipeline(StandardScaler(), CARTClassifier())
    search = selection.GridSearchCV(pipeline, {"cartclassifier__max_depth": [1, 4]}, cv=3).fit(X, y)
    assert search.best_params_ == {"cartclassifier__max_depth": 4}
    model = RandomForestClassifier(n_estimators=5, random_state=0)
    assert selection.cross_val_score(model, X, y, cv=3, scoring="roc_auc").mean() > 0.6


def test_data_frames_with_categories_go_through_cross_validation(people):
    pytest.importorskip("pandas")
    selection = pytest.importorskip("sklearn.model_selection")
    table, y = people
    scores = selection.cross_val_score(CARTClassifier(max_depth=4), table.to_pandas(), y, cv=3)
    assert scores.mean() > 0.8
