"""XGBoost and LightGBM, the packages, as methods of the tabular board, and what they share with CatBoost.

Settings that assay's XGBoost has too are fields here, with the same names and defaults, under whatever name
the package knows them; all else stays at the package's default. Categories and missing values go through
natively. A saved model is the package's own file, in a folder like those of assay's fitted estimators.

Reference:
    Chen, Guestrin. "XGBoost: A Scalable Tree Boosting System". KDD 2016.
    Ke et al. "LightGBM: A Highly Efficient Gradient Boosting Decision Tree". NeurIPS 2017.
"""

import copy
import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.data.table import Table
from assay.tabular.estimator import Classifier, Estimator, Regressor
from assay.tabular.inputs import as_generator, is_int, num_threads
from assay.tabular.losses import Logistic, Multinomial

Array = NDArray[Any]
Monitor = Callable[[int, Any], bool | None]
MOST_LEAVES = 1 << 17  # LightGBM's own limit


def _installed(*names: str) -> str:
    """Returns the first of a package's distributions that is installed, or the first if none is."""
    for name in names:
        try:
            importlib.metadata.version(name)
            return name
        except importlib.metadata.PackageNotFoundError:
            continue
    return names[0]


@dataclass(kw_only=True, eq=False, repr=False)
class Booster(Estimator):
    """A package's boosted trees behind assay's estimators.

    Args:
        n_estimators: rounds.
        learning_rate: share of every leaf's weight that is taken.
        max_depth: splits between root and leaf at most; 0 or None for no limit.
        max_bins: bins of a feature.
        reg_lambda: L2 penalty on leaf weights.
        subsample: share of the rows that a round sees.
        n_jobs: threads; None is 1, -1 all.
        random_state: seed of everything random.
    """

    imports: ClassVar[tuple[str, ...]]
    libraries: ClassVar[tuple[str, ...]]
    result: ClassVar[str] = "model_"

    n_estimators: int = 100
    learning_rate: float = 0.3
    max_depth: int | None = 6
    max_bins: int = 255
    reg_lambda: float = 1.0
    subsample: float = 1.0
    n_jobs: int | None = None
    random_state: int | np.random.Generator | np.random.RandomState | None = None

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, monitor: Monitor | None = None
    ) -> Self:
        """Returns the estimator, fitted by the package; `monitor(rounds, estimator)` stops it with True."""
        table, target, weight = self._begin(X, y, sample_weight)
        after_round = None if monitor is None else lambda rounds: bool(monitor(rounds, self))
        self.model_ = self._train(table, target, weight, after_round)
        return self

    def _train(
        self, table: Table, target: Array, weight: Array | None, after_round: Callable[[int], bool] | None
    ) -> Any:
        """Returns the package's model; `after_round` is told how many rounds are done, and True ends them."""
        raise NotImplementedError

    def _outputs(self, table: Table) -> Array:
        """Returns numbers or probabilities of the second class [rows], or of all classes [rows, K]."""
        raise NotImplementedError

    def _margins(self, table: Table) -> Iterator[Array]:
        """Yields the sums of the trees after every round, [rows] or [rows, K]."""
        raise NotImplementedError

    def _written(self) -> bytes:
        """Returns the model in the package's own format."""
        raise NotImplementedError

    def _opened(self, content: bytes) -> Any:
        """Returns the model that `_written` returned."""
        raise NotImplementedError

    @property
    def _model(self) -> Any:
        """The package's model, opened where `model_` is still the bytes of its file."""
        self._check_fitted()
        if isinstance(self.model_, np.ndarray):
            self.model_ = self._opened(self.model_.tobytes())
        return self.model_

    def save(self, folder: str | Path) -> None:
        """Writes the estimator, with the package's own file of its model, to `folder`, atomically."""
        self._check_fitted()
        written = copy.copy(self)
        if not isinstance(self.model_, np.ndarray):
            written.model_ = np.frombuffer(self._written(), np.uint8)
        Estimator.save(written, folder)

    def _seed(self) -> int:
        if is_int(self.random_state, 0):
            return int(self.random_state)  # type: ignore[arg-type]
        return int(as_generator(self.random_state).integers(2**31))

    def _loss(self) -> str:
        """Returns the kind of problem: "regression", "binary" or "multiclass"."""
        if self._num_classes is None:
            return "regression"
        return "binary" if self._num_classes == 2 else "multiclass"


