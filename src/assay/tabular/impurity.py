"""Impurity trees: the parameters that CART and the random forest share, and how one tree is grown from codes.

The decrease of squared error is G_L^2/H_L + G_R^2/H_R - G^2/H, with G the weighted sum of the targets and H
that of the weights, so trees of numbers run on the sums that boosting needs; trees of classes on the weight
of every class.
"""

import math
import sys
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay.data.table import Table
from assay.tabular.bins import Bins, Codes
from assay.tabular.estimator import Classifier, Estimator
from assay.tabular.grower import Classes, Grown, Limits, Newton, grow
from assay.tabular.growing import set_means
from assay.tabular.inputs import is_int, is_real

ClassWeight = Literal["balanced", "balanced_subsample"] | dict[Any, float] | None


@dataclass(kw_only=True, eq=False, repr=False)
class ImpurityTree(Estimator):
    """The parameters of trees that decrease impurity, and how one such tree is grown from codes.

    Args:
        splitter: "best" threshold of each feature, or a "random" one (Geurts, Ernst, Wehenkel 2006).
        max_depth: splits between root and leaf at most; None for no limit.
        min_samples_split: rows a node needs to be split; a float is a fraction of the training rows.
        min_samples_leaf: rows each child needs; a float is a fraction of the training rows. Rows are counted
            once whatever their weight.
        min_weight_fraction_leaf: share of the total weight each child needs, in [0, 0.5].
        max_features: features looked at in each split, drawn anew every time: a number, a fraction, "sqrt",
            "log2", or None for all.
        max_leaf_nodes: leaves at most, grown best first; None for no limit.
        min_impurity_decrease: a split must decrease impurity, weighted by its share of the rows, by so much.
        ccp_alpha: price of a leaf in minimal cost-complexity pruning, at least 0 (no pruning).
        max_bins: thresholds are looked for between so many groups of neighbouring values per feature;
            None for every distinct value.
        max_cat_to_onehot: a column of fewer categories than this is split one category against the rest, and
            others in two groups, sorted by their mean response (Fisher 1958). None, the default, is always
            one against the rest: groups fit the noise of small nodes (flights, 105 destinations: a forest's
            AUC is 0.681 with groups and 0.709 without), and pay only in shallow trees.
        random_state: seed of everything random.
    """

    criterion: str = "squared_error"
    splitter: Literal["best", "random"] = "best"
    max_depth: int | None = None
    min_samples_split: int | float = 2
    min_samples_leaf: int | float = 1
    min_weight_fraction_leaf: float = 0.0
    max_features: int | float | Literal["sqrt", "log2"] | None = None
    max_leaf_nodes: int | None = None
    min_impurity_decrease: float = 0.0
    ccp_alpha: float = 0.0
    max_bins: int | None = None
    max_cat_to_onehot: int | None = None
    random_state: int | np.random.Generator | np.random.RandomState | None = None

    @property
    def _criteria(self) -> tuple[str, ...]:
        return ("gini", "entropy") if isinstance(self, Classifier) else ("squared_error",)

    def _check_tree(self) -> None:
        def fraction_or_count(value: Any, low: int) -> bool:
            return is_int(value, low) or (isinstance(value, float) and 0.0 < value <= 1.0)

        depth, leaves, features = self.max_depth, self.max_leaf_nodes, self.max_features
        require = self._require
        require("criterion", self.criterion in self._criteria, " or ".join(map(repr, self._criteria)))
        require("splitter", self.splitter in ("best", "random"), "'best' or 'random'")
        require("max_depth", depth is None or is_int(depth, 1), "an int of at least 1 or None")
        counted = "an int of at least {} or a float in (0, 1]"
        require("min_samples_split", fraction_or_count(self.min_samples_split, 2), counted.format(2))
        require("min_samples_leaf", fraction_or_count(self.min_samples_leaf, 1), counted.format(1))
        require("min_weight_fraction_leaf", is_real(self.min_weight_fraction_leaf, 0, 0.5), "in [0, 0.5]")
        require(
            "max_features",
            features is None or features in ("sqrt", "log2") or fraction_or_count(features, 1),
            "an int of at least 1, a float in (0, 1], 'sqrt', 'log2' or None",
        )
        require("max_leaf_nodes", leaves is None or is_int(leaves, 2), "an int of at least 2 or None")
        require("min_impurity_decrease", is_real(self.min_impurity_decrease, 0), "a number of at least 0")
        require("ccp_alpha", is_real(self.ccp_alpha, 0), "a number of at least 0")
        bins, onehot = self.max_bins, self.max_cat_to_onehot
        require("max_bins", bins is None or is_int(bins, 2), "an int of at least 2 or None")
        require("max_cat_to_onehot", onehot is None or is_int(onehot, 1), "an int of at least 1 or None")

    def _encode(self, table: Table, weight: NDArray[np.float64] | None) -> Codes:
        return Bins.fit(table, max_bins=self.max_bins, sample_weight=weight).encode(table)

    def _row_weights(
        self, target: NDArray[Any], weight: NDArray[np.float64] | None, classes: NDArray[Any] | None
    ) -> NDArray[np.float64] | None:
        """Returns the weights of the rows times those of their classes; None for ones."""
        class_weight = getattr(self, "class_weight", None)  # Trees of numbers have none.
        if classes is None or class_weight is None:
            return weight
        weight = np.ones(len(target)) if weight is None else weight
        return weight * class_weights(class_weight, classes, target, weight)[target]

    def _grow(
        self,
        codes: Codes,
        target: NDArray[Any],
        num_classes: int | None,
        weight: NDArray[np.float64] | None,
        *,
        seed: int,
        features: NDArray[np.int64] | None = None,
        threads: int = 1,
        wide: bool = True,
        alone: bool = False,
    ) -> Grown:
        """Returns a tree and the leaf of every training row.

        Args:
            codes: the encoded features of the training rows.
            target: class codes, or numbers if ``num_classes`` is None.
            num_classes: K. One and two classes have one output, the probability of the last class; more
                have K.
            weight: of the rows; None for ones.
            seed: of the features and thresholds drawn.
            features: columns to use; None for all.
            threads: of the grower; the tree does not depend on it.
            alone: no other tree follows.
            wide: sums more exact than float64's, instead of 15 bits per row, which are faster.
        """
        num_features = len(codes.bins.features) if features is None else len(features)
        total = float(codes.num_rows if weight is None else weight.sum())
        limits = self._limits(codes.num_rows, num_features, total)
        if num_classes is None:
            origin = float(np.average(target, weights=weight))  # Smaller sums lose fewer digits.
            gradient = origin - target
            if weight is not None:
                gradient *= weight
            goal = Newton(gradient=gradient, hessian=weight, wide=wide)
            grown = grow(codes, goal, limits, features=features, seed=seed, threads=threads, alone=alone)
            value = grown.tree.value
            value += origin
            if not wide:  # Rounded sums have grown the tree; a leaf predicts the exact mean of its rows.
                set_means(grown.leaf, target, weight, value[:, 0])
            return grown
        criterion = "gini" if self.criterion == "gini" else "entropy"
        goal = Classes(labels=target, num_classes=num_classes, weights=weight, criterion=criterion, wide=wide)
        grown = grow(codes, goal, limits, features=features, seed=seed, threads=threads, alone=alone)
        if num_classes > 2:
            return grown
        return replace(grown, tree=grown.tree.with_values(grown.tree.value[:, -1:].copy()))

    def _limits(self, num_rows: int, num_features: int, total_weight: float) -> Limits:
        onehot = self.max_cat_to_onehot
        return Limits(
            max_depth=self.max_depth,
            max_leaves=self.max_leaf_nodes,
            min_samples_split=max(2, _share(self.min_samples_split, num_rows)),
            min_samples_leaf=_share(self.min_samples_leaf, num_rows),
            min_weight_leaf=self.min_weight_fraction_leaf * total_weight,
            # Negative: an impure node is split even where no split gains; the next one may (exclusive or).
            min_gain=self.min_impurity_decrease * total_weight or -1.0,
            max_features=features_per_split(self.max_features, num_features),
            random_thresholds=self.splitter == "random",
            max_categories_onehot=sys.maxsize if onehot is None else onehot - 1,
        )


