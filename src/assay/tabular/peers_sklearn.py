"""scikit-learn's tree methods as methods of the tabular board.

Settings that assay's method of the same family has too are fields here, with the same names and defaults; all
else stays at the library's default. scikit-learn reads a matrix of numbers, so categories arrive as codes, in
the alphabetical order of their names, and missing values as NaN, except where a class says otherwise. Models
cannot be saved: scikit-learn has no format for them but pickle.

Reference:
    Pedregosa et al. "Scikit-learn: Machine Learning in Python". JMLR 12, 2011.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.core.method import locate
from assay.data.table import Table
from assay.tabular.estimator import Classifier, Estimator, Regressor
from assay.tabular.impurity import ClassWeight
from assay.tabular.inputs import num_threads

Array = NDArray[np.float64]
Monitor = Callable[[int, Any], bool | None]
MaxFeatures = int | float | Literal["sqrt", "log2"] | None


@dataclass(kw_only=True, eq=False, repr=False)
class _Sklearn(Estimator):
    """An estimator of scikit-learn's behind assay's; its parameters are the fields, but for those it renames.

    Args:
        random_state: seed of everything random.
    """

    imports: ClassVar[tuple[str, ...]] = ("sklearn.ensemble",)
    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn",)
    origin: ClassVar[str]  # "module:Class"
    result: ClassVar[str] = "model_"
    save = None  # type: ignore[assignment]

    random_state: int | np.random.RandomState | None = None

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Returns the estimator, fitted by scikit-learn."""
        return self._fitted(X, y, sample_weight)

    def _fitted(self, X: Any, y: Any, sample_weight: ArrayLike | None, **options: Any) -> Self:
        table, target, weight = self._begin(X, y, sample_weight)
        model = locate(self.origin)(**self._settings(table))
        self.model_ = self._called(model.fit, self._matrix(table), target, sample_weight=weight, **options)
        return self

    def _called(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Returns what a function of scikit-learn's returns."""
        return function(*arguments, **options)

    def _settings(self, table: Table) -> dict[str, Any]:
        """Returns the parameters of scikit-learn's estimator for these training rows."""
        return self.get_params(deep=False)

    def _matrix(self, table: Table) -> Array:
        """Returns rows as scikit-learn reads them."""
        return table.to_numpy()

    def _stages(self, table: Table, output: str) -> Iterator[Array]:
        """Yields the outputs after every round."""
        yield from getattr(self.model_, f"staged_{output}")(self._matrix(table))


class _Classifier(Classifier, _Sklearn):
    def _settings(self, table: Table) -> dict[str, Any]:
        settings = super()._settings(table)
        named = settings.get("class_weight")
        if isinstance(named, dict):  # The library sees codes instead of classes.
            labels = self.classes_.tolist()
            settings["class_weight"] = {labels.index(label): weight for label, weight in named.items()}
        return settings

    def predict_proba(self, X: Any) -> Array:
        """Returns the probability of every class, in the order of `classes_`, for each row."""
        table = self._read(X)
        return self._called(self.model_.predict_proba, self._matrix(table))


class _Regressor(Regressor, _Sklearn):
    def predict(self, X: Any) -> Array:
        """Returns the predicted number of each row."""
        table = self._read(X)
        return self._called(self.model_.predict, self._matrix(table))


class _StagedClassifier(_Classifier):
    def staged_predict_proba(self, X: Any) -> Iterator[Array]:
        """Yields the probabilities after every round."""
        yield from self._stages(self._read(X), "predict_proba")


class _StagedRegressor(_Regressor):
    def staged_predict(self, X: Any) -> Iterator[Array]:
        """Yields the predictions after every round."""
        yield from self._stages(self._read(X), "predict")


class _WithoutNaN(_Sklearn):
    """Estimators that refuse NaN: a missing value becomes one number below all others of its column."""

    fill_: Array

    def _matrix(self, table: Table) -> Array:
        matrix = super()._matrix(table)
        missing = np.isnan(matrix)
        if not hasattr(self, "fill_"):
            low = np.min(matrix, axis=0, where=~missing, initial=np.inf)
            high = np.max(matrix, axis=0, where=~missing, initial=-np.inf)
            low[missing.all(axis=0)] = high[missing.all(axis=0)] = 0.0
            self.fill_ = low - (1 + (high - low) + np.abs(low))  # So far below that float32 tells them apart.
        return np.where(missing, self.fill_, matrix)


class _Committee(_Sklearn):
    """Estimators whose prediction is the mean of their members'."""

    def _stages(self, table: Table, output: str) -> Iterator[Array]:
        matrix, members = self._matrix(table), self.model_.estimators_
        columns = getattr(self.model_, "estimators_features_", [slice(None)] * len(members))
        total = np.zeros((table.num_rows, self._num_classes or 1))
        for rounds, (member, seen) in enumerate(zip(members, columns, strict=True), start=1):
            outputs = getattr(member, output)(matrix[:, seen])
            if output == "predict_proba":  # A member knows the classes of its sample.
                total[:, member.classes_.astype(int)] += outputs
                yield total / rounds
            else:
                total[:, 0] += outputs
                yield total[:, 0] / rounds


@dataclass(kw_only=True, eq=False, repr=False)
class _Tree(_Sklearn):
    """The parameters of a tree, as in assay's `ImpurityTree`."""

    max_depth: int | None = None
    min_samples_split: int | float = 2
    min_samples_leaf: int | float = 1
    min_weight_fraction_leaf: float = 0.0
    max_features: MaxFeatures = None
    max_leaf_nodes: int | None = None
    min_impurity_decrease: float = 0.0
    ccp_alpha: float = 0.0


# -- CART ----------------------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnCART(_Tree):
    """scikit-learn's DecisionTree*, at the settings of assay's CART."""

    splitter: Literal["best", "random"] = "best"


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnCARTClassifier(_Classifier, SklearnCART):
    """scikit-learn's DecisionTreeClassifier."""

    origin: ClassVar[str] = "sklearn.tree:DecisionTreeClassifier"

    criterion: Literal["gini", "entropy"] = "gini"
    class_weight: ClassWeight = None


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnCARTRegressor(_Regressor, SklearnCART):
    """scikit-learn's DecisionTreeRegressor."""

    origin: ClassVar[str] = "sklearn.tree:DecisionTreeRegressor"

    criterion: Literal["squared_error"] = "squared_error"


# -- bagging -------------------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnBagging(_Committee):
    """scikit-learn's Bagging*, by default of its decision trees, at the settings of assay's Bagging."""

    estimator: Any = None
    n_estimators: int = 10
    bootstrap: bool = True
    max_samples: int | float | None = None
    max_features: int | float = 1.0
    bootstrap_features: bool = False
    n_jobs: int | None = None

    def _settings(self, table: Table) -> dict[str, Any]:
        size = table.num_rows if self.max_samples is None else self.max_samples
        return super()._settings(table) | {"max_samples": size, "n_jobs": num_threads(self.n_jobs)}


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnBaggingClassifier(_StagedClassifier, SklearnBagging):
    """scikit-learn's BaggingClassifier."""

    origin: ClassVar[str] = "sklearn.ensemble:BaggingClassifier"


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnBaggingRegressor(_StagedRegressor, SklearnBagging):
    """scikit-learn's BaggingRegressor."""

    origin: ClassVar[str] = "sklearn.ensemble:BaggingRegressor"


# -- random forest -------------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnRandomForest(_Committee, _Tree):
    """scikit-learn's RandomForest*, at the settings of assay's, except that it looks at every threshold."""

    n_estimators: int = 100
    bootstrap: bool = True
    max_samples: int | float | None = None
    n_jobs: int | None = None

    def _settings(self, table: Table) -> dict[str, Any]:
        return super()._settings(table) | {"n_jobs": num_threads(self.n_jobs)}


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnRandomForestClassifier(_StagedClassifier, SklearnRandomForest):
    """scikit-learn's RandomForestClassifier."""

    origin: ClassVar[str] = "sklearn.ensemble:RandomForestClassifier"

    criterion: Literal["gini", "entropy"] = "gini"
    max_features: MaxFeatures = "sqrt"
    class_weight: ClassWeight = None


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnRandomForestRegressor(_StagedRegressor, SklearnRandomForest):
    """scikit-learn's RandomForestRegressor."""

    origin: ClassVar[str] = "sklearn.ensemble:RandomForestRegressor"

    criterion: Literal["squared_error"] = "squared_error"


# -- AdaBoost ------------------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnAdaBoost(_WithoutNaN):
    """scikit-learn's AdaBoost*, at the settings of assay's.

    It refuses NaN: a missing value becomes one number below all others of its column.
    """

    estimator: Any = None
    n_estimators: int = 50
    learning_rate: float = 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnAdaBoostClassifier(_StagedClassifier, SklearnAdaBoost):
    """scikit-learn's AdaBoostClassifier (SAMME), by default of trees with one split."""

    origin: ClassVar[str] = "sklearn.ensemble:AdaBoostClassifier"


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnAdaBoostRegressor(_StagedRegressor, SklearnAdaBoost):
    """scikit-learn's AdaBoostRegressor (R2), by default of trees of depth three."""

    origin: ClassVar[str] = "sklearn.ensemble:AdaBoostRegressor"

    loss: Literal["linear", "square", "exponential"] = "linear"


# -- gradient boosting ---------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnGBDT(_WithoutNaN, _Tree):
    """scikit-learn's GradientBoosting*, at the settings of assay's GBDT, but looking at every threshold.

    It refuses NaN: a missing value becomes one number below all others of its column.
    """

    n_estimators: int = 100
    learning_rate: float = 0.1
    subsample: float = 1.0
    max_depth: int | None = 3

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, monitor: Monitor | None = None
    ) -> Self:
        """Returns the estimator, fitted by scikit-learn; `monitor(rounds, estimator)` stops it with True."""

        def after_round(index: int, model: Any, state: Any) -> bool:
            return monitor is not None and bool(monitor(index + 1, self))

        return self._fitted(X, y, sample_weight, monitor=after_round)


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnGBDTClassifier(_StagedClassifier, SklearnGBDT):
    """scikit-learn's GradientBoostingClassifier."""

    origin: ClassVar[str] = "sklearn.ensemble:GradientBoostingClassifier"


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnGBDTRegressor(_StagedRegressor, SklearnGBDT):
    """scikit-learn's GradientBoostingRegressor."""

    origin: ClassVar[str] = "sklearn.ensemble:GradientBoostingRegressor"

    loss: Literal["squared_error", "absolute_error", "huber", "quantile"] = "squared_error"
    alpha: float = 0.9


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnHistGBDT(_Sklearn):
    """scikit-learn's HistGradientBoosting*, at the settings of assay's GBDT.

    It values leaves by the second order. Categories are split by sets, but a column of more of them than
    `max_bins` is taken as numbers.
    """

    n_estimators: int = 100
    learning_rate: float = 0.1
    max_depth: int | None = 3
    max_leaf_nodes: int | None = None
    min_samples_leaf: int = 1
    max_features: float = 1.0
    max_bins: int = 255
    n_jobs: int | None = None

    def _settings(self, table: Table) -> dict[str, Any]:
        settings = super()._settings(table)
        del settings["n_jobs"]
        settings["max_iter"] = settings.pop("n_estimators")
        settings["early_stopping"] = False
        settings["categorical_features"] = [
            index
            for index, column in enumerate(table)
            if column.kind == "category" and len(np.unique(column.values[~column.missing])) <= self.max_bins
        ]
        return settings

    def _matrix(self, table: Table) -> Array:
        matrix = super()._matrix(table)
        if not hasattr(self, "empty_"):
            self.empty_ = np.isnan(matrix).all(axis=0)
        matrix[:, self.empty_] = 0.0  # A column without any value makes it fail.
        return matrix

    def _called(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        from threadpoolctl import threadpool_limits  # The only way to tell it how many threads.

        with threadpool_limits(num_threads(self.n_jobs), user_api="openmp"):
            return function(*arguments, **options)


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnHistGBDTClassifier(_StagedClassifier, SklearnHistGBDT):
    """scikit-learn's HistGradientBoostingClassifier."""

    origin: ClassVar[str] = "sklearn.ensemble:HistGradientBoostingClassifier"


@dataclass(kw_only=True, eq=False, repr=False)
class SklearnHistGBDTRegressor(_StagedRegressor, SklearnHistGBDT):
    """scikit-learn's HistGradientBoostingRegressor.

    Args:
        loss: what is minimised.
        alpha: the quantile that "quantile" predicts, in (0, 1).
    """

    origin: ClassVar[str] = "sklearn.ensemble:HistGradientBoostingRegressor"

    loss: Literal["squared_error", "absolute_error", "quantile"] = "squared_error"
    alpha: float = 0.9

    def _settings(self, table: Table) -> dict[str, Any]:
        settings = super()._settings(table)
        alpha = settings.pop("alpha")
        return settings | {"quantile": alpha if self.loss == "quantile" else None}
