"""CART: one decision tree, grown by always making the split that decreases impurity most.

A node is split in two on one feature, again and again, until it is pure or a limit stops it; a leaf
predicts the class distribution, or the mean, of the training rows in it.

Reference:
    Breiman, Friedman, Olshen, Stone. "Classification and Regression Trees". Wadsworth 1984.
    Implements: splits by decrease of impurity i(t) - p_L i(L) - p_R i(R) with the Gini index, the entropy in
        bits (chapters 2 and 4) or the squared error (chapter 8); pruning (chapter 3, `pruning.py`).
    Departs: missing values go to the side that decreases impurity more, instead of by surrogate splits.
        Categories are split one against the rest unless ``max_cat_to_onehot`` asks for two groups.
    Omits: splits on linear combinations, twoing, costs other than weights of classes.
    Verified: split by split against scikit-learn's `DecisionTree*` and a naive search over all splits, 1e-10.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.data.table import Schema
from assay.tabular.ensemble import Ensemble
from assay.tabular.estimator import Classifier, Regressor, normalised, total_gain
from assay.tabular.impurity import ClassWeight, ImpurityTree, impurity, probabilities
from assay.tabular.inputs import as_generator
from assay.tabular.pruning import prune, weakest_links
from assay.tabular.tree import Tree


class PruningPath(NamedTuple):
    """The nested subtrees of a tree: from ``ccp_alphas[i]`` on, the leaves' impurity is ``impurities[i]``."""

    ccp_alphas: NDArray[np.float64]
    impurities: NDArray[np.float64]


@dataclass(kw_only=True, eq=False, repr=False)
class CART(ImpurityTree):
    """One impurity tree; `CARTClassifier` and `CARTRegressor` complete it."""

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Returns the estimator with its tree grown, and pruned by ``ccp_alpha``.

        Args:
            X: features: an array, a Table, a pandas, polars or Arrow frame, or the path of a file.
            y: one class or number per row.
            sample_weight: weight of every row, at least 0; None for ones. Weight 2 is a repeated row.

        Raises:
            ValueError: a parameter or the data is not as described.
        """
        tree = self._full_tree(X, y, sample_weight)[0]
        if self.ccp_alpha > 0:
            tree = prune(tree, self.ccp_alpha * tree.weight[0])
        self.ensemble_ = Ensemble([tree], self.schema_).pack()
        return self

    def cost_complexity_pruning_path(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None
    ) -> PruningPath:
        """Returns the alphas at which branches collapse, 0 first, and the impurity of the leaves from each
        on.

        The arguments are those of `fit`; the estimator is not changed.
        """
        fresh = type(self)(**self.get_params(deep=False))
        tree, target, weight = fresh._full_tree(X, y, sample_weight)
        _, alphas, losses = weakest_links(tree)
        root, total = impurity(target, weight, self.criterion), tree.weight[0]
        remaining = root - (tree.gain.sum() - np.cumsum([0.0, *losses])) / total
        return PruningPath(np.array([0.0, *alphas / total]), remaining)

    def _full_tree(
        self, X: Any, y: Any, sample_weight: ArrayLike | None
    ) -> tuple[Tree, NDArray[Any], NDArray[np.float64] | None]:
        """Returns the tree before pruning, the encoded target and the weight of every row, None for ones."""
        self._check_tree()
        table, target, given = self._begin(X, y, sample_weight)
        weight = self._row_weights(target, given, self._classes)
        codes = self._encode(table, weight)
        seed = int(as_generator(self.random_state).integers(2**63))
        return (
            self._grow(codes, target, self._num_classes, weight, seed=seed, alone=True).tree,
            target,
            weight,
        )

    @property
    def tree_(self) -> Tree:
        """The tree."""
        self._check_fitted()
        return self.ensemble_.trees[0]

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Share of each feature in the decrease of impurity; sums to one unless the tree is one leaf."""
        return normalised(total_gain([self.tree_], self.n_features_in_))

    def get_depth(self) -> int:
        """Returns the number of splits on the longest path from root to leaf."""
        return self.tree_.depth

    def get_n_leaves(self) -> int:
        """Returns the number of leaves."""
        return self.tree_.num_leaves

    def apply(self, X: Any) -> NDArray[np.int32]:
        """Returns the node index of the leaf each row ends in."""
        table = self._read(X)
        return self.ensemble_.leaves(table)[:, 0]

    def export_text(self, decimals: int = 2) -> str:
        """Returns the tree as indented rules, one line per branch and leaf.

        Args:
            decimals: digits after the point of thresholds, probabilities and values.
        """
        lines: list[str] = []
        pending = [(0, "")]
        while pending:
            node, rule = pending.pop()
            depth = int(self.tree_.depths[node])
            if rule:
                lines.append("|   " * (depth - 1) + "|--- " + rule)
            if self.tree_.feature[node] < 0:
                lines.append("|   " * depth + "|--- " + self._leaf_text(node, decimals))
                continue
            left, right = _rules(self.tree_, node, self.schema_, decimals)
            child = int(self.tree_.left[node])
            pending += [(child + 1, right), (child, left)]
        return "\n".join(lines) + "\n"

    def _leaf_text(self, node: int, decimals: int) -> str:
        raise NotImplementedError


def _rules(tree: Tree, node: int, schema: Schema, decimals: int) -> tuple[str, str]:
    """Returns the conditions of the left and of the right branch."""
    field = schema[tree.feature[node]]
    if field.kind == "category":
        names = ", ".join(field.categories[code] for code in tree.categories_left(node))
        rules = [f"{field.name} in {{{names}}}", f"{field.name} not in {{{names}}}"]
    else:
        rules = [f"{field.name} {sign} {tree.threshold[node]:.{decimals}f}" for sign in ("<=", "> ")]
    rules[0 if tree.missing_left[node] else 1] += " or missing"
    return rules[0], rules[1]


@dataclass(kw_only=True, eq=False, repr=False)
class CARTClassifier(Classifier, CART):
    """A decision tree for classes.

    Args:
        criterion: "gini" or "entropy" (bits).
        class_weight: weights by class; "balanced" gives every class the same total; None for ones.

    The other parameters are those of `ImpurityTree`.
    """

    criterion: Literal["gini", "entropy"] = "gini"
    class_weight: ClassWeight = None

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Returns the share of each class among the training rows of the leaf each row ends in."""
        table = self._read(X)
        return probabilities(self.ensemble_.sum(table), len(self.classes_))

    def _leaf_text(self, node: int, decimals: int) -> str:
        share = probabilities(self.tree_.value[[node]], len(self.classes_))[0]
        best = int(share.argmax())
        return f"class: {self.classes_[best]} ({share[best]:.{decimals}f} of {self.tree_.count[node]} rows)"


@dataclass(kw_only=True, eq=False, repr=False)
class CARTRegressor(Regressor, CART):
    """A decision tree for numbers.

    Args:
        criterion: "squared_error".

    The other parameters are those of `ImpurityTree`.
    """

    criterion: Literal["squared_error"] = "squared_error"

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Returns the mean target of the training rows of the leaf each row ends in."""
        table = self._read(X)
        return self.ensemble_.sum(table)[:, 0]

    def _leaf_text(self, node: int, decimals: int) -> str:
        return f"value: {self.tree_.value[node, 0]:.{decimals}f} ({self.tree_.count[node]} rows)"