class BoosterClassifier(Classifier, Booster):
    """A package's boosted trees for classes."""

    def predict_proba(self, X: Any) -> Array:
        """Returns the probability of every class, in the order of `classes_`, for each row."""
        outputs = self._outputs(self._read(X)).astype(np.float64)
        return np.column_stack([1 - outputs, outputs]) if outputs.ndim == 1 else outputs

    def staged_predict_proba(self, X: Any) -> Iterator[Array]:
        """Yields the probabilities after every round."""
        loss = Logistic() if len(self.classes_) == 2 else Multinomial(len(self.classes_))
        for margins in self._margins(self._read(X)):
            yield loss.response(np.atleast_2d(margins.T))


class BoosterRegressor(Regressor, Booster):
    """A package's boosted trees for numbers."""

    def predict(self, X: Any) -> Array:
        """Returns the predicted number of each row."""
        return self._outputs(self._read(X)).astype(np.float64)

    def staged_predict(self, X: Any) -> Iterator[Array]:
        """Yields the predictions after every round."""
        yield from self._margins(self._read(X))


def category_columns(table: Table) -> list[int]:
    """Returns the positions of the category columns."""
    return [index for index, column in enumerate(table) if column.kind == "category"]


# -- XGBoost -------------------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False, repr=False)
class DMLCXGBoost(Booster):
    """The xgboost package, at the settings of assay's XGBoost."""

    imports: ClassVar[tuple[str, ...]] = ("xgboost",)
    libraries: ClassVar[tuple[str, ...]] = (_installed("xgboost", "xgboost-cpu"),)

    max_leaves: int = 0
    grow_policy: Literal["depthwise", "lossguide"] = "depthwise"
    tree_method: Literal["hist", "exact", "approx"] = "hist"
    min_child_weight: float = 1.0
    reg_alpha: float = 0.0
    gamma: float = 0.0
    max_delta_step: float = 0.0
    colsample_bytree: float = 1.0
    colsample_bylevel: float = 1.0
    colsample_bynode: float = 1.0
    max_cat_to_onehot: int = 4
    base_score: float | None = None

    def _objective(self) -> dict[str, Any]:
        if self._loss() == "multiclass":
            return {"objective": "multi:softprob", "num_class": self._num_classes}
        return {"objective": "binary:logistic"}

    def _train(
        self, table: Table, target: Array, weight: Array | None, after_round: Callable[[int], bool] | None
    ) -> Any:
        import xgboost
        from xgboost.callback import TrainingCallback

        class Report(TrainingCallback):
            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
                return after_round is not None and after_round(epoch + 1)

        settings = self.get_params(deep=False)
        settings |= self._objective()
        settings |= {"max_depth": self.max_depth or 0, "nthread": num_threads(self.n_jobs)}
        settings |= {"seed": self._seed(), "verbosity": 0, "max_bin": settings.pop("max_bins")}
        for name in ("n_estimators", "n_jobs", "random_state"):
            del settings[name]
        options: dict[str, Any] = {"label": target, "weight": weight}
        if self.tree_method == "hist":
            data = self._matrix(table, xgboost.QuantileDMatrix, max_bin=self.max_bins, **options)
        else:
            data = self._matrix(table, xgboost.DMatrix, **options)
        return xgboost.train(
            {name: value for name, value in settings.items() if value is not None},
            data,
            num_boost_round=self.n_estimators,
            callbacks=None if after_round is None else [Report()],
        )

    def _matrix(self, table: Table, make: Callable[..., Any], **options: Any) -> Any:
        options |= {"enable_categorical": True, "nthread": num_threads(self.n_jobs)}
        types = ["c" if column.kind == "category" else "float" for column in table]
        return make(table.to_numpy(), feature_types=types, **options)

    def _outputs(self, table: Table) -> Array:
        return self._model.inplace_predict(table.to_numpy())

    def _margins(self, table: Table) -> Iterator[Array]:
        import xgboost

        data, rounds = self._matrix(table, xgboost.DMatrix), self._model.num_boosted_rounds()

        def margin(first: int, last: int) -> Array:
            outputs = self._model.predict(data, output_margin=True, iteration_range=(first, last))
            return outputs.astype(np.float64)

        # A part of the rounds gives their trees on top of the base score.
        base = margin(0, 1) + margin(1, 2) - margin(0, 2) if rounds > 1 else 0.0
        total = base
        for index in range(rounds):
            total = total + margin(index, index + 1) - base
            yield total

    def _written(self) -> bytes:
        return bytes(self.model_.save_raw("ubj"))

    def _opened(self, content: bytes) -> Any:
        import xgboost

        model = xgboost.Booster({"nthread": num_threads(self.n_jobs)})
        model.load_model(bytearray(content))
        return model