def _share(value: int | float, total: int) -> int:
    return math.ceil(value * total) if isinstance(value, float) else int(value)


def features_per_split(max_features: int | float | str | None, num_features: int) -> int | None:
    """Returns how many features a split looks at, at least one, or None for all of them."""
    if max_features is None:
        return None
    if max_features == "sqrt":
        count = math.isqrt(num_features)
    elif max_features == "log2":
        count = int(math.log2(num_features))
    elif isinstance(max_features, float):
        count = int(max_features * num_features)
    else:
        count = int(max_features)  # type: ignore[arg-type]
    return min(max(1, count), num_features)


def probabilities(raw: NDArray[np.float64], num_classes: int) -> NDArray[np.float64]:
    """Returns the probability of each class from a tree's (or an average of trees') outputs."""
    if num_classes == 1:
        return np.ones((len(raw), 1))
    return np.column_stack([1 - raw[:, 0], raw[:, 0]]) if num_classes == 2 else raw


def impurity(target: NDArray[Any], weight: NDArray[np.float64] | None, criterion: str) -> float:
    """Returns the Gini index, the entropy (bits) or the variance of weighted class codes or numbers."""
    if criterion == "squared_error":
        return float(np.average((target - np.average(target, weights=weight)) ** 2, weights=weight))
    share = np.bincount(target, weights=weight)
    share = share[share > 0] / share.sum()
    return float(1 - share @ share if criterion == "gini" else -share @ np.log2(share))


def class_weights(
    class_weight: ClassWeight,
    classes: NDArray[Any],
    labels: NDArray[np.int32],
    weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns the weight of each class.

    Args:
        class_weight: weights by class, 1 where a class is not listed; "balanced" for weights in inverse
            proportion to the rows of a class; "balanced_subsample" for the rows of the sample instead, as
            ``weight`` counts them.
        classes: the K classes.
        labels: the class code of every training row.
        weight: of the rows.

    Raises:
        ValueError: a weight is negative, not a number, or for a class that does not occur.
    """
    if class_weight in ("balanced", "balanced_subsample"):
        sample = None if class_weight == "balanced" else weight
        counts = np.bincount(labels, weights=sample, minlength=len(classes))
        return np.divide(counts.sum() / len(classes), counts, out=np.zeros(len(classes)), where=counts > 0)
    if not isinstance(class_weight, dict):
        raise ValueError(f"class_weight must be a dict, 'balanced' or None, got {class_weight!r}")
    position = {label: code for code, label in enumerate(classes.tolist())}
    weights = np.ones(len(classes))
    for label, value in class_weight.items():
        if label not in position:
            raise ValueError(
                f"class_weight names {label!r}, which is not one of the classes {list(position)}"
            )
        if not is_real(value, 0) or not math.isfinite(value):
            raise ValueError(
                f"class_weight of {label!r} must be a finite number of at least 0, got {value!r}"
            )
        weights[position[label]] = value
    return weights
