"""Learners: what fits the members of a committee, again and again, on one table under changing weights.

Bagging, the random forest and AdaBoost differ in the weights they give and in how they combine members.
CART trees share one encoding of the table and predict as one ensemble; members of any other kind are cloned
and fitted.
"""

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.data.table import Table
from assay.tabular.estimator import clone
from assay.tabular.grower import Grown
from assay.tabular.impurity import ImpurityTree, probabilities
from assay.tabular.pruning import prune

Features = NDArray[np.int64] | None  # Columns that a member sees; None for all.
Member = tuple[Any, Features]  # A fitted estimator that is no tree of ours, and its columns.
View = Callable[[Any, Table], Any]  # A table as an estimator takes it.

SMALL = 10_000  # Rows below which exact sums cost nothing worth having.


class Learner(Protocol):
    """Fits members and says what they predict for training rows."""

    def fit(self, weight: NDArray[np.float64], rng: np.random.Generator, features: Features = None) -> Any:
        """Returns a member fitted to the training rows under these weights."""
        ...

    def outputs(self, member: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns what a member says of some training rows: [rows, K] for classes, [rows, 1] for numbers."""
        ...

    def predict(self, member: Any) -> NDArray[Any]:
        """Returns the class code or the number that a member predicts for each training row."""
        ...


class TreeLearner:
    """Grows impurity trees on codes that are made once.

    Args:
        tree: the parameters of the trees.
        table: the training rows.
        target: class codes or numbers.
        classes: the labels of the codes; None for numbers.
        weight: of the rows, for the bins; None for ones.
        wide: whether splits are searched with sums finer than 15 bits per row; they always are in small
            tables.
    """

    def __init__(
        self,
        tree: ImpurityTree,
        table: Table,
        target: NDArray[Any],
        classes: NDArray[Any] | None,
        *,
        weight: NDArray[np.float64] | None,
        wide: bool,
    ):
        self.tree, self.table, self.target, self.classes = tree, table, target, classes
        self.wide = wide or table.num_rows < SMALL
        self.num_classes = None if classes is None else len(classes)
        self.codes = tree._encode(table, weight)

    def fit(self, weight: NDArray[np.float64], rng: np.random.Generator, features: Features = None) -> Grown:
        """Returns a tree, and the leaf of each row it was grown on."""
        weights = self.tree._row_weights(self.target, weight, self.classes)
        seed = int(rng.integers(2**63))
        grown = self.tree._grow(
            self.codes, self.target, self.num_classes, weights, seed=seed, features=features, wide=self.wide
        )
        if self.tree.ccp_alpha == 0:
            return grown
        pruned = prune(grown.tree, self.tree.ccp_alpha * grown.tree.weight[0])
        return Grown(pruned, pruned.apply(self.table))

    def outputs(self, member: Grown, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns class probabilities [rows, K] or means [rows, 1]."""
        leaf = member.leaf[rows]
        outside = np.flatnonzero(leaf < 0)
        if len(outside):
            leaf[outside] = member.tree.apply(self.table.take(rows[outside]))
        return self._said(member)[leaf]

    def predict(self, member: Grown) -> NDArray[Any]:
        """Returns the class code or the mean of each training row's leaf."""
        said = self._said(member)
        by_node = said[:, 0] if self.num_classes is None else said.argmax(axis=1).astype(np.int32)
        leaf = member.leaf
        if not member.is_complete:  # Some rows have no weight.
            leaf = np.where(leaf < 0, member.tree.apply(self.table), leaf)
        return by_node.take(leaf)

    def _said(self, member: Grown) -> NDArray[np.float64]:
        value = member.tree.value
        return value if self.num_classes is None else probabilities(value, self.num_classes)


class AnyLearner:
    """Fits clones of an estimator of any library.

    Args:
        estimator: what to clone.
        table: the training rows.
        target: class codes or numbers.
        classes: the labels of the codes; None for numbers.
        view: a table as the estimator takes it.
        vote: whether members say one class, even where they know probabilities.
    """

    def __init__(
        self,
        estimator: Any,
        table: Table,
        target: NDArray[Any],
        classes: NDArray[Any] | None,
        *,
        view: View,
        vote: bool,
    ):
        self.estimator, self.table, self.classes, self.view, self.vote = estimator, table, classes, view, vote
        self.labels = target if classes is None else classes[target]
        self.takes_weights = "sample_weight" in inspect.signature(estimator.fit).parameters

    def fit(self, weight: NDArray[np.float64], rng: np.random.Generator, features: Features = None) -> Member:
        """Returns a fitted clone; if it takes no weights it sees each row as often as its weight says."""
        estimator = clone(self.estimator)
        seeds = [name for name in estimator.get_params() if name.rpartition("__")[2] == "random_state"]
        estimator.set_params(**{name: int(rng.integers(2**31)) for name in seeds})
        table = select(self.table, features)
        if self.takes_weights:
            # A copy, since the estimator may keep it, and the next weights may take their place.
            estimator.fit(self.view(estimator, table), self.labels, sample_weight=weight.copy())
        else:
            rows = np.repeat(np.arange(len(weight)), weight.astype(np.int64))
            estimator.fit(self.view(estimator, table.take(rows)), self.labels[rows])
        return estimator, features

    def outputs(self, member: Member, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns class probabilities or votes [rows, K], or numbers [rows, 1]."""
        return member_outputs(member, self.table.take(rows), self.classes, view=self.view, vote=self.vote)

    def predict(self, member: Member) -> NDArray[Any]:
        """Returns the class code or the number that a member predicts for each training row."""
        outputs = self.outputs(member, np.arange(self.table.num_rows))
        return outputs[:, 0] if self.classes is None else outputs.argmax(axis=1)


def select(table: Table, features: Features) -> Table:
    """Returns the table with only some of its columns."""
    return table if features is None else table.select([table.names[index] for index in features])


def member_outputs(
    member: Member, table: Table, classes: NDArray[Any] | None, *, view: View, vote: bool
) -> NDArray[np.float64]:
    """Returns what a member says of rows: class probabilities, one-hot votes, or numbers in one column."""
    estimator, features = member
    X = view(estimator, select(table, features))
    if classes is None:
        return np.asarray(estimator.predict(X), dtype=np.float64).reshape(-1, 1)
    outputs = np.zeros((table.num_rows, len(classes)))
    if hasattr(estimator, "predict_proba") and not vote:
        outputs[:, np.searchsorted(classes, estimator.classes_)] = estimator.predict_proba(X)
    else:
        outputs[np.arange(table.num_rows), np.searchsorted(classes, estimator.predict(X))] = 1.0
    return outputs
