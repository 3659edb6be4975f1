"""AdaBoost: each learner attends to what the ones before got wrong, and all of them vote.

Rows that a learner gets wrong weigh more for the next one. A learner's vote weighs more the smaller its
weighted error is.

Reference:
    Freund, Schapire. "A Decision-Theoretic Generalization of On-Line Learning and an Application to
    Boosting".
        JCSS 55(1), 1997.
    Zhu, Zou, Rosset, Hastie. "Multi-class AdaBoost". Statistics and Its Interface 2(3), 2009.
    Drucker. "Improving Regressors using Boosting Techniques". ICML 1997.
    Implements: SAMME (Zhu et al., Algorithm 2), which for two classes is AdaBoost.M1 with twice its vote;
        fitted to weighted rows, or to rows drawn by their weights (Freund and Schapire's Section 3.1 has
        both); AdaBoost.R2.
    Departs: learning_rate shrinks votes. A learner without error votes with weight 1 and is the last; one
        that is not better than chance ends the rounds, and is kept only if it is the first. Weights are
        kept above 2^-52 of the total. From 10,000 rows on, trees of two classes see them in 15 bits unless
        they are very uneven; errors and votes come from the exact weights.
    Omits: SAMME.R, AdaBoost.M2.
    Verified: against scikit-learn's staged predictions, 1e-6; the exponential bound at every round.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.data.table import Table
from assay.tabular.bootstrap import Population, content_order
from assay.tabular.cart import CART, CARTClassifier, CARTRegressor
from assay.tabular.ensemble import Ensemble
from assay.tabular.estimator import Classifier, Estimator, Regressor, normalised, total_gain
from assay.tabular.grower import Grown
from assay.tabular.impurity import probabilities
from assay.tabular.inputs import as_generator, is_int, is_real
from assay.tabular.learners import AnyLearner, Learner, Member, TreeLearner, member_outputs
from assay.tabular.reweighting import missed_weight, raise_missed
from assay.tabular.tree import Tree

Monitor = Callable[[int, Any], bool]
Draw = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]
LEAST_WEIGHT = 2.0**-52  # of the total; a row of less would vanish
LARGEST_EXPONENT = 700.0  # so that raised weights stay finite
ROWS_AT_ONCE = 1 << 16  # A median needs all members' predictions of a row in memory.


class Judgement(NamedTuple):
    """What a round says of its learner: weighted error, vote (0 if no better than chance), next weights."""

    error: float
    vote: float
    distribution: NDArray[np.float64] | None  # None after the last round.


def samme(
    missed: NDArray[np.bool_], distribution: NDArray[np.float64], num_classes: int, learning_rate: float
) -> Judgement:
    """Returns the judgement on a classifier, Zhu et al. Algorithm 2.

    Args:
        missed: whether it gets each row wrong.
        distribution: weight of each row; they sum to one. The next weights take their place.
        num_classes: K, at least 1.
        learning_rate: factor of the vote, above 0.
    """
    error = missed_weight(missed, distribution)  # (b)
    if error <= 0:
        return Judgement(0.0, 1.0, None)
    if error >= 1 - 1 / num_classes:
        return Judgement(error, 0.0, None)
    vote = learning_rate * (math.log((1 - error) / error) + math.log(num_classes - 1))  # (c)
    raise_missed(missed, math.exp(min(vote, LARGEST_EXPONENT)), LEAST_WEIGHT, distribution)  # (d), (e)
    return Judgement(error, vote, distribution)


Loss = Literal["linear", "square", "exponential"]


def drucker(
    deviation: NDArray[np.float64], distribution: NDArray[np.float64], loss: Loss, learning_rate: float
) -> Judgement:
    """Returns the judgement on a regressor, Drucker's steps 4 to 8.

    Args:
        deviation: absolute error on each row, in the target's unit.
        distribution: weight of each row; they sum to one.
        loss: of the deviation over the largest one: d, d^2 or 1 - exp(-d).
        learning_rate: factor of the vote, above 0.
    """
    largest = deviation[distribution > 0].max()
    relative = deviation / largest if largest > 0 else deviation
    losses = {"linear": relative, "square": relative**2, "exponential": 1 - np.exp(-relative)}[loss]
    error = float(distribution @ losses)
    if error <= 0:
        return Judgement(0.0, 1.0, None)
    if error >= 0.5:
        return Judgement(error, 0.0, None)
    beta = error / (1 - error)
    lowered = distribution * beta ** (learning_rate * (1 - losses))
    kept = _kept(lowered / lowered.sum(), distribution > 0)
    return Judgement(error, learning_rate * float(np.log(1 / beta)), kept)


def _kept(distribution: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the weights, in place, after raising those of positive rows that would vanish."""
    return np.maximum(distribution, LEAST_WEIGHT, out=distribution, where=positive)


