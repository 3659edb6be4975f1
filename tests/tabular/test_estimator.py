"""The estimator contract: parameters, inputs, errors, saving, and life inside scikit-learn's tools."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from assay.data.table import Column, Table
from assay.tabular.adaboost import AdaBoostClassifier
from assay.tabular.bagging import BaggingClassifier
from assay.tabular.cart import CARTClassifier, CARTRegressor
from assay.tabular.estimator import Estimator, NotFittedError, clone
from assay.tabular.inputs import as_generator, num_threads, read_table, read_target, read_weights
from assay.tabular.random_forest import RandomForestClassifier, RandomForestRegressor


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    age = rng.uniform(18, 80, 120)
    age[::11] = np.nan
    colour = rng.integers(-1, 3, 120).astype(np.int32)
    table = Table(
        (Column("age", "numeric", age), Column("colour", "category", colour, ("blue", "green", "red"))),
        "people",
    )
    return table, np.where((colour == 1) | (np.nan_to_num(age) > 50), "yes", "no")


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


# -- features ------------------------------------------------------------------------------------------------


def test_all_forms_of_a_table_are_the_same_table(people):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    import pyarrow

    table, y = people
    frame = table.to_pandas()
    forms = [
        frame,
        polars.from_pandas(frame),
        pyarrow.Table.from_pandas(frame, preserve_index=False),
        {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame},
    ]
    expected = CARTClassifier().fit(table, y)
    for form in forms:
        model = CARTClassifier().fit(form, pandas.Series(y))
        assert model.n_features_in_ == 2
        assert model.feature_names_in_.tolist() == ["age", "colour"]
        np.testing.assert_array_equal(model.predict_proba(form), expected.predict_proba(table))


def test_named_columns_are_matched_by_name_and_others_by_position(people):
    table, y = people
    model = CARTClassifier().fit(table, y)
    np.testing.assert_array_equal(model.predict(table.select(["colour", "age"])), model.predict(table))
    with pytest.raises(ValueError, match="age"):
        model.predict(table.select(["colour"]))
    numbers = CARTRegressor().fit(np.arange(10.0).reshape(5, 2), np.arange(5.0))
    named = Table.of({"left": [0.0, 8.0], "right": [1.0, 9.0]})
    np.testing.assert_array_equal(numbers.predict(named), numbers.predict([[0.0, 1.0], [8.0, 9.0]]))
    by_name = CARTRegressor().fit(named, [0.0, 1.0])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert by_name.predict([[0.0, 1.0]]).tolist() == [0.0]


def test_text_in_arrays_becomes_categories():
    X = np.array([["red", 1.0], ["blue", 2.0], ["red", 3.0], ["blue", 4.0]], dtype=object)
    model = CARTClassifier().fit(X, [1, 0, 1, 0])
    assert [field.kind for field in model.schema_] == ["category", "numeric"]
    assert model.predict(X).tolist() == [1, 0, 1, 0]
    assert CARTClassifier().fit(np.array([["1"], ["2"]]), [0, 1]).schema_[0].kind == "numeric"


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([1.0, 2.0], ValueError, "Reshape your data"),
        (np.zeros((0, 3)), ValueError, r"0 sample\(s\)"),
        (np.zeros((3, 0)), ValueError, r"0 feature\(s\) \(shape=\(3, 0\)\)"),
        (np.zeros((2, 2), complex), ValueError, "Complex data not supported"),
        (np.zeros((2, 2, 2)), ValueError, "Expected 2D array, got 3D"),
        (np.array([[{}]], dtype=object), TypeError, "argument must be a string or a real number"),
        (Table(()), ValueError, r"0 feature\(s\)"),
    ],
)
def test_features_that_are_no_table(X, error, message):
    with pytest.raises(error, match=message):
        read_table(X)


def test_infinity_is_refused_by_row_and_column():
    with pytest.raises(ValueError, match=r"(?s)x1.*row 2"):
        CARTClassifier().fit([[0, 0], [1, 1], [2, np.inf]], [0, 1, 1])


def test_sparse_matrices_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    for form in ("csr", "dok"):
        with pytest.raises(TypeError, match="Sparse"):
            CARTClassifier().fit(sparse.eye_array(3).asformat(form), [0, 1, 1])


# -- target and weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], dtype=object),
        np.array([True, False, True]),
        np.array([7, -3, 7]),
        np.array([2.0, 1.0, 2.0]),
        ["b", "a", "b"],
        Column("y", "category", np.array([1, 0, 1], np.int32), ("a", "b")),
        Column("y", "boolean", np.array([1.0, 0.0, 1.0])),
    ],
    ids=lambda labels: type(labels).__name__ + getattr(getattr(labels, "dtype", None), "str", ""),
)
def test_labels_of_any_sortable_type_come_back(labels):
    model = CARTClassifier().fit([[0.0], [1.0], [2.0]], labels)
    assert model.classes_.tolist() == sorted(set(read_target(labels).tolist()))
    predicted = model.predict([[0.0], [1.0], [2.0]])
    assert predicted.tolist() == read_target(labels).tolist()
    assert predicted.dtype == read_target(labels).dtype
    assert model.score([[0.0], [1.0], [2.0]], labels) == 1.0


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        ([0, 1], "inconsistent numbers of samples"),
        ([[0, 1], [1, 0], [1, 1]], "should be a 1d array"),
        ([0.0, np.nan, 1.0], "NaN: row 1"),
        ([0.0, 1.0, np.inf], "infinity in row 2"),
        (np.array(["a", None, "b"], dtype=object), "NaN: row 1"),
        (np.array(["a", 1, "b"], dtype=object), "labels of one type, got int, str"),
        ([0.5, 1.5, 2.5], "continuous"),
        ([1j, 2j, 3j], "Complex"),
        (Column("y", "category", np.array([0, -1, 0], np.int32), ("a",)), "NaN: row 1"),
    ],
)
def test_targets_that_are_no_labels(y, message):
    with pytest.raises(ValueError, match=message):
        CARTClassifier().fit([[0.0], [1.0], [2.0]], y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 2.0], "one sample weight for each of 3 rows"),
        ([1.0, -1.0, 1.0], "not negative"),
        ([1.0, np.nan, 1.0], "finite"),
        ([0.0, 0.0, 0.0], "at least one non-zero"),
    ],
)
def test_weights_that_are_none(weight, message):
    with pytest.raises(ValueError, match=message):
        read_weights(weight, 3)


def test_a_column_of_targets_warns_and_works():
    with pytest.warns(UserWarning, match="column-vector"):
        assert CARTRegressor().fit([[0.0], [1.0]], [[3.0], [4.0]]).predict([[0.0]]).tolist() == [3.0]


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


# -- seeds and threads ---------------------------------------------------------------------------------------


def test_seeds_of_every_kind():
    draws = [as_generator(seed).integers(10**9) for seed in (5, np.random.default_rng(5), np.int64(5))]
    assert len(set(draws)) == 1
    state = np.random.RandomState(5)
    assert as_generator(state).integers(10**9) != as_generator(state).integers(10**9)
    assert as_generator(None).integers(10**9) != as_generator(None).integers(10**9)
    for bad in (-1, "seed", 1.5, True):
        with pytest.raises(ValueError, match="random_state"):
            as_generator(bad)


def test_threads():
    assert num_threads(None) == 1
    assert num_threads(3) == 3
    assert num_threads(-1) >= 1
    assert num_threads(-1000) == 1
    for bad in (0, 1.5, "all"):
        with pytest.raises(ValueError, match="n_jobs"):
            num_threads(bad)


# -- copies and files ----------------------------------------------------------------------------------------


FITTED = [
    CARTClassifier(max_depth=3),
    BaggingClassifier(estimator=CARTClassifier(class_weight={"yes": 2.0}), n_estimators=3, random_state=0),
    BaggingClassifier(
        estimator=RandomForestClassifier(n_estimators=2), n_estimators=2, max_features=1, random_state=0
    ),
    RandomForestClassifier(n_estimators=3, oob_score=True, random_state=np.random.default_rng(0)),
    AdaBoostClassifier(n_estimators=3),
]


@pytest.mark.filterwarnings("ignore:.*out-of-bag")
@pytest.mark.parametrize("model", FITTED, ids=lambda model: type(model).__name__)
def test_copies_pickles_and_files_predict_the_same(model, people, tmp_path):
    table, y = people
    model = clone(model).fit(table, y)
    expected = model.predict_proba(table)
    model.save(tmp_path / "model")
    copies = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        type(model).load(tmp_path / "model"),
        Estimator.load(tmp_path / "model"),
    ]
    for found in copies:
        assert type(found) is type(model)
        assert found.classes_.dtype == model.classes_.dtype
        assert found.schema_ == model.schema_
        np.testing.assert_array_equal(found.predict_proba(table), expected)
    loaded = {name: value for name, value in copies[2].get_params().items() if name != "random_state"}
    assert {name: repr(value) for name, value in loaded.items()} == {
        name: repr(value) for name, value in model.get_params().items() if name in loaded
    }


def test_saving_replaces_what_was_there(people, tmp_path):
    table, y = people
    CARTClassifier(max_depth=1).fit(table, y).save(tmp_path / "model")
    RandomForestRegressor(n_estimators=2).fit(table, np.arange(120.0)).save(tmp_path / "model")
    assert Estimator.load(tmp_path / "model").n_estimators == 2
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_saving_a_stranger_is_an_error_and_leaves_nothing(people, tmp_path):
    linear = pytest.importorskip("sklearn.linear_model")
    model = BaggingClassifier(estimator=linear.LogisticRegression(), n_estimators=2).fit(
        [[0.0], [1.0]] * 9, [0, 1] * 9
    )
    with pytest.raises(TypeError, match=r"BaggingClassifier\.estimator is a LogisticRegression"):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_folders_are_refused(people, tmp_path):
    table, y = people
    folder = tmp_path / "model"
    with pytest.raises(ValueError, match="not a whole saved estimator"):
        Estimator.load(folder)
    CARTClassifier().fit(table, y).save(folder)
    with pytest.raises(ValueError, match="holds a CARTClassifier, expected a CARTRegressor"):
        CARTRegressor.load(folder)
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    for path, content in whole.items():
        for damage in (content[: len(content) // 2], b"", b"{}"):
            path.write_bytes(damage)
            with pytest.raises(ValueError, match="not a whole saved estimator"):
                Estimator.load(folder)
        path.write_bytes(content)
    record = json.loads((folder / "estimator.json").read_text())
    for change in (
        {"version": 99},
        {"estimator": {**record["estimator"], "class": "os:system"}},
        {"estimator": {"odd": 1}},
    ):
        (folder / "estimator.json").write_text(json.dumps(record | change))
        with pytest.raises(ValueError, match="not a whole saved estimator"):
            Estimator.load(folder)


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