@dataclass(kw_only=True, eq=False, repr=False)
class DMLCXGBoostClassifier(BoosterClassifier, DMLCXGBoost):
    """The xgboost package's classifier."""

    scale_pos_weight: float = 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class DMLCXGBoostRegressor(BoosterRegressor, DMLCXGBoost):
    """The xgboost package's regressor."""

    objective: Literal["reg:squarederror", "reg:absoluteerror", "reg:quantileerror"] = "reg:squarederror"
    quantile_alpha: float = 0.5

    def _objective(self) -> dict[str, Any]:
        return {"objective": self.objective}


# -- LightGBM ------------------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False, repr=False)
class LightGBM(Booster):
    """LightGBM, at the settings of assay's XGBoost: no least number of rows in a leaf.

    Args:
        max_leaves: leaves at most; 0 for as many as the depth allows.
    """

    imports: ClassVar[tuple[str, ...]] = ("lightgbm",)
    libraries: ClassVar[tuple[str, ...]] = ("lightgbm",)

    max_leaves: int = 0
    min_child_weight: float = 1.0
    reg_alpha: float = 0.0
    gamma: float = 0.0
    max_delta_step: float = 0.0
    colsample_bytree: float = 1.0
    colsample_bynode: float = 1.0
    max_cat_to_onehot: int = 4

    def _train(
        self, table: Table, target: Array, weight: Array | None, after_round: Callable[[int], bool] | None
    ) -> Any:
        import lightgbm

        def report(state: Any) -> None:
            if after_round is not None and after_round(state.iteration + 1):
                raise lightgbm.callback.EarlyStopException(state.iteration, [])

        settings = {
            "objective": self._loss(),
            "num_class": self._num_classes if self._loss() == "multiclass" else 1,
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth or -1,
            "num_leaves": self.max_leaves or min(2 ** (self.max_depth or 17), MOST_LEAVES),
            "max_bin": self.max_bins,
            "min_data_in_leaf": 0,
            "min_sum_hessian_in_leaf": self.min_child_weight,
            "lambda_l2": self.reg_lambda,
            "lambda_l1": self.reg_alpha,
            "min_gain_to_split": self.gamma,
            "max_delta_step": self.max_delta_step,
            "bagging_fraction": self.subsample,
            "bagging_freq": int(self.subsample < 1),
            "feature_fraction": self.colsample_bytree,
            "feature_fraction_bynode": self.colsample_bynode,
            "max_cat_to_onehot": self.max_cat_to_onehot,
            "num_threads": num_threads(self.n_jobs),
            "seed": self._seed(),
            "verbosity": -1,
        }
        matrix, categories = table.to_numpy(), category_columns(table)
        data = lightgbm.Dataset(matrix, target, weight=weight, categorical_feature=categories)
        callbacks = None if after_round is None else [report]
        return lightgbm.train(settings, data, num_boost_round=self.n_estimators, callbacks=callbacks)

    def _outputs(self, table: Table) -> Array:
        return self._model.predict(table.to_numpy(), num_threads=num_threads(self.n_jobs))

    def _margins(self, table: Table) -> Iterator[Array]:
        matrix, total = table.to_numpy(), 0.0
        part = {"raw_score": True, "num_iteration": 1, "num_threads": num_threads(self.n_jobs)}
        for index in range(self._model.current_iteration()):
            total = total + self._model.predict(matrix, start_iteration=index, **part)
            yield total

    def _written(self) -> bytes:
        return self.model_.model_to_string().encode()

    def _opened(self, content: bytes) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=content.decode())


@dataclass(kw_only=True, eq=False, repr=False)
class LightGBMClassifier(BoosterClassifier, LightGBM):
    """LightGBM's classifier."""


@dataclass(kw_only=True, eq=False, repr=False)
class LightGBMRegressor(BoosterRegressor, LightGBM):
    """LightGBM's regressor."""
