"""Random forest: bagged trees that look at a random few of the features at every split.

The few features keep trees from all making the same first splits, so their errors agree less and the average
is better than that of bagged trees.

Reference:
    Breiman. "Random Forests". Machine Learning 45(1), 2001.
    Geurts, Ernst, Wehenkel. "Extremely randomized trees". Machine Learning 63(1), 2006.
    Chen, Liaw, Breiman. "Using Random Forest to Learn Imbalanced Data". Technical report 666, Berkeley 2004.
    Implements: Breiman's Forest-RI (Section 4) and out-of-bag estimates (Section 3.1); with
        splitter="random" the random cut-points of Geurts et al.; class weights of Chen et al. in the split
        criterion and the leaves.
    Departs: leaf distributions are averaged, where Breiman's trees vote; a bootstrap sample is a weight on
        each row.
    Omits: linear combinations of features (Forest-RC), proximities, permutation importances.
    Verified: against scikit-learn's forests at matched settings (AUC, R^2, log-loss), and tree by tree
        averages.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay.data.table import Table
from assay.tabular.bagging import Bagging
from assay.tabular.estimator import Classifier, Regressor
from assay.tabular.impurity import ClassWeight, ImpurityTree
from assay.tabular.learners import Learner, TreeLearner


@dataclass(kw_only=True, eq=False, repr=False)
class RandomForest(Bagging, ImpurityTree):
    """Bagged impurity trees; `RandomForestClassifier` and `RandomForestRegressor` complete it.

    Args:
        n_estimators: trees, at least 1.
        max_bins: 255 groups of neighbouring values per feature by default; None for all values, which in
            small tables is the same.

    The other parameters are those of `Bagging` and `ImpurityTree`.
    """

    n_estimators: int = 100
    max_bins: int | None = 255

    def _check(self) -> None:
        super()._check()
        self._check_tree()

    def _learner(self, table: Table, target: NDArray[Any], weight: NDArray[np.float64] | None) -> Learner:
        return TreeLearner(self, table, target, self._classes, weight=weight, wide=False)


@dataclass(kw_only=True, eq=False, repr=False)
class RandomForestClassifier(Classifier, RandomForest):
    """A random forest for classes.

    Args:
        criterion: "gini" or "entropy" (bits).
        max_features: features looked at in each split; their square root by default, as Breiman's.
        class_weight: weights by class; "balanced" gives every class the same total, "balanced_subsample" in
            every bootstrap sample; None for ones.

    The other parameters are those of `RandomForest`, `Bagging` and `ImpurityTree`.
    """

    criterion: Literal["gini", "entropy"] = "gini"
    max_features: int | float | Literal["sqrt", "log2"] | None = "sqrt"
    class_weight: ClassWeight = None

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Returns the average of the trees' class probabilities."""
        return self._mean(X)

    def staged_predict_proba(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Yields the probabilities of the first tree, of the first two, and so on."""
        yield from self._staged_mean(X)


@dataclass(kw_only=True, eq=False, repr=False)
class RandomForestRegressor(Regressor, RandomForest):
    """A random forest for numbers.

    Args:
        criterion: "squared_error".
        max_features: features looked at in each split; all by default, as scikit-learn's.

    The other parameters are those of `RandomForest`, `Bagging` and `ImpurityTree`.
    """

    criterion: Literal["squared_error"] = "squared_error"

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Returns the average of the trees' predictions."""
        return self._mean(X)[:, 0]

    def staged_predict(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Yields the predictions of the first tree, of the first two, and so on."""
        for mean in self._staged_mean(X):
            yield mean[:, 0]
