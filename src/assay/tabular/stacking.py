"""Stacking: a final method learns how far to trust each base method, on rows those were not fitted on.

Every base method is fitted once for each fold and predicts the rows left out; on those predictions the
final method is fitted, and then the base methods once more on all rows.

Reference:
    Wolpert. "Stacked Generalization". Neural Networks 5(2), 1992.
    Breiman. "Stacked Regressions". Machine Learning 24, 1996 (a penalised linear final method).
    Ting, Witten. "Issues in Stacked Generalization". JAIR 10, 1999 (class probabilities rather than classes).
    Implements: Wolpert's level-0 and level-1 generalizers with J folds, which are the same for all base
        methods.
    Departs: the default final method is linear with an L2 penalty: a handful of columns, all of them already
        estimates of the target, wants a stable weighting, and a flexible method overfits them. With
        ``passthrough`` it also sees the raw columns, with categories and gaps, and is then gradient boosting.
    Omits: more than two levels; a final method may itself be a stack.
    Verified: scikit-learn's StackingClassifier and StackingRegressor on the same folds to 1e-12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from assay.data.table import Column, Table
from assay.tabular.estimator import Classifier, Estimator, Regressor, clone, normalised
from assay.tabular.inputs import as_generator, is_int, num_threads
from assay.tabular.linear import LogisticRegression, RidgeRegression

Array = np.ndarray
Fold = tuple[Array, Array]  # training rows, left-out rows


def folds(labels: Array | None, num_rows: int, num_folds: int, rng: np.random.Generator) -> Iterator[Fold]:
    """Yield training rows and left-out rows of every fold, both ascending; every row is left out once.

    Args:
        labels: class codes, to give every fold its share of each class; None for plain folds.
        num_rows: at least ``num_folds``.
        num_folds: at least 2.
        rng: what shuffles the rows.
    """
    order = rng.permutation(num_rows)
    if labels is not None:
        # Dealt out one after the other in the order of their classes, the rows of a class are spread evenly.
        order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(num_rows, np.int64)
    fold[order] = np.arange(num_rows) % num_folds
    for left_out in range(num_folds):
        yield np.flatnonzero(fold != left_out), np.flatnonzero(fold == left_out)


@dataclass(kw_only=True, eq=False, repr=False)
class Stacking(Estimator):
    """What both stacks share: folds, base predictions and the table they make.

    `fit` sets ``estimators_``, the base methods fitted on all rows; ``stack_method_``, what each is asked
    for; and ``final_estimator_``.

    Args:
        estimators: the base methods as (name, estimator) pairs, ours or any with scikit-learn's contract;
            None for a random forest, XGBoost and a tree.
        final_estimator: what is fitted on their predictions; None for ridge or logistic regression, or for
            gradient boosting with ``passthrough``.
        cv: number of folds, a splitter with ``split(X, y)``, or pairs of (training rows, left-out rows).
        stack_method: what base methods are asked for; "auto" takes the first of "predict_proba",
            "decision_function" and "predict" that each has.
        passthrough: whether the final method also sees the raw columns.
        n_jobs: fits that run at the same time; None is 1, -1 all cores. The model does not depend on it.
        random_state: seed of the folds, and of base methods that have none of their own.
    """

    result: ClassVar[str] = "final_estimator_"
    stack_methods: ClassVar[tuple[str, ...]]  # what a base method may be asked for, in order of preference

    estimators: Sequence[tuple[str, Any]] | None = None
    final_estimator: Any = None
    cv: Any = 5
    stack_method: str = "auto"
    passthrough: bool = False
    n_jobs: int | None = None
    random_state: Any = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Return the fitted stack.

        Args:
            X: features, whatever ``Table.of`` accepts.
            y: target, one for each row.
            sample_weight: non-negative weights; the base methods and the final one must accept them.

        Raises:
            ValueError: a parameter, the data or the folds are not as described.
        """
        table, target, weight = self._begin(X, y, sample_weight)
        self._check()
        rng = as_generator(self.random_state)
        bases = self._seeded(self._default_bases() if self.estimators is None else self.estimators, rng)
        splits = self._splits(table, target, rng)
        self.stack_method_ = [self._stack_method(name, base) for name, base in bases]

        def fitted(estimator: Any, rows: Array | slice, columns: Table) -> Any:
            extra = {} if weight is None else {"sample_weight": weight[rows]}
            return clone(estimator).fit(self._seen_by(estimator, columns), target[rows], **extra)

        def left_out(job: tuple[Any, str, Fold]) -> Array:
            base, method, (train, test) = job
            return self._predictions(fitted(base, train, table.take(train)), method, table.take(test))

        asked = [(base, method) for (_, base), method in zip(bases, self.stack_method_, strict=True)]
        jobs = [(base, method, split) for base, method in asked for split in splits]
        with ThreadPoolExecutor(num_threads(self.n_jobs)) as pool:
            parts = list(pool.map(left_out, jobs))
            self.estimators_ = list(pool.map(lambda pair: fitted(pair[0], slice(None), table), asked))
        order = np.argsort(np.concatenate([test for _, test in splits]))
        size = len(splits)
        blocks = [np.concatenate(parts[i : i + size])[order] for i in range(0, len(parts), size)]
        self.base_names_ = [name for name, _ in bases]
        self.base_widths_ = [block.shape[1] for block in blocks]
        final = self._default_final() if self.final_estimator is None else self.final_estimator
        ((_, final),) = self._seeded([("final", final)], rng)
        self.final_estimator_ = fitted(final, slice(None), self._level_one(blocks, table))
        return self

    def _default_bases(self) -> list[tuple[str, Any]]:
        raise NotImplementedError

    def _default_final(self) -> Estimator:
        raise NotImplementedError

    def _check(self) -> None:
        methods = ("auto", *self.stack_methods)
        self._require("stack_method", self.stack_method in methods, f"one of {methods}")
        if self.estimators is not None:
            pairs = [isinstance(pair, tuple) and len(pair) == 2 for pair in self.estimators]
            self._require(
                "estimators", bool(pairs) and all(pairs), "a non-empty list of (name, estimator) pairs"
            )
            names = {name for name, _ in self.estimators}
            self._require("estimators", len(names) == len(pairs), "pairs with distinct names")

    def _seeded(self, named: Sequence[tuple[str, Any]], rng: np.random.Generator) -> list[tuple[str, Any]]:
        """Return copies of estimators, with a seed of ours where they would draw fresh entropy."""
        seeded = []
        for name, estimator in named:
            estimator, seed = clone(estimator), int(rng.integers(2**31))
            if estimator.get_params().get("random_state", seed) is None:
                estimator.set_params(random_state=seed)
            seeded.append((name, estimator))
        return seeded

    def _splits(self, table: Table, target: Array, rng: np.random.Generator) -> list[Fold]:
        """Return the folds: one list, which all base methods share."""
        if is_int(self.cv, 2):
            if self.cv > table.num_rows:
                raise ValueError(f"cv={self.cv} folds need as many rows, got n_samples = {table.num_rows}")
            labels = target if hasattr(self, "classes_") else None
            return list(folds(labels, table.num_rows, self.cv, rng))
        split: Any = getattr(self.cv, "split", None)
        expected = "an int of at least 2, a splitter or pairs of row numbers"
        self._require("cv", split is not None or isinstance(self.cv, Iterable), expected)
        pairs = self.cv if split is None else split(table.to_numpy(), target)
        splits = [(np.asarray(train), np.asarray(test)) for train, test in pairs]
        tested = np.sort(np.concatenate([test for _, test in splits])) if splits else np.empty(0)
        if not np.array_equal(tested, np.arange(table.num_rows)):
            raise ValueError(f"cv must leave each of the {table.num_rows} rows out exactly once")
        return splits

    def _stack_method(self, name: str, base: Any) -> str:
        wanted = self.stack_methods if self.stack_method == "auto" else (self.stack_method,)
        for method in wanted:
            if hasattr(base, method):
                return method
        raise ValueError(f"base method {name!r} has none of {wanted}")

    def _predictions(self, base: Any, method: str, table: Table) -> Array:
        """Return what a fitted base method says of each row, ``[n, columns]``."""
        found = np.asarray(getattr(base, method)(self._seen_by(base, table)), np.float64)
        return found.reshape(len(found), -1)

    def _level_one(self, blocks: Sequence[Array], table: Table) -> Table:
        """Return the table the final method reads: the base methods' columns, and maybe the raw ones."""
        columns = [
            Column(name if block.shape[1] == 1 else f"{name}:{i}", "numeric", np.ascontiguousarray(values))
            for name, block in zip(self.base_names_, blocks, strict=True)
            for i, values in enumerate(block.T)
        ]
        return Table((*columns, *table.columns) if self.passthrough else tuple(columns), "base predictions")

    def base_predictions(self, X: Any) -> Table:
        """Return what the final method reads of each row."""
        table = self._read(X)
        asked = zip(self.estimators_, self.stack_method_, strict=True)
        return self._level_one([self._predictions(base, method, table) for base, method in asked], table)

    def _final(self, X: Any, method: str) -> Array:
        table = self.base_predictions(X)
        return getattr(self.final_estimator_, method)(self._seen_by(self.final_estimator_, table))

    @property
    def feature_importances_(self) -> Array:
        """The importances of the base methods, each weighted by how far the final method relies on it."""
        self._check_fitted()
        shares = np.asarray(self.final_estimator_.feature_importances_)
        *bases, raw = np.split(shares, np.cumsum(self.base_widths_))
        total = raw if self.passthrough else np.zeros(self.n_features_in_)
        for share, base in zip(bases, self.estimators_, strict=True):
            total = total + share.sum() * base.feature_importances_
        return normalised(total)


