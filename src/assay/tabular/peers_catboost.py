"""CatBoost, the package, as a method of the tabular board.

Reference:
    Prokhorenkova et al. "CatBoost: unbiased boosting with categorical features". NeurIPS 2018.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from assay.data.table import Table
from assay.tabular.inputs import num_threads
from assay.tabular.peers_boosting import (
    Array,
    Booster,
    BoosterClassifier,
    BoosterRegressor,
    category_columns,
)


@dataclass(kw_only=True, eq=False, repr=False)
class CatBoost(Booster):
    """CatBoost, at the settings of assay's XGBoost, with trees of its own kind.

    Missing is a category of its own; a missing number is less than all others.

    Args:
        grow_policy: "SymmetricTree" makes the same split all over a level.
        colsample_bylevel: share of the columns that a level may use.
    """

    imports: ClassVar[tuple[str, ...]] = ("catboost", "pandas")
    libraries: ClassVar[tuple[str, ...]] = ("catboost",)

    grow_policy: Literal["SymmetricTree", "Depthwise", "Lossguide"] = "SymmetricTree"
    colsample_bylevel: float = 1.0

    def _train(
        self, table: Table, target: Array, weight: Array | None, after_round: Callable[[int], bool] | None
    ) -> Any:
        import catboost

        class Report:
            def after_iteration(self, state: Any) -> bool:
                return after_round is None or not after_round(state.iteration)

        losses = {"regression": "RMSE", "binary": "Logloss", "multiclass": "MultiClass"}
        settings = {
            "loss_function": losses[self._loss()],
            "iterations": self.n_estimators,
            "learning_rate": self.learning_rate,
            "depth": self.max_depth or 16,
            "border_count": self.max_bins - 1,
            "l2_leaf_reg": self.reg_lambda,
            "bootstrap_type": "Bernoulli" if self.subsample < 1 else "No",
            "rsm": self.colsample_bylevel,
            "grow_policy": self.grow_policy,
            "thread_count": num_threads(self.n_jobs),
            "random_seed": self._seed(),
            "logging_level": "Silent",
            "allow_writing_files": False,
        }
        if self.subsample < 1:
            settings["subsample"] = self.subsample
        model = catboost.CatBoost(settings)
        callbacks = None if after_round is None else [Report()]
        return model.fit(self._pool(table, label=target, weight=weight), callbacks=callbacks)

    def _pool(self, table: Table, **options: Any) -> Any:
        import catboost
        import pandas

        values = {str(index): column.values for index, column in enumerate(table)}
        frame = pandas.DataFrame(values, copy=False)
        threads = num_threads(self.n_jobs)
        return catboost.Pool(frame, cat_features=category_columns(table), thread_count=threads, **options)

    def _outputs(self, table: Table) -> Array:
        kind = "RawFormulaVal" if self._num_classes is None else "Probability"
        threads = num_threads(self.n_jobs)
        return self._model.predict(self._pool(table), prediction_type=kind, thread_count=threads)

    def _margins(self, table: Table) -> Iterator[Array]:
        yield from self._model.staged_predict(self._pool(table), prediction_type="RawFormulaVal")

    def _written(self) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.cbm"
            self.model_.save_model(str(path), format="cbm")
            return path.read_bytes()

    def _opened(self, content: bytes) -> Any:
        import catboost

        return catboost.CatBoost().load_model(blob=content)


@dataclass(kw_only=True, eq=False, repr=False)
class CatBoostClassifier(BoosterClassifier, CatBoost):
    """CatBoost's classifier."""


@dataclass(kw_only=True, eq=False, repr=False)
class CatBoostRegressor(BoosterRegressor, CatBoost):
    """CatBoost's regressor."""
