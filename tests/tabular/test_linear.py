"""The linear models against scikit-learn's on standardised columns, and against their own optimality."""

import numpy as np
import pytest

from assay.data.table import Column, Table
from assay.tabular.linear import LogisticRegression, RidgeRegression, logistic, ridge


def problem(n: int = 120, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, -3.0]
    y = X @ [1.0, -0.2, 4.0] + rng.normal(size=n)
    return X, y, rng.random(n) + 0.5


def standardised(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    mean = np.average(X, axis=0, weights=weight)
    return (X - mean) / np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_is_scikit_learns_on_standardised_columns(alpha, weighted):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y, weight = problem()
    weight = weight if weighted else np.ones(len(y))
    ours = RidgeRegression(alpha=alpha).fit(X, y, weight if weighted else None)
    scaled = standardised(X, weight)
    theirs = linear_model.Ridge(alpha=alpha).fit(scaled, y, weight)
    np.testing.assert_allclose(ours.coefficients_[0], [theirs.intercept_, *theirs.coef_], atol=1e-9)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(scaled), atol=1e-9)


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_logistic_regression_is_scikit_learns_on_standardised_columns(num_classes, C):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y, weight = problem()
    y = np.digitize(y, np.quantile(y, np.arange(1, num_classes) / num_classes))
    ours = LogisticRegression(C=C).fit(X, y, weight)
    # Of two classes scikit-learn has one row of coefficients, and ours two opposite ones of half the size.
    scale = 1.0 if num_classes > 2 else 2.0
    theirs = linear_model.LogisticRegression(C=C * scale, tol=1e-10, max_iter=5000)
    theirs.fit(standardised(X, weight), y, weight)
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(standardised(X, weight)), atol=1e-5
    )
    assert ours.predict(X).tolist() == theirs.predict(standardised(X, weight)).tolist()


def test_ridge_solves_its_normal_equations():
    X, y, weight = problem()
    b = ridge(X, y, weight, 3.0)
    slope = -2 * np.column_stack([np.ones(len(X)), X]).T @ (weight * (y - b[0] - X @ b[1:]))
    np.testing.assert_allclose(slope + 6.0 * np.append(0.0, b[1:]), 0, atol=1e-7)


def test_the_logistic_coefficients_minimise_their_objective():
    X, y, weight = problem()
    X = standardised(X, weight)
    labels = np.digitize(y, [-2.0, 1.0])

    def objective(b: np.ndarray) -> float:
        margins = b[:, :1] + b[:, 1:] @ X.T
        logs = margins - np.log(np.exp(margins).sum(axis=0))
        return -weight @ logs[labels, np.arange(len(X))] + 0.7 / 2 * (b[:, 1:] ** 2).sum()

    best = logistic(X, labels, weight, 0.7, 3)
    value = objective(best)
    for shift in np.random.default_rng(0).normal(scale=1e-3, size=(50, 3, 4)):
        assert objective(best + shift) >= value - 1e-7


def test_a_weight_of_two_is_a_repeated_row():
    X, y, _ = problem(40)
    weight = np.arange(40) % 3
    rows = np.repeat(np.arange(40), weight)
    for estimator, target in ((RidgeRegression, y), (LogisticRegression, (y > 0).astype(int))):
        weighted = estimator().fit(X, target, weight.astype(float)).coefficients_
        np.testing.assert_allclose(weighted, estimator().fit(X[rows], target[rows]).coefficients_, atol=1e-6)


def test_copies_of_a_column_share_what_it_explains():
    X, y, _ = problem()
    model = RidgeRegression().fit(X[:, [0, 0]], y)
    np.testing.assert_allclose(*model.coefficients_[0, 1:])
    assert model.feature_importances_.tolist() == pytest.approx([0.5, 0.5])


def test_a_constant_column_and_separable_classes_have_finite_coefficients():
    X = np.column_stack([np.arange(20.0), np.full(20, 1e9)])
    for model in (RidgeRegression().fit(X, X[:, 0]), LogisticRegression().fit(X, X[:, 0] > 9)):
        assert np.isfinite(model.coefficients_).all()
        assert model.score(X, X[:, 0] if isinstance(model, RidgeRegression) else X[:, 0] > 9) > 0.9


def test_saved_and_loaded_predicts_the_same(tmp_path):
    X, y, _ = problem()
    model = LogisticRegression().fit(X, np.where(y > 0, "yes", "no"))
    model.save(tmp_path / "model")
    back = LogisticRegression.load(tmp_path / "model")
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))


def test_what_it_cannot_read_is_named():
    table = Table((Column("c", "category", np.zeros(3, np.int32), ("a",)),))
    with pytest.raises(ValueError, match="'c' holds categories"):
        RidgeRegression().fit(table, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="NaN: column 'x0', row 1"):
        RidgeRegression().fit([[1.0], [np.nan], [2.0]], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="alpha"):
        RidgeRegression(alpha=-1.0).fit([[1.0], [2.0]], [0, 1])
    with pytest.raises(ValueError, match="'C'"):
        LogisticRegression(C=0.0).fit([[1.0], [2.0]], [0, 1])