def weighted_median(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns for each row the smallest value at which at least half the weight is reached.

    Args:
        values: [rows, members].
        weight: [members], not all zero.
    """
    order = values.argsort(axis=1, kind="stable")
    reached = weight[order].cumsum(axis=1)
    middle = (reached >= 0.5 * reached[:, -1:]).argmax(axis=1)
    rows = np.arange(len(values))
    return values[rows, order[rows, middle]]


@dataclass(kw_only=True, eq=False, repr=False)
class AdaBoost(Estimator):
    """The rounds of AdaBoost; `AdaBoostClassifier` and `AdaBoostRegressor` complete them.

    Args:
        estimator: the weak learner, of this or any library with scikit-learn's interface; it is cloned, and
            its ``random_state`` is set for every round.
        n_estimators: rounds at most, at least 1.
        learning_rate: factor of every vote, above 0.
        resample: whether learners are fitted to rows drawn by their weights, anew in every round, instead
            of to weighted rows.
        random_state: seed of everything random.
    """

    estimator: Any = None
    n_estimators: int = 50
    learning_rate: float = 1.0
    resample: bool = False
    random_state: int | np.random.Generator | np.random.RandomState | None = None

    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, monitor: Monitor | None = None
    ) -> Self:
        """Returns the estimator after its rounds, which end early by the rules above.

        Args:
            X: features: an array, a Table, a pandas, polars or Arrow frame, or the path of a file.
            y: one class or number per row.
            sample_weight: where the weights of the rows start from, at least 0; None for ones.
            monitor: called after each round with its number and the estimator; True stops.

        Raises:
            ValueError: a parameter or the data is not as described, or the learner takes no weights and
                ``resample`` is False.
        """
        self._check()
        table, target, given = self._begin(X, y, sample_weight)
        rng = as_generator(self.random_state)
        learner = self._learner(table, target, given)
        draw = self._drawing(table, target, given) if self.resample else None
        distribution = np.ones(len(target)) if given is None else given
        distribution = _kept(distribution / distribution.sum(), distribution > 0)
        members, judgements = [], []
        for _ in range(self.n_estimators):
            own = np.random.default_rng(int(rng.integers(2**63)))
            member = learner.fit(distribution if draw is None else draw(distribution, own), own)
            judgement = self._judge(learner.predict(member), target, distribution)
            if judgement.vote == 0 and members:
                break
            members.append(member.tree if isinstance(member, Grown) else member)
            judgements.append(judgement._replace(vote=judgement.vote or 1.0))
            if judgement.distribution is None or (monitor is not None and monitor(len(members), self)):
                break
            distribution = judgement.distribution
        self.estimator_errors_ = np.array([judgement.error for judgement in judgements])
        self.estimator_weights_ = np.array([judgement.vote for judgement in judgements])
        trees = isinstance(learner, TreeLearner)
        del learner, draw  # codes and rows to draw from, before the packed trees take memory
        self.members_: list[Member] | None = None if trees else members
        self.ensemble_ = Ensemble(self._voting(members), self.schema_).pack() if trees else None
        return self

    def _check(self) -> None:
        self._require("n_estimators", is_int(self.n_estimators, 1), "an int of at least 1")
        rate = self.learning_rate
        self._require("learning_rate", is_real(rate, 0) and 0 < rate < np.inf, "a number above 0")

    def _learner(self, table: Table, target: NDArray[Any], weight: NDArray[np.float64] | None) -> Learner:
        base = self._default() if self.estimator is None else self.estimator
        if isinstance(base, CART):
            return TreeLearner(base, table, target, self._classes, weight=weight, wide=False)
        learner = AnyLearner(base, table, target, self._classes, view=self._seen_by, vote=True)
        self._require(
            "resample", self.resample or learner.takes_weights, f"True for {base!r}, without weights"
        )
        return learner

    def _drawing(self, table: Table, target: NDArray[Any], given: NDArray[np.float64] | None) -> Draw:
        """Returns what draws as many rows as there are by a distribution over them."""
        order = content_order(table, target)
        size = len(Population.of(order, given))
        return lambda distribution, rng: Population.of(order, distribution).draw(size, rng).astype(np.float64)

    def _default(self) -> CART:
        """Returns the weak learner that is used if none is given."""
        raise NotImplementedError

    def _judge(
        self, predicted: NDArray[Any], target: NDArray[Any], distribution: NDArray[np.float64]
    ) -> Judgement:
        """Returns the judgement on a learner that predicts these class codes or numbers."""
        raise NotImplementedError

    def _voting(self, members: list[Tree]) -> list[Tree]:
        """Returns the trees to keep."""
        return members

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Share of each feature in the decrease of impurity, averaged over the trees by their votes."""
        self._check_fitted()
        if self.ensemble_ is None:
            raise AttributeError("feature_importances_ exists for trees only")
        shares = [normalised(total_gain([tree], self.n_features_in_)) for tree in self.ensemble_.trees]
        return normalised(self.estimator_weights_ @ np.array(shares))

    def _outputs(self, table: Table) -> Iterator[NDArray[np.float64]]:
        for member in self.members_ or []:
            yield member_outputs(member, table, self._classes, view=self._seen_by, vote=True)


@dataclass(kw_only=True, eq=False, repr=False)
class AdaBoostClassifier(Classifier, AdaBoost):
    """AdaBoost for classes, SAMME.

    The weak learner is by default a tree with one split, on 255 bins and between two groups of categories.
    The parameters are those of `AdaBoost`.
    """

    def _default(self) -> CART:
        return CARTClassifier(max_depth=1, max_bins=255, max_cat_to_onehot=1)

    def _judge(
        self, predicted: NDArray[Any], target: NDArray[Any], distribution: NDArray[np.float64]
    ) -> Judgement:
        return samme(predicted != target, distribution, len(self.classes_), self.learning_rate)

    def _voting(self, members: list[Tree]) -> list[Tree]:
        votes = zip(members, self.estimator_weights_, strict=True)
        return [tree.with_values(vote * self._ballot(tree.value)) for tree, vote in votes]

    def _ballot(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns 1 for the chosen class and -1 / (K - 1) for others; of two classes the second's alone."""
        num_classes = len(self.classes_)
        if outputs.shape[1] < num_classes:
            outputs = probabilities(outputs, num_classes)
        chosen = outputs.argmax(axis=1)[:, None] == np.arange(num_classes)
        ballot = np.where(chosen, 1.0, -1.0 / max(num_classes - 1, 1))
        return ballot[:, 1:] if num_classes == 2 else ballot

    def _votes(self, X: Any) -> NDArray[np.float64]:
        """Returns the sum of the votes: [rows, K], or [rows, 1] for two classes."""
        table = self._read(X)
        if self.ensemble_ is not None:
            return self.ensemble_.sum(table)
        *_, votes = self._accumulated(table)
        return votes

    def _staged_votes(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Yields the sum of the votes after each round."""
        table = self._read(X)
        yield from self._accumulated(table) if self.ensemble_ is None else self.ensemble_.staged(table)

    def _accumulated(self, table: Table) -> Iterator[NDArray[np.float64]]:
        votes = zip(self._outputs(table), self.estimator_weights_, strict=True)
        return itertools.accumulate(self._ballot(outputs) * vote for outputs, vote in votes)

    def _decision(self, votes: NDArray[np.float64], rounds: int) -> NDArray[np.float64]:
        share = votes / self.estimator_weights_[:rounds].sum()
        return 2 * share[:, 0] if len(self.classes_) == 2 else share

    def _probabilities(self, votes: NDArray[np.float64]) -> NDArray[np.float64]:
        # Zhu et al. Eq. (15) with f = (K - 1)^2 / K times the votes, as their Lemma 1 has it.
        num_classes = len(self.classes_)
        votes = np.column_stack([-votes, votes]) if num_classes == 2 else votes
        scaled = (num_classes - 1) / num_classes * votes
        raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Returns the votes over their total.

        They are [rows, K] in [-1 / (K - 1), 1], or for two classes [rows] in [-2, 2], positive for the
        second.
        """
        return self._decision(self._votes(X), len(self.estimator_weights_))

    def staged_decision_function(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Yields the decision function after each round."""
        for rounds, votes in enumerate(self._staged_votes(X), start=1):
            yield self._decision(votes, rounds)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Returns the class probabilities that the votes, as an additive logistic model, stand for.

        scikit-learn takes the votes' share instead of their sum, which leaves two classes between 0.12 and
        0.88
        however sure the learners are: on the adult census a log-loss of 0.50 after 50 stumps instead of 0.31.
        """
        return self._probabilities(self._votes(X))

    def staged_predict_proba(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Yields the class probabilities after each round."""
        for votes in self._staged_votes(X):
            yield self._probabilities(votes)

    def staged_predict(self, X: Any) -> Iterator[NDArray[Any]]:
        """Yields the predicted classes after each round."""
        for probability in self.staged_predict_proba(X):
            yield self.classes_[probability.argmax(axis=1)]


@dataclass(kw_only=True, eq=False, repr=False)
class AdaBoostRegressor(Regressor, AdaBoost):
    """AdaBoost for numbers, AdaBoost.R2. The weak learner is by default a tree of depth 3 on 255 bins.

    Args:
        loss: "linear", "square" or "exponential", of a row's error over the largest one.
        resample: as in `AdaBoost`; Drucker draws rows, so does the default.

    The other parameters are those of `AdaBoost`.
    """

    loss: Loss = "linear"
    resample: bool = True

    def _check(self) -> None:
        super()._check()
        losses = ("linear", "square", "exponential")
        self._require("loss", self.loss in losses, f"one of {losses}")

    def _default(self) -> CART:
        return CARTRegressor(max_depth=3, max_bins=255)

    def _judge(
        self, predicted: NDArray[Any], target: NDArray[Any], distribution: NDArray[np.float64]
    ) -> Judgement:
        return drucker(np.abs(predicted - target), distribution, self.loss, self.learning_rate)

    def _values(self, table: Table) -> NDArray[np.float64]:
        """Returns what every member predicts, [rows, members]."""
        if self.ensemble_ is None:
            return np.hstack(list(self._outputs(table)))
        leaves = self.ensemble_.leaves(table)
        values = [tree.value[leaf, 0] for tree, leaf in zip(self.ensemble_.trees, leaves.T, strict=True)]
        return np.stack(values, axis=1)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Returns the median of the members' predictions, weighted by their votes."""
        table = self._read(X)
        parts = [
            weighted_median(self._values(table.take(rows)), self.estimator_weights_)
            for rows in np.array_split(np.arange(table.num_rows), 1 + table.num_rows // ROWS_AT_ONCE)
        ]
        return np.concatenate(parts)

    def staged_predict(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Yields the predictions after each round."""
        values = self._values(self._read(X))
        for rounds in range(1, values.shape[1] + 1):
            yield weighted_median(values[:, :rounds], self.estimator_weights_[:rounds])
