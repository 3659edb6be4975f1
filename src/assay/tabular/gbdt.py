"""Gradient boosting: each tree is fitted to the negative gradient of the loss, then its leaves are set anew.

A regression tree says which rows want to move alike; a line search in each leaf says how far, and only a
small share of that step is taken.

Reference:
    Friedman. "Greedy Function Approximation: A Gradient Boosting Machine". Annals of Statistics 29(5), 2001.
    Friedman. "Stochastic Gradient Boosting". Computational Statistics & Data Analysis 38(4), 2002.
    Implements: Alg. 1 with the losses of Alg. 2 to 6 (`losses.py`), shrinkage (Sec. 5), subsampling without
        replacement (2002, Alg. 1).
    Departs: trees read missing values and categories natively; thresholds may come from binned values. The
        gain of a split of categories in two groups is less what it has by chance (`noise.py`).
    Omits: influence trimming (Sec. 4.5.1), partial dependence (Sec. 8.2), the exponential loss.
    Verified: scikit-learn's GradientBoosting*, staged predictions of every loss to 1e-10 where gains are
        unique; a naive boosting loop on brute-force trees, 1e-10.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from assay.tabular.bins import Bins
from assay.tabular.boosting import (
    FEW_ROWS,
    Boosting,
    BoostingClassifier,
    BoostingRegressor,
    Derivatives,
    GrowRound,
    Monitor,
    Rows,
    draw,
    everywhere,
    leaf_steps,
    route,
)
from assay.tabular.estimator import normalised, total_gain
from assay.tabular.grower import Grown, Newton, grow
from assay.tabular.impurity import ImpurityTree
from assay.tabular.inputs import as_generator, is_int, is_real, num_threads
from assay.tabular.losses import AbsoluteError, Huber, Logistic, Loss, Quantile, SquaredError
from assay.tabular.noise import Noise
from assay.tabular.pruning import prune

Array = np.ndarray


@dataclass(kw_only=True, eq=False, repr=False)
class GBDT(Boosting, ImpurityTree):
    """Gradient boosting of regression trees.

    `fit` also sets ``train_score_``, the mean loss of the training rows after every round.

    Args:
        n_estimators: rounds, each of one tree, or one for every class of three or more.
        learning_rate: share of every step that is taken (shrinkage), at least 0.
        subsample: share of the rows, drawn without replacement, that a round sees, in (0, 1].
        criterion: what a tree decreases; gradients are numbers, so only "squared_error".
        max_depth: splits between root and leaf at most; None for no limit.
        max_bins: as in every tree here; None looks at every distinct value.
        max_cat_to_onehot: as in every tree here, but a split in two groups must gain more than by chance.
        n_iter_no_change: stop after a round whose held-out loss is not smaller, by ``tol``, than any of the
            so many before; None to run all rounds.
        validation_fraction: share of the rows held out for that, in (0, 1).
        tol: what counts as smaller, in the unit of ``train_score_``.
    """

    criterion: str = "squared_error"
    max_depth: int | None = 3
    max_bins: int | None = 255
    max_cat_to_onehot: int | None = 4
    n_iter_no_change: int | None = None
    tol: float = 1e-4

    def fit(self, X: Any, y: Any, sample_weight: Any = None, monitor: Monitor | None = None) -> Self:
        """Return the fitted model.

        Args:
            X: features, whatever ``Table.of`` accepts; missing values and categories as they are.
            y: target, one for each row.
            sample_weight: non-negative weights of the rows.
            monitor: called as ``monitor(rounds, estimator)`` after each round, from 1 on; True stops.

        Raises:
            ValueError: a parameter or the data is not as described.
        """
        table, target, weight = self._begin(X, y, sample_weight)
        self._check_tree()
        self._check_boosting()
        patience = self.n_iter_no_change
        self._require(
            "n_iter_no_change", patience is None or is_int(patience, 1), "an int of at least 1 or None"
        )
        self._require("tol", is_real(self.tol, 0), "a number of at least 0")
        rng = as_generator(self.random_state)
        rows, held = Rows.of(table, target, weight), None
        if patience is not None:
            rows, held = self._part(rows, rng)
        self.train_score_ = np.empty(0)
        self._boost(rows, held, monitor, rng)
        return self

    @property
    def _criteria(self) -> tuple[str, ...]:
        return ("squared_error",)  # gradients are numbers, whatever the target

    def _grower(self, rows: Rows, rng: np.random.Generator) -> GrowRound:
        threads = num_threads(self.n_jobs)
        bins = Bins.fit(rows.table, max_bins=self.max_bins, sample_weight=rows.weight, threads=threads)
        codes = bins.encode(rows.table, threads=threads)
        num_rows = codes.num_rows
        wide = self.max_bins is None or num_rows <= FEW_ROWS
        total = float(num_rows if rows.weight is None else rows.weight.sum()) * self.subsample
        limits = self._limits(num_rows, len(codes.bins.features), total)
        noise = Noise(rows.table, rows.weight)
        # A split that gains nothing is noise here: where all gradients are equal, rounding would choose it.
        limits = replace(limits, min_gain=max(0.0, limits.min_gain))

        def grow_round(loss: Loss, gradient: Array, hessian: Array | None) -> Iterator[Grown]:
            sample = None
            if self.subsample < 1:
                sample = draw(num_rows, max(1, int(self.subsample * num_rows)), rng)
            for output in range(loss.num_outputs):
                bend = None if hessian is None else hessian[output]
                target = Newton(
                    gradient=gradient[output],
                    hessian=rows.weight,
                    wide=wide,
                    noise=noise.per_unit(loss, gradient[output], bend, rows.weight),
                )
                seed = int(rng.integers(2**63))
                grown = grow(codes, target, limits, rows=sample, seed=seed, threads=threads)
                if self.ccp_alpha:
                    tree = prune(grown.tree, self.ccp_alpha * total)
                    leaf = route(tree, codes, np.arange(num_rows))
                    grown = Grown(tree, np.where(grown.leaf < 0, -1, leaf))
                step = leaf_steps(loss, rows, output, gradient[output], bend, grown)
                tree = grown.tree.with_values(self.learning_rate * step[:, None])
                yield everywhere(Grown(tree, grown.leaf), codes)

        return grow_round

    def _score(self, loss: Loss, rows: Rows) -> float:
        return _reported(loss, super()._score(loss, rows))

    def _after_round(self, loss: Loss, rows: Rows, buffer: Array) -> Derivatives | None:
        value, derivatives = loss.value_and_derivatives(rows.target, rows.margins, rows.weight, buffer)
        self.train_score_ = np.append(self.train_score_, _reported(loss, value))
        return derivatives

    def _stalled(self, scores: list[float]) -> bool:
        patience = self.n_iter_no_change
        if patience is None or len(scores) <= patience:
            return False
        return scores[-1] + self.tol >= max(scores[-1 - patience : -1])

    @property
    def feature_importances_(self) -> Array:
        """The total gain of the splits on each column, as shares of their sum."""
        self._check_fitted()
        return normalised(total_gain(self.ensemble_.trees, self.n_features_in_))


def _reported(loss: Loss, value: float) -> float:
    """Return squared error and binomial deviance without the factor 1/2, as scikit-learn does."""
    return value * (2 if isinstance(loss, SquaredError | Logistic) else 1)


@dataclass(kw_only=True, eq=False, repr=False)
class GBDTClassifier(GBDT, BoostingClassifier):
    """A gradient-boosted classifier of any number of classes.

    Args:
        loss: only "log_loss", the logistic loss of two classes and the multinomial one of more.
    """

    loss: Literal["log_loss"] = "log_loss"

    def _loss(self) -> Loss:
        self._require("loss", self.loss == "log_loss", "'log_loss'")
        return super()._loss()


@dataclass(kw_only=True, eq=False, repr=False)
class GBDTRegressor(GBDT, BoostingRegressor):
    """A gradient-boosted regressor.

    Args:
        loss: "squared_error", "absolute_error", "huber" or "quantile".
        alpha: the quantile that "quantile" predicts, and the share of ordinary residuals of "huber", in (0,
            1).
    """

    loss: Literal["squared_error", "absolute_error", "huber", "quantile"] = "squared_error"
    alpha: float = 0.9

    def _loss(self) -> Loss:
        losses: dict[str, Loss] = {
            "squared_error": SquaredError(),
            "absolute_error": AbsoluteError(),
            "huber": Huber(self.alpha),
            "quantile": Quantile(self.alpha),
        }
        self._require("loss", self.loss in losses, f"one of {tuple(losses)}")
        self._require("alpha", is_real(self.alpha, 0, 1) and 0 < self.alpha < 1, "a number in (0, 1)")
        return losses[self.loss]
