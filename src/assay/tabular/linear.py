"""Linear models with an L2 penalty: what combines the predictions of other methods unless told otherwise.

Columns are standardised inside, so the penalty means the same in every unit; the intercept is not penalised.

Reference:
    Hoerl, Kennard. "Ridge Regression: Biased Estimation for Nonorthogonal Problems". Technometrics 12(1),
    1970. le Cessie, van Houwelingen. "Ridge Estimators in Logistic Regression". Applied Statistics 41(1),
    1992.
    Implements: ridge regression by its normal equations; multinomial logistic regression by L-BFGS.
    Departs: the columns are standardised, with the training rows' weighted mean and deviation.
    Omits: categories and missing values; other methods here read those natively.
    Verified: scikit-learn's Ridge to 1e-9 and LogisticRegression to 1e-5 on standardised columns; the
        gradient by central differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from assay.data.table import Table
from assay.tabular.estimator import Classifier, Estimator, Regressor
from assay.tabular.inputs import is_real
from assay.tabular.slopes import softmax

Array = np.ndarray


def ridge(X: Array, y: Array, weight: Array, penalty: float) -> Array:
    """Return coefficients ``[1 + columns]``, the intercept first, that minimise sum w (y - Xb)^2 + penalty
    |b|^2.

    Args:
        X: float64 ``[n, columns]``.
        y: float64 ``[n]``.
        weight: float64 ``[n]``.
        penalty: at least 0; columns that are copies of each other need more than 0 to share what they
            explain.
    """
    design = np.column_stack([np.ones(len(X)), X])
    normal = design.T @ (weight[:, None] * design)
    normal[np.arange(1, len(normal)), np.arange(1, len(normal))] += penalty
    return np.linalg.lstsq(normal, design.T @ (weight * y), rcond=None)[0]


def logistic(X: Array, y: Array, weight: Array, penalty: float, num_classes: int) -> Array:
    """Return coefficients ``[classes, 1 + columns]`` that minimise sum w (-log p_y) + penalty |b|^2 / 2.

    Args:
        X: float64 ``[n, columns]``.
        y: class codes ``[n]`` in 0 .. classes - 1.
        weight: float64 ``[n]``.
        penalty: more than 0, so that separable classes have finite coefficients.
        num_classes: how many classes there are.
    """
    from scipy.optimize import minimize

    design = np.column_stack([np.ones(len(X)), X])
    target = np.eye(num_classes)[y].T

    def objective(flat: Array) -> tuple[float, Array]:
        coefficients = flat.reshape(num_classes, -1)
        margins = coefficients @ design.T
        peak = margins.max(axis=0)
        log_sum = np.log(np.exp(margins - peak).sum(axis=0)) + peak
        slopes = coefficients.copy()
        slopes[:, 0] = 0
        value = weight @ (log_sum - (target * margins).sum(axis=0)) + penalty / 2 * (slopes**2).sum()
        gradient = (weight * (softmax(margins) - target)) @ design + penalty * slopes
        return value / weight.sum(), gradient.ravel() / weight.sum()

    start = np.zeros(num_classes * design.shape[1])
    options = {"maxiter": 1000, "gtol": 1e-8, "ftol": 1e-14}
    return minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x.reshape(num_classes, -1)


class _Linear(Estimator):
    """What both models share: columns are read as numbers and standardised."""

    result: ClassVar[str] = "coefficients_"
    mean_: Array
    deviation_: Array

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags

    def _design(self, table: Table) -> Array:
        """Return the columns, standardised as in training once that has set the scale."""
        for column in table.columns:
            if column.kind == "category":
                raise ValueError(
                    f"{type(self).__name__} expects numbers, but column {column.name!r} holds categories"
                )
        matrix = table.to_numpy()
        if not np.isfinite(matrix).all():
            row, index = np.argwhere(~np.isfinite(matrix))[0]
            found = "NaN" if np.isnan(matrix[row, index]) else "infinity"
            raise ValueError(
                f"Input X contains {found}: column {table.names[index]!r}, row {row}; "
                f"{type(self).__name__} expects finite numbers"
            )
        return (matrix - self.mean_) / self.deviation_

    def _standardise(self, table: Table, weight: Array) -> Array:
        self.mean_, self.deviation_ = np.zeros(len(table.columns)), np.ones(len(table.columns))
        X = self._design(table)
        mean = np.average(X, axis=0, weights=weight)
        deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
        self.mean_, self.deviation_ = mean, np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)
        return (X - self.mean_) / self.deviation_

    def _margins(self, X: Any) -> Array:
        """Return the linear predictor ``[outputs, n]``."""
        design = self._design(self._read(X))
        return self.coefficients_[:, :1] + self.coefficients_[:, 1:] @ design.T

    coefficients_: Array

    @property
    def feature_importances_(self) -> Array:
        """The mean size of each column's standardised coefficients, as shares of their sum."""
        self._check_fitted()
        size = np.abs(self.coefficients_[:, 1:]).mean(axis=0)
        return size / size.sum() if size.any() else size


@dataclass(kw_only=True, eq=False, repr=False)
class RidgeRegression(_Linear, Regressor):
    """A regressor: ridge regression on standardised columns.

    Args:
        alpha: L2 penalty, as a number of rows, at least 0.
    """

    alpha: float = 1.0

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Return the fitted model; columns must be numbers without missing values."""
        table, target, weight = self._begin(X, y, sample_weight)
        self._require("alpha", is_real(self.alpha, 0), "a number of at least 0")
        weight = np.ones(len(target)) if weight is None else weight
        self.coefficients_ = ridge(self._standardise(table, weight), target, weight, self.alpha)[None]
        return self

    def predict(self, X: Any) -> Array:
        """Return the predicted number of each row, in the target's unit."""
        return self._margins(X)[0]


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegression(_Linear, Classifier):
    """A classifier: multinomial logistic regression on standardised columns.

    Args:
        C: inverse of the L2 penalty, more than 0.
    """

    C: float = 1.0

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Return the fitted model; columns must be numbers without missing values."""
        table, target, weight = self._begin(X, y, sample_weight)
        self._require("C", is_real(self.C, np.nextafter(0, 1)), "a number of more than 0")
        weight = np.ones(len(target)) if weight is None else weight
        X = self._standardise(table, weight)
        self.coefficients_ = logistic(X, target, weight, 1 / self.C, len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class, in the order of ``classes_``, for each row."""
        return softmax(self._margins(X)).T