@dataclass(kw_only=True, eq=False, repr=False)
class StackingClassifier(Stacking, Classifier):
    """A stack of classifiers; the final method reads class probabilities where a base method has them."""

    stack_methods: ClassVar[tuple[str, ...]] = ("predict_proba", "decision_function", "predict")

    def _default_bases(self) -> list[tuple[str, Any]]:
        from assay.tabular.cart import CARTClassifier
        from assay.tabular.random_forest import RandomForestClassifier
        from assay.tabular.xgboost import XGBoostClassifier

        return [
            ("random_forest", RandomForestClassifier(n_estimators=50, min_samples_leaf=2)),
            ("xgboost", XGBoostClassifier(n_estimators=100, learning_rate=0.1)),
            ("cart", CARTClassifier(min_samples_leaf=20, max_bins=255)),
        ]

    def _default_final(self) -> Estimator:
        from assay.tabular.gbdt import GBDTClassifier

        return GBDTClassifier() if self.passthrough else LogisticRegression()

    def _predictions(self, base: Any, method: str, table: Table) -> Array:
        found = super()._predictions(base, method, table)
        if method == "predict":
            return found
        if len(base.classes_) < len(self.classes_):  # the training rows of a fold may lack a rare class
            if method != "predict_proba":
                raise ValueError("a fold lacks a class: use fewer folds or base methods with predict_proba")
            whole = np.zeros((len(found), len(self.classes_)))
            whole[:, base.classes_] = found
            found = whole
        # Of two probabilities that sum to one, the second says all.
        return found[:, 1:] if method == "predict_proba" and found.shape[1] == 2 else found

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class, in the order of ``classes_``, for each row."""
        return self._final(X, "predict_proba")

    def predict(self, X: Any) -> Array:
        """Return the class of each row that the final method predicts."""
        codes = self._final(X, "predict")
        return self.classes_[codes]


@dataclass(kw_only=True, eq=False, repr=False)
class StackingRegressor(Stacking, Regressor):
    """A stack of regressors."""

    stack_methods: ClassVar[tuple[str, ...]] = ("predict",)

    def _default_bases(self) -> list[tuple[str, Any]]:
        from assay.tabular.cart import CARTRegressor
        from assay.tabular.random_forest import RandomForestRegressor
        from assay.tabular.xgboost import XGBoostRegressor

        return [
            ("random_forest", RandomForestRegressor(n_estimators=50, min_samples_leaf=2)),
            ("xgboost", XGBoostRegressor(n_estimators=100, learning_rate=0.1)),
            ("cart", CARTRegressor(min_samples_leaf=20, max_bins=255)),
        ]

    def _default_final(self) -> Estimator:
        from assay.tabular.gbdt import GBDTRegressor

        return GBDTRegressor() if self.passthrough else RidgeRegression()

    def predict(self, X: Any) -> Array:
        """Return the predicted number of each row, in the target's unit."""
        return self._final(X, "predict")
