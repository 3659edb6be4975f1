"""What estimators are given: features of every form, targets, weights, seeds and threads."""

import numpy as np
import pytest

from assay.data.table import Column, Table
from assay.tabular.cart import CARTClassifier, CARTRegressor
from assay.tabular.inputs import as_generator, num_threads, read_table, read_target, read_weights

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
