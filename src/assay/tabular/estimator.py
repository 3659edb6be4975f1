"""What all tabular estimators share: scikit-learn's contract, kept without importing scikit-learn.

An estimator is a keyword-only dataclass whose fields are its hyper-parameters, with scikit-learn's names,
stored unchanged and validated in `fit`. What `fit` learns is stored in attributes ending with an underscore.
A class declares itself with `@dataclass(kw_only=True, eq=False, repr=False)`: estimators compare by identity,
and the representation below shows the parameters that differ from their defaults.
"""

import copy
import dataclasses
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.data.table import Schema, Table
from assay.tabular.inputs import read_table, read_target, read_weights
from assay.tabular.tree import Tree


class NotFittedError(ValueError, AttributeError):
    """Raised by an estimator that is asked to predict before `fit`, where scikit-learn is not loaded."""


class Estimator:
    """A tabular method: parameters, input checks, saving. `Classifier` and `Regressor` complete it."""

    # The attribute that `fit` sets last: while it is missing, the estimator is not fitted.
    result: ClassVar[str] = "ensemble_"

    schema_: Schema
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    # -- parameters ------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the parameters by name; `deep` adds those of nested estimators as `outer__inner`."""
        params = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            params[field.name] = value
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                params |= {f"{field.name}__{name}": inner for name, inner in value.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Returns the estimator after setting parameters, those of nested estimators as `outer__inner`.

        Raises:
            ValueError: a name is not a parameter.
        """
        known = self.get_params(deep=False)
        nested: dict[str, dict[str, Any]] = {}
        for key, value in params.items():
            name, _, inner = key.partition("__")
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self!r}. "
                    f"Valid parameters are: {sorted(known)}."
                )
            if inner:
                nested.setdefault(name, {})[inner] = value
            else:
                setattr(self, name, value)
        for name, inner_params in nested.items():
            getattr(self, name).set_params(**inner_params)
        return self

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        changed = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields
            if repr(getattr(self, field.name)) != repr(field.default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _require(self, name: str, valid: bool, expected: str) -> None:
        """Raises a ValueError that names the parameter, what was expected and what came, unless `valid`."""
        if not valid:
            raise ValueError(
                f"The {name!r} parameter of {type(self).__name__} must be {expected}. "
                f"Got {getattr(self, name)!r} instead."
            )

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags  # Only scikit-learn asks for its tags.

        # `categorical` would mean arrays of integer-coded categories; ours are known by their column's type.
        return Tags(
            estimator_type=None, target_tags=TargetTags(required=True), input_tags=InputTags(allow_nan=True)
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, self.result)

    # -- data ------------------------------------------------------------------------------------------------

    def _begin(
        self, X: Any, y: Any, sample_weight: ArrayLike | None
    ) -> tuple[Table, NDArray[Any], NDArray[np.float64] | None]:
        """Returns table, encoded target and weights of a fit, after forgetting any earlier one.

        Sets `schema_`, `n_features_in_`, for named columns `feature_names_in_`, for classifiers `classes_`.
        """
        for name in [name for name in vars(self) if name.endswith("_") and not name.endswith("__")]:
            delattr(self, name)
        table, named = read_table(X)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        target = self._encode_target(read_target(y))
        if len(target) != table.num_rows:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: "
                f"[{table.num_rows}, {len(target)}]"
            )
        weight = None if sample_weight is None else read_weights(sample_weight, table.num_rows)
        self.schema_ = table.schema
        self.n_features_in_ = len(table.columns)
        if named:
            self.feature_names_in_ = np.array(table.names, dtype=object)
        return table, target, weight

    def _encode_target(self, y: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError

    @property
    def _classes(self) -> NDArray[Any] | None:
        """The labels of the class codes; None if the target is a number."""
        return None

    @property
    def _num_classes(self) -> int | None:
        return None if self._classes is None else len(self._classes)

    def _read(self, X: Any) -> Table:
        """Returns rows to predict, their columns as in training.

        Columns are matched by name; where the rows or the training rows had no names, by position.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: columns are missing, of another kind, or too many without names.
        """
        self._check_fitted()
        table, named = read_table(X)
        trained_named = hasattr(self, "feature_names_in_")
        if not (named and trained_named):
            if len(table.columns) != self.n_features_in_:
                raise ValueError(
                    f"X has {len(table.columns)} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input."
                )
            if trained_named:
                warnings.warn(
                    "X does not have valid feature names, but "
                    f"{type(self).__name__} was fitted with feature names",
                    UserWarning,
                    stacklevel=3,
                )
            columns = zip(table.columns, self.schema_, strict=True)
            table = dataclasses.replace(
                table,
                columns=tuple(dataclasses.replace(column, name=field.name) for column, field in columns),
            )
        return table.align(self.schema_)

    def _seen_by(self, estimator: Any, table: Table) -> Any:
        """Returns a table as a nested estimator takes it: as it is, or a frame, or unnamed a matrix."""
        if isinstance(estimator, Estimator):
            return table
        return table.to_pandas() if hasattr(self, "feature_names_in_") else table.to_numpy()

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            exceptions = sys.modules.get("sklearn.exceptions")
            error = NotFittedError if exceptions is None else exceptions.NotFittedError
            raise error(
                f"This {type(self).__name__} instance is not fitted yet. "
                "Call 'fit' with appropriate arguments before using this estimator."
            )

    # -- saving ----------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Writes the estimator, parameters and all it learned, to `folder`, atomically; no pickle is used.

        Raises:
            TypeError: the estimator holds an object that is not assay's, such as another library's estimator.
        """
        from assay.tabular import persistence  # It knows all estimators, which start from this module.

        persistence.save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Returns the estimator that `save` wrote to `folder`; it predicts to the bit what was saved.

        Raises:
            ValueError: the folder is not a saved estimator of this class, or is damaged.
        """
        from assay.tabular import persistence

        return persistence.load(Path(folder), cls)


class Classifier(Estimator):
    """An estimator of classes: `classes_`, predictions from `predict_proba`, accuracy as score."""

    classes_: NDArray[Any]

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        return tags

    def _encode_target(self, y: NDArray[Any]) -> NDArray[np.int32]:
        """Returns class codes, positions in the sorted `classes_`, which it sets."""
        if y.dtype.kind == "f" and np.any(y != np.floor(y)):
            raise ValueError(
                "Unknown label type: continuous. Maybe you are trying to fit a classifier, which expects "
                "discrete classes on a regression target with continuous values."
            )
        if y.dtype.kind not in "OUS":
            self.classes_ = np.unique(y)
            return np.searchsorted(self.classes_, y).astype(np.int32)
        labels = y.tolist()
        try:  # Hashing beats sorting many strings.
            classes = sorted(set(labels))
        except TypeError:
            found = sorted({type(label).__name__ for label in labels})
            raise ValueError(
                f"Unknown label type: expected labels of one type, got {', '.join(found)}"
            ) from None
        self.classes_ = np.array(classes, dtype=y.dtype)
        position = {label: code for code, label in enumerate(classes)}
        return np.fromiter(map(position.__getitem__, labels), np.int32, len(labels))

    @property
    def _classes(self) -> NDArray[Any] | None:
        return self.classes_

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Returns the probability of every class, in the order of `classes_`, for each row."""
        raise NotImplementedError

    def predict(self, X: Any) -> NDArray[Any]:
        """Returns the most probable class of each row; the first of `classes_` among equals."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Returns the natural logarithm of `predict_proba`, -inf where it is zero."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Returns the (weighted) share of rows whose class is predicted, between 0 and 1."""
        hits = self.predict(X) == read_target(y)
        return float(np.average(hits, weights=None if sample_weight is None else np.asarray(sample_weight)))


class Regressor(Estimator):
    """An estimator of a number: R^2 as score."""

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import RegressorTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        tags.regressor_tags = RegressorTags()
        return tags

    def _encode_target(self, y: NDArray[Any]) -> NDArray[np.float64]:
        return np.ascontiguousarray(y, np.float64)  # not copied if it is so; nobody changes it

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Returns the predicted number of each row, in the target's unit."""
        raise NotImplementedError

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Returns R^2 of the predictions, at most 1; 0 is the mean's."""
        target = read_target(y).astype(np.float64)
        weight = (
            np.ones(len(target)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        )
        return r_squared(target, self.predict(X), weight)


def r_squared(target: NDArray[Any], predicted: NDArray[Any], weight: NDArray[np.float64]) -> float:
    """Returns 1 - weighted squared error / that of the mean; for a constant target 1 if it is met, else 0."""
    error = float(weight @ (target - predicted) ** 2)
    spread = float(weight @ (target - np.average(target, weights=weight)) ** 2)
    return 1.0 - error / spread if spread else float(error == 0.0)


def clone(value: Any) -> Any:
    """Returns an unfitted copy of an estimator, ours or another library's, or a copy of a parameter."""
    if isinstance(value, (list, tuple)):
        return type(value)(clone(item) for item in value)
    if isinstance(value, type) or not hasattr(value, "get_params"):
        return copy.deepcopy(value)
    return type(value)(**{name: clone(item) for name, item in value.get_params(deep=False).items()})


def total_gain(trees: Sequence[Tree], num_features: int) -> NDArray[np.float64]:
    """Returns for each feature the sum of the gains of all splits on it."""
    gain = np.zeros(num_features)
    for tree in trees:
        split = tree.feature >= 0
        gain += np.bincount(tree.feature[split], weights=tree.gain[split], minlength=num_features)
    return gain


def normalised(importances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns importances that sum to one, or all zero where no split was made."""
    total = importances.sum()
    return importances / total if total > 0 else importances
