"""Boosting's common ground: sums of trees, grown round by round on the derivatives of a loss, and
predictions.

What the trees of a round look like, and when rounds stop helping, is up to the method: `gbdt.py`,
`xgboost.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.data.table import Table
from assay.tabular import slopes
from assay.tabular.bins import Codes
from assay.tabular.ensemble import Ensemble
from assay.tabular.estimator import Classifier, Estimator, Regressor
from assay.tabular.grower import Grown
from assay.tabular.inputs import is_int, is_real, num_threads
from assay.tabular.losses import Leaves, Logistic, Loss, Multinomial
from assay.tabular.tree import Tree

Array = np.ndarray
FEW_ROWS = 16_384  # so many cost nothing to sum in 64 bits; more are summed in 16 unless splits are exact
Derivatives = tuple[Array, Array | None]  # gradient and hessian, [outputs, n]
Monitor = Callable[[int, Any], bool | None]
# Grows the trees of a round, one for every output: the values are those to add, and every row has its leaf.
GrowRound = Callable[[Loss, Array, Array | None], Iterator[Grown]]


@dataclass(eq=False)
class Rows:
    """Rows of known target and, once rounds begin, their margins ``[outputs, n]``, to which trees add."""

    table: Table
    target: Array
    weight: Array | None
    margins: Array

    @classmethod
    def of(cls, table: Table, target: Array, weight: Array | None) -> Rows:
        """Return the rows without margins."""
        return cls(table, target.astype(np.float64), weight, np.empty((0, len(target))))

    def take(self, rows: Array) -> Rows:
        """Return some of the rows, without margins."""
        weight = None if self.weight is None else self.weight[rows]
        return Rows.of(self.table.take(rows), self.target[rows], weight)


def hold_out(
    labels: Array | None, num_rows: int, share: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return training rows and held-out rows, both ascending, each with its share of every class.

    Args:
        labels: class of every row; None to ignore classes.
        num_rows: at least 2.
        share: of rows to hold out, in (0, 1); at least one row is held out and one left.
        rng: what shuffles the rows.
    """
    if num_rows < 2:
        raise ValueError(f"early stopping holds out rows: expected at least 2, got n_samples = {num_rows}")
    share = np.clip(share, 1 / num_rows, 1 - 1 / num_rows)
    order = rng.permutation(num_rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    # Evenly spaced rows in the order of the classes.
    picked = np.diff(np.floor(share * np.arange(num_rows + 1) + 0.5)) > 0
    return np.sort(order[~picked]), np.sort(order[picked])


def route(tree: Tree, codes: Codes, rows: Array) -> Array:
    """Return the leaf that each of ``rows`` of the codes ends in, int32; the tree was grown on their bins."""
    first = np.zeros(tree.num_nodes, np.int64)
    tables, size = [np.empty(0, bool)], 0
    for node in np.flatnonzero(tree.feature >= 0).tolist():
        feature = codes.bins.features[tree.feature[node]]
        goes_left = np.zeros(feature.num_bins + 1, bool)
        if feature.kind == "category":
            goes_left[feature.category_bins[tree.categories_left(node)]] = True
        else:
            goes_left[: np.searchsorted(feature.high, tree.threshold[node], side="right")] = True
        goes_left[-1] = tree.missing_left[node]
        tables.append(goes_left)
        first[node], size = size, size + len(goes_left)
    return slopes.route(codes.columns, rows, tree.feature, tree.left, first, np.concatenate(tables))


def draw(total: int, size: int, rng: np.random.Generator) -> Array:
    """Return ``size`` of ``total`` positions, drawn without replacement, ascending."""
    chosen = np.zeros(total, bool)
    chosen[rng.choice(total, size, replace=False, shuffle=False)] = True
    return np.flatnonzero(chosen)


def everywhere(grown: Grown, codes: Codes) -> Grown:
    """Return the tree with a leaf for every row, also for those it was not grown on."""
    if grown.is_complete:
        return grown
    outside = np.flatnonzero(grown.leaf < 0)
    leaf = grown.leaf.copy()
    leaf[outside] = route(grown.tree, codes, outside)
    return Grown(grown.tree, leaf)


def leaf_steps(
    loss: Loss, rows: Rows, output: int, gradient: Array, hessian: Array | None, grown: Grown
) -> Array:
    """Return one output's line search in every node, ``[nodes]``, over the rows the tree was grown on."""
    seen: Any = slice(None) if grown.is_complete else grown.leaf >= 0

    def of(values: Array | None) -> Array | None:
        return None if values is None else values[seen]

    leaves = Leaves(grown.leaf[seen], grown.tree.num_nodes, of(rows.weight))
    return loss.line_search(
        leaves, rows.target[seen], rows.margins[output, seen], gradient[seen], of(hessian)
    )


@dataclass(kw_only=True, eq=False, repr=False)
class Boosting(Estimator):
    """A sum of trees for every output.

    `fit` sets ``base_score_``, the margins ``[outputs]`` before the first tree; ``ensemble_``, the trees;
    ``n_estimators_``, the rounds they come from; and, where rows are held out, ``validation_score_``, their
    mean loss after every round.

    Args:
        n_estimators: rounds, each of one tree for every output, at least 1.
        learning_rate: share of every tree's step that is taken, at least 0.
        subsample: share of the rows that a round's trees are grown on, in (0, 1].
        validation_fraction: share of the rows held out where early stopping needs some, in (0, 1).
        n_jobs: threads; None is 1, -1 all. The model does not depend on it.
        random_state: seed of everything random.
    """

    n_estimators: int = 100
    learning_rate: float = 0.1
    subsample: float = 1.0
    validation_fraction: float = 0.1
    n_jobs: int | None = None
    random_state: Any = None

    # -- what a method says ----------------------------------------------------------------------------------

    def _loss(self) -> Loss:
        """Return the loss that the parameters and the classes ask for."""
        raise NotImplementedError

    def _first_margins(self, loss: Loss, rows: Rows) -> Array:
        """Return the margins that the first round starts from."""
        return loss.initial(rows.target, rows.weight)

    def _grower(self, rows: Rows, rng: np.random.Generator) -> GrowRound:
        """Return what grows the trees of a round, after making what all rounds share, such as the bins."""
        raise NotImplementedError

    def _score(self, loss: Loss, rows: Rows) -> float:
        """Return the mean loss of rows, as it is reported."""
        return loss.value(rows.target, rows.margins, rows.weight)

    def _after_round(self, loss: Loss, rows: Rows, buffer: Array) -> Derivatives | None:
        """Note what the method wants to know of its training rows.

        Return the derivatives that the next round starts from, if the same pass gave them.
        """

    def _stalled(self, scores: list[float]) -> bool:
        """Whether these losses of the held-out rows say that no more rounds are needed."""
        raise NotImplementedError

    def _kept_rounds(self, scores: list[float]) -> int:
        """Return how many rounds the model keeps of those that were run."""
        return len(scores)

    # -- rounds ----------------------------------------------------------------------------------------------

    def _check_boosting(self) -> None:
        self._require("n_estimators", is_int(self.n_estimators, 1), "an int of at least 1")
        self._require("learning_rate", is_real(self.learning_rate, 0), "a number of at least 0")
        self._require("subsample", is_real(self.subsample, 0, 1) and self.subsample > 0, "a number in (0, 1]")
        inside = is_real(self.validation_fraction, 0, 1) and 0 < self.validation_fraction < 1
        self._require("validation_fraction", inside, "a number in (0, 1)")

    def _part(self, rows: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Return training rows and held-out rows, each with its share of every class."""
        labels = rows.target if hasattr(self, "classes_") else None
        train, held = hold_out(labels, len(rows.target), self.validation_fraction, rng)
        return rows.take(train), rows.take(held)

    def _boost(
        self, rows: Rows, held: Rows | None, monitor: Monitor | None, rng: np.random.Generator
    ) -> None:
        """Run the rounds, and set what they learn.

        Args:
            rows: what the trees are grown on.
            held: rows that judge the rounds; None if no one does.
            monitor: called after each round with how many there were, and the estimator, which can predict;
                True stops.
            rng: the source of everything random.
        """
        loss = self._loss()
        self.base_score_ = self._first_margins(loss, rows)
        for part in (rows,) if held is None else (rows, held):
            part.margins = np.repeat(self.base_score_[:, None], len(part.target), axis=1)
        grow_round = self._grower(rows, rng)
        trees: list[Tree] = []
        scores: list[float] = []
        buffer = np.empty((2, *rows.margins.shape))
        derivatives = None
        for turn in range(self.n_estimators):
            if derivatives is None:
                loss = loss.settled(rows.target, rows.margins, rows.weight)
                derivatives = loss.derivatives(rows.target, rows.margins, rows.weight, buffer)
            gradient, hessian = derivatives
            if gradient.flat[0] == 0 and not gradient.any():
                break  # nothing is left to learn
            for output, grown in enumerate(grow_round(loss, gradient, hessian)):
                trees.append(grown.tree)
                slopes.step(rows.margins[output], grown.leaf, grown.tree.value[:, 0])
                if held is not None:
                    held.margins[output] += grown.tree.predict(held.table)[:, 0]
            derivatives = self._after_round(loss, rows, buffer)
            scores.append(np.nan if held is None else self._score(loss, held))
            if monitor is not None:
                self._keep(trees)
                if monitor(turn + 1, self):
                    break
            if held is not None and self._stalled(scores):
                break
        self._keep(trees[: self._kept_rounds(scores) * loss.num_outputs])
        self.ensemble_.pack()
        if held is not None:
            self.validation_score_ = np.array(scores)

    def _keep(self, trees: list[Tree]) -> None:
        self.n_estimators_ = len(trees) // len(self.base_score_)
        self.ensemble_ = Ensemble(trees, self.schema_)

    # -- predictions -----------------------------------------------------------------------------------------

    def _margins(self, X: Any) -> Array:
        """Return the margins ``[outputs, n]``."""
        table = self._read(X)
        groups = len(self.base_score_)
        sums = self.ensemble_.sum(table, groups=groups, threads=num_threads(self.n_jobs))
        return self.base_score_[:, None] + sums.T

    def _staged_margins(self, X: Any) -> Iterator[Array]:
        """Yield the margins ``[outputs, n]`` after every round."""
        table = self._read(X)
        for sums in self.ensemble_.staged(table, groups=len(self.base_score_)):
            yield self.base_score_[:, None] + sums.T


class BoostingRegressor(Boosting, Regressor):
    """Predictions of a number."""

    def predict(self, X: Any) -> Array:
        """Return the predicted number of each row, in the target's unit."""
        margins = self._margins(X)
        return self._loss().response(margins)

    def staged_predict(self, X: Any) -> Iterator[Array]:
        """Yield the predictions after every round."""
        for margins in self._staged_margins(X):
            yield self._loss().response(margins)


class BoostingClassifier(Boosting, Classifier):
    """Predictions of classes: two share one output, more have one each, and one alone is certain."""

    def _loss(self) -> Loss:
        return Logistic() if len(self.classes_) == 2 else Multinomial(len(self.classes_))

    def decision_function(self, X: Any) -> Array:
        """Return the margins: the log-odds of the second of two classes ``[n]``, or ``[n, classes]``."""
        margins = self._margins(X)
        return margins[0] if len(margins) == 1 else margins.T

    def staged_decision_function(self, X: Any) -> Iterator[Array]:
        """Yield the margins after every round, as ``decision_function`` returns them."""
        for margins in self._staged_margins(X):
            yield margins[0] if len(margins) == 1 else margins.T

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class, in the order of ``classes_``, for each row."""
        margins = self._margins(X)
        return self._loss().response(margins)

    def staged_predict_proba(self, X: Any) -> Iterator[Array]:
        """Yield the probabilities after every round."""
        for margins in self._staged_margins(X):
            yield self._loss().response(margins)

    def staged_predict(self, X: Any) -> Iterator[Array]:
        """Yield the most probable classes after every round."""
        for probabilities in self.staged_predict_proba(X):
            yield self.classes_[probabilities.argmax(axis=1)]
