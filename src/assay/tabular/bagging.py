"""Bagging: the average of estimators that were each fitted on a bootstrap sample.

Each member sees rows drawn with replacement, so members differ, and their average varies less than one of
them.

Reference:
    Breiman. "Bagging Predictors". Machine Learning 24(2), 1996.
    Breiman. "Out-of-bag estimation". Technical report, Berkeley 1996.
    Implements: Section 1, the aggregate of bootstrap replicates; the out-of-bag estimate; Ho 1998 (IEEE
        PAMI 20(8)), random subspaces, by ``max_features``; Breiman 1999 (Machine Learning 36), pasting,
        without ``bootstrap``.
    Departs: probabilities are averaged where members have them, instead of votes; a sample is a weight on
        each row where members accept weights.
    Verified: against averages computed member by member; out-of-bag scores of a memorising tree on random
        labels.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.data.table import Table
from assay.tabular.bootstrap import Population, content_order
from assay.tabular.cart import CART, CARTClassifier, CARTRegressor
from assay.tabular.ensemble import Ensemble
from assay.tabular.estimator import Classifier, Estimator, Regressor, normalised, r_squared, total_gain
from assay.tabular.grower import Grown
from assay.tabular.impurity import probabilities
from assay.tabular.inputs import as_generator, is_int, num_threads
from assay.tabular.learners import AnyLearner, Features, Learner, Member, TreeLearner, member_outputs

Monitor = Callable[[int, Any], bool]


@dataclass(kw_only=True, eq=False, repr=False)
class Bagging(Estimator):
    """An average of members fitted on samples of the rows; `BaggingClassifier` and the random forest
    complete it.

    Args:
        n_estimators: members, at least 1.
        bootstrap: whether rows are drawn with replacement; otherwise every member sees all rows, or
            ``max_samples`` distinct ones.
        max_samples: rows drawn for each member: a number, a share of the rows in (0, 1], or None for as
            many as there are. Rows are drawn in proportion to their weights; weights that are whole numbers
            count as repeated rows.
        oob_score: whether to set ``oob_score_``, the score on rows that members did not see, and
            ``oob_decision_function_`` or ``oob_prediction_``, NaN for rows that all members saw.
        n_jobs: threads; None is 1, -1 all. Nothing learned depends on it.
        random_state: seed of everything random.
    """

    n_estimators: int = 10
    bootstrap: bool = True
    max_samples: int | float | None = None
    oob_score: bool = False
    n_jobs: int | None = None
    random_state: int | np.random.Generator | np.random.RandomState | None = None

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, monitor: Monitor | None = None
    ) -> Self:
        """Returns the estimator with its members fitted.

        Args:
            X: features: an array, a Table, a pandas, polars or Arrow frame, or the path of a file.
            y: one class or number per row.
            sample_weight: weight of every row, at least 0; None for ones.
            monitor: called after each member with their number and the estimator; True stops with these.

        Raises:
            ValueError: a parameter or the data is not as described.
        """
        self._check()
        table, target, weight = self._begin(X, y, sample_weight)
        members, trees = self._fit_members(table, target, weight, monitor)
        self.members_: list[Member] | None = None if trees else members
        self.ensemble_ = Ensemble(members, self.schema_).pack() if trees else None
        return self

    def _fit_members(
        self,
        table: Table,
        target: NDArray[Any],
        weight: NDArray[np.float64] | None,
        monitor: Monitor | None,
    ) -> tuple[list[Any], bool]:
        """Returns the members and whether they are trees; the memory of their growth is free again."""
        rng = as_generator(self.random_state)
        learner = self._learner(table, target, weight)
        population = Population.of(content_order(table, target), weight)
        unseen = _OutOfBag(table.num_rows, self._num_classes or 1) if self.oob_score else None

        def fit_member(seed: int) -> tuple[Any, tuple[NDArray[np.int64], NDArray[np.float64]] | None]:
            own = np.random.default_rng(seed)
            drawn = self._draw(population, weight, own)
            member = learner.fit(drawn, own, self._draw_features(own))
            kept = member.tree if isinstance(member, Grown) else member
            if unseen is None:
                return kept, None
            outside = np.flatnonzero(drawn == 0)
            return kept, (outside, learner.outputs(member, outside))

        members = []
        with ThreadPoolExecutor(num_threads(self.n_jobs)) as pool:
            for fitted in pool.map(fit_member, rng.integers(2**63, size=self.n_estimators).tolist()):
                member, judged = fitted
                members.append(member)
                if unseen is not None and judged is not None:
                    unseen.add(*judged)
                if monitor is not None and monitor(len(members), self):
                    break
        if unseen is not None:
            self._keep_unseen(unseen.mean(), target)
        return members, isinstance(learner, TreeLearner)

    def _check(self) -> None:
        self._require("n_estimators", is_int(self.n_estimators, 1), "an int of at least 1")
        size = self.max_samples
        self._require(
            "max_samples",
            size is None or is_int(size, 1) or (isinstance(size, float) and 0 < size <= 1),
            "an int of at least 1, a float in (0, 1] or None",
        )
        self._require("oob_score", self.bootstrap or not self.oob_score, "False without bootstrap")

    def _learner(self, table: Table, target: NDArray[Any], weight: NDArray[np.float64] | None) -> Learner:
        """Returns what fits the members."""
        raise NotImplementedError

    def _draw_features(self, rng: np.random.Generator) -> Features:
        """Returns the columns that one member sees."""
        return None

    def _draw(
        self, population: Population, weight: NDArray[np.float64] | None, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Returns the weights of the rows for one member."""
        if self.max_samples is None and not self.bootstrap:
            return np.ones(population.num_rows) if weight is None else weight
        size = len(population)
        if isinstance(self.max_samples, float):
            size = max(1, int(self.max_samples * size))
        elif self.max_samples is not None:
            size = int(self.max_samples)
        if self.bootstrap:
            return population.draw(size, rng).astype(np.float64)
        self._require(
            "max_samples", size <= len(population), f"at most {len(population)}, the number of rows"
        )
        return population.draw_distinct(size, rng).astype(np.float64)

    def _keep_unseen(self, mean: NDArray[np.float64], target: NDArray[Any]) -> None:
        judged = ~np.isnan(mean[:, 0])
        if not judged.all():
            warnings.warn(
                f"{np.count_nonzero(~judged)} rows have no out-of-bag prediction: every member saw them. "
                "More members would leave some out.",
                UserWarning,
                stacklevel=4,
            )
        if self._classes is None:
            self.oob_prediction_ = mean[:, 0]
            self.oob_score_ = r_squared(target[judged], mean[judged, 0], np.ones(np.count_nonzero(judged)))
        else:
            self.oob_decision_function_ = mean
            self.oob_score_ = float(np.mean(mean[judged].argmax(axis=1) == target[judged]))

    def _mean(self, X: Any) -> NDArray[np.float64]:
        """Returns the average of the members' outputs: [rows, K] for classes, [rows, 1] for numbers."""
        table = self._read(X)
        if self.ensemble_ is None:
            return np.mean(list(self._outputs(table)), axis=0)
        total = self.ensemble_.sum(table, threads=num_threads(self.n_jobs))
        return self._from_trees(total / len(self.ensemble_))

    def _staged_mean(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Yields the average of the first member's outputs, of the first two, and so on."""
        table = self._read(X)
        if self.ensemble_ is None:
            totals = itertools.accumulate(self._outputs(table))
        else:
            totals = self.ensemble_.staged(table)
        for members, total in enumerate(totals, start=1):
            yield self._from_trees(total / members) if self.ensemble_ is not None else total / members

    def _outputs(self, table: Table) -> Iterator[NDArray[np.float64]]:
        for member in self.members_ or []:
            yield member_outputs(member, table, self._classes, view=self._seen_by, vote=False)

    def _from_trees(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return outputs if self._classes is None else probabilities(outputs, len(self._classes))

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Share of each feature in the decrease of impurity, averaged over trees that count equally."""
        self._check_fitted()
        if self.ensemble_ is None:
            raise AttributeError("feature_importances_ exists for trees only")
        shares = [normalised(total_gain([tree], self.n_features_in_)) for tree in self.ensemble_.trees]
        return normalised(np.sum(shares, axis=0))


class _OutOfBag:
    """For each row, the average of what the members fitted without it say."""

    def __init__(self, num_rows: int, num_outputs: int):
        self.total = np.zeros((num_rows, num_outputs))
        self.members = np.zeros(num_rows)

    def add(self, rows: NDArray[np.int64], outputs: NDArray[np.float64]) -> None:
        """Adds what one member says of the rows it did not see."""
        self.total[rows] += outputs
        self.members[rows] += 1

    def mean(self) -> NDArray[np.float64]:
        """Returns the averages, [rows, outputs], NaN where no member was without the row."""
        with np.errstate(invalid="ignore"):
            return self.total / self.members[:, None]


@dataclass(kw_only=True, eq=False, repr=False)
class BaggingOfAny(Bagging):
    """Bagging of any estimator.

    Args:
        estimator: what to fit, of this or any library with scikit-learn's interface; None for CART. It is
            cloned, and its ``random_state`` is set for every member.
        max_features: columns each member sees: a number, or a share in (0, 1].
        bootstrap_features: whether columns are drawn with replacement; one that is drawn twice is seen once.
    """

    estimator: Any = None
    max_features: int | float = 1.0
    bootstrap_features: bool = False

    def _check(self) -> None:
        super()._check()
        share = isinstance(self.max_features, float) and 0 < self.max_features <= 1
        expected = "an int of at least 1 or a float in (0, 1]"
        self._require("max_features", share or is_int(self.max_features, 1), expected)

    def _learner(self, table: Table, target: NDArray[Any], weight: NDArray[np.float64] | None) -> Learner:
        base = self.estimator
        if base is None:
            base = CARTRegressor() if self._classes is None else CARTClassifier()
        if isinstance(base, CART):
            return TreeLearner(base, table, target, self._classes, weight=weight, wide=False)
        return AnyLearner(base, table, target, self._classes, view=self._seen_by, vote=False)

    def _draw_features(self, rng: np.random.Generator) -> Features:
        total = self.n_features_in_
        share = self.max_features
        size = max(1, int(share * total)) if isinstance(share, float) else int(share)
        self._require("max_features", size <= total, f"at most {total}, the number of features")
        if size == total and not self.bootstrap_features:
            return None
        return np.unique(rng.choice(total, size=size, replace=self.bootstrap_features))


@dataclass(kw_only=True, eq=False, repr=False)
class BaggingClassifier(Classifier, BaggingOfAny):
    """Bagging for classes: the average of the members' probabilities, or votes where they have none.

    The parameters are those of `Bagging` and `BaggingOfAny`.
    """

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Returns the average of the members' class probabilities."""
        return self._mean(X)

    def staged_predict_proba(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Yields the probabilities of the first member, of the first two, and so on."""
        yield from self._staged_mean(X)


@dataclass(kw_only=True, eq=False, repr=False)
class BaggingRegressor(Regressor, BaggingOfAny):
    """Bagging for numbers: the average of the members' predictions.

    The parameters are those of `Bagging` and `BaggingOfAny`.
    """

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Returns the average of the members' predictions."""
        return self._mean(X)[:, 0]

    def staged_predict(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Yields the predictions of the first member, of the first two, and so on."""
        for mean in self._staged_mean(X):
            yield mean[:, 0]
