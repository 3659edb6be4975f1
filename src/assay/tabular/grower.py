"""Grow one tree on binned features: the step shared by every method of the wing.

The targets of all methods are two numbers per row or the weight of a class, so one grower serves them all: it
sums them per feature and bin, takes the best split and partitions the rows. The sums are integers (fixed
point), so a tree is the same, bit for bit, for any number of threads, any order of the rows, compiled or not.

Reference:
    Chen, Guestrin. "XGBoost: A Scalable Tree Boosting System". KDD 2016. arXiv:1603.02754v3
    Breiman, Friedman, Olshen, Stone. "Classification and Regression Trees". Wadsworth 1984.
    Fisher. "On grouping for maximum homogeneity". JASA 53(284), 1958.
    Scott, Knott. "A Cluster Analysis Method for Grouping Means in the Analysis of Variance". Biometrics
        30(3), 1974.
    Geurts, Ernst, Wehenkel. "Extremely randomized trees". Machine Learning 63(1), 2006.
    Implements: XGBoost's Eq. (5) to (7) and Alg. 3 (default directions) on histograms; the impurity decrease
        of CART; splits of categories by prefix of the sorted order (Fisher 1958), one against the rest for
        few of them; one random threshold per feature (extra-trees, Table 1); the gain that the best of all
        prefixes has by chance, 2 / pi per category (Scott, Knott 1974).
    Departs: the gain has no factor 1/2 and no gamma; with three classes or more, categories are sorted by the
        share of the node's heaviest class.
    Verified: brute-force search in float64; scikit-learn's trees split by split; compiled and NumPy trees
        equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from assay.tabular import fixed_point, growing
from assay.tabular.bins import Codes
from assay.tabular.problem import Nodes, Problem, bin_layout
from assay.tabular.reference import grow as grow_in_numpy
from assay.tabular.tree import Tree


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a tree stops growing, and which splits it may consider.

    Args:
        max_depth: largest number of splits above a leaf; None for no limit.
        max_leaves: largest number of leaves, reached best split first; None for no limit.
        min_samples_split: fewest training rows (of non-zero weight) of a node that splits, at least 2.
        min_samples_leaf: fewest training rows (of non-zero weight) of a child, at least 1.
        min_weight_leaf: smallest sum of the hessian or of the sample weights in a child.
        min_gain: smallest gain of a split. A split must always gain something beyond rounding, unless this is
            negative: then a node that is not pure also takes splits that gain nothing (exclusive or).
        max_features: number of features drawn anew at every split; if none of them varies in the node,
            drawing goes on until one does. None for all.
        features_per_level: share of the features drawn for every depth, in (0, 1].
        features_per_node: share of the level's features drawn for every node, in (0, 1].
        random_thresholds: one random threshold, or set of categories, per feature instead of the best.
        max_categories_onehot: a feature of at most so many categories is split one against the rest.

    Raises:
        ValueError: a value is outside its range.
    """

    max_depth: int | None = None
    max_leaves: int | None = None
    min_samples_split: int = 2
    min_samples_leaf: int = 1
    min_weight_leaf: float = 0.0
    min_gain: float = 0.0
    max_features: int | None = None
    features_per_level: float = 1.0
    features_per_node: float = 1.0
    random_thresholds: bool = False
    max_categories_onehot: int = 4

    def __post_init__(self) -> None:
        for name, least in (
            ("max_depth", 0),
            ("max_leaves", 1),
            ("min_samples_split", 2),
            ("min_samples_leaf", 1),
            ("min_weight_leaf", 0),
            ("max_features", 1),
            ("max_categories_onehot", 0),
        ):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name in ("features_per_level", "features_per_node"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {getattr(self, name)}")
        if np.isnan(self.min_gain):
            raise ValueError("min_gain must be a number, got nan")


@dataclass(frozen=True, kw_only=True)
class Newton:
    """A second-order target: regression, boosting, and two classes by Gini (half its gain).

    score(G, H) = T(G)^2 / (H + l2) with T the soft threshold by ``l1``; the gain of a split is score(left) +
    score(right) - score(parent), and the value of a leaf -T(G) / (H + l2), clipped to ``max_delta_step``;
    where a value is clipped, the score is the one of the clipped value. Weighted least squares of y is
    gradient = -w y, hessian = w.

    Args:
        gradient: float64[rows], first derivative of the loss.
        hessian: float64[rows], second derivative, not negative; None for ones. A row whose gradient and
            hessian are both zero is ignored.
        l2: ridge penalty on the value of a leaf, not negative.
        l1: lasso penalty on the value of a leaf, not negative.
        max_delta_step: largest absolute value of a leaf; 0 for no limit.
        wide: 64 bits per row, finer than float64's own sums, in the search for splits, instead of 16, which
            are faster; where these would round too coarsely, the wide ones are taken anyway.
        noise: variance that a row's gradient has by chance, per unit of its hessian, not negative. What the
            best two groups of categories gain by such noise is taken from what they gain, so that features
            of many categories are not preferred for their number; 0 takes nothing.
    """

    gradient: np.ndarray
    hessian: np.ndarray | None = None
    l2: float = 0.0
    l1: float = 0.0
    max_delta_step: float = 0.0
    wide: bool = False
    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Classes:
    """An impurity target: gain = W i(node) - W_left i(left) - W_right i(right).

    Args:
        labels: int32[rows], in [0, num_classes).
        num_classes: K, at least 1.
        weights: float64[rows], not negative; None for ones. Rows of weight 0 are ignored.
        criterion: i, "gini" = 1 - sum p_k^2, or "entropy" = -sum p_k log2 p_k, in bits.
        wide: of two classes: 64 bits per row in any case where 15 would round a weight; if False, only where
            they would round too coarsely.
    """

    labels: np.ndarray
    num_classes: int
    weights: np.ndarray | None = None
    criterion: Literal["gini", "entropy"] = "gini"
    wide: bool = True


@dataclass(frozen=True)
class Grown:
    """A grown tree.

    Args:
        tree: the tree; the values are Newton steps or class distributions.
        leaf: int32[rows], the node every row ended in; -1 for rows that were not chosen or carry no weight.
    """

    tree: Tree
    leaf: np.ndarray

    @property
    def is_complete(self) -> bool:
        """Whether the tree was grown on all rows, so that each has a leaf."""
        return int(self.tree.count[0]) == len(self.leaf)


def grow(
    codes: Codes,
    target: Newton | Classes,
    limits: Limits,
    *,
    rows: np.ndarray | None = None,
    features: np.ndarray | None = None,
    seed: int = 0,
    threads: int = 1,
    alone: bool = False,
    reference: bool = False,
) -> Grown:
    """Grow one tree.

    Ties in gain go to the lowest feature, then the lowest threshold, then missing values right. A missing
    value that the node never saw goes with the heavier child, and so does a category that the node never saw.

    Args:
        codes: the binned features of the training rows.
        target: what the tree predicts; arrays have one element per row of ``codes``.
        limits: when to stop.
        rows: distinct row indices to grow on; None for all.
        features: distinct feature indices that may be split; None for all.
        seed: of the random features and thresholds, a 64-bit integer.
        threads: at most so many threads, at least 1; the tree does not depend on it.
        alone: no other tree follows: memory is given back to the system instead of being kept for the next.
        reference: run the NumPy twin of the compiled kernel (as happens where there is no kernel).

    Raises:
        ValueError: an argument has the wrong shape, type or range.
    """
    if not codes.columns.flags.c_contiguous:
        raise ValueError("codes.columns must be C-contiguous")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    problem = _problem(codes, target, limits, rows, features, seed)
    nodes = grow_in_numpy(problem) if reference else growing.grow(problem, threads, alone=alone)
    return Grown(_tree(target, nodes), nodes.leaf)


def _problem(
    codes: Codes,
    target: Newton | Classes,
    limits: Limits,
    rows: np.ndarray | None,
    features: np.ndarray | None,
    seed: int,
) -> Problem:
    bins = codes.bins.features
    if not len(bins) or not codes.num_rows:
        raise ValueError(
            f"a tree needs rows and features, got {codes.num_rows} rows and {len(bins)} features"
        )
    kept = None if rows is None else _selection("rows", rows, codes.num_rows)
    count = limits.min_samples_leaf > 1
    if isinstance(target, Newton):
        gradient, hessian = _newton_arrays(target, codes.num_rows)
        statistics = fixed_point.newton(gradient, hessian, kept, wide=target.wide, count=count)
        penalties = (float(target.l1), float(target.l2), float(target.max_delta_step))
        noise = float(target.noise)
    else:
        labels, weights = _class_arrays(target, codes.num_rows)
        statistics = fixed_point.classes(
            labels, target.num_classes, weights, target.criterion, kept, wide=target.wide, count=count
        )
        penalties, noise = (0.0, 0.0, 0.0), 0.0
    if not len(statistics.rows):
        raise ValueError("a tree needs at least one row of non-zero weight, got none")
    return Problem(
        codes=codes,
        layout=bin_layout(codes.bins),
        features=np.arange(len(bins), dtype=np.int32)
        if features is None
        else _selection("features", features, len(bins)),
        statistics=statistics,
        penalties=penalties,
        noise=noise,
        limits=limits,
        min_weight=max(1, math.ceil(min(limits.min_weight_leaf / statistics.units[1], 2.0**62))),
        seed=seed,
    )


def _selection(name: str, chosen: np.ndarray, size: int) -> np.ndarray:
    chosen = np.asarray(chosen)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen):
        raise ValueError(
            f"{name} must be a non-empty 1-d array of ints, got {chosen.dtype} of shape {chosen.shape}"
        )
    if chosen.min() < 0 or chosen.max() >= size:
        raise ValueError(f"{name} must be in [0, {size}), got {chosen.min()} to {chosen.max()}")
    mask = np.zeros(size, bool)
    mask[chosen] = True
    distinct = np.flatnonzero(mask).astype(np.int32)
    if len(distinct) < len(chosen):
        raise ValueError(f"{name} must be distinct, got {len(chosen)} of which {len(distinct)} are")
    return distinct


def _array(name: str, values: np.ndarray, dtype: type, num_rows: int) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != (num_rows,):
        raise ValueError(f"{name} must have shape ({num_rows},), one element per row, got {array.shape}")
    if array.dtype.kind not in ("iu" if dtype is np.int32 else "fiub"):
        raise ValueError(f"{name} must be an array of {dtype.__name__}, got {array.dtype}")
    return np.ascontiguousarray(array, dtype)


def _newton_arrays(target: Newton, num_rows: int) -> tuple[np.ndarray, np.ndarray | None]:
    for name in ("l1", "l2", "max_delta_step", "noise"):
        if not 0 <= getattr(target, name) < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {getattr(target, name)}")
    gradient = _array("gradient", target.gradient, np.float64, num_rows)
    if target.hessian is None:
        return gradient, None
    return gradient, _array("hessian", target.hessian, np.float64, num_rows)


def _class_arrays(target: Classes, num_rows: int) -> tuple[np.ndarray, np.ndarray | None]:
    if target.num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {target.num_classes}")
    if target.criterion not in ("gini", "entropy"):
        raise ValueError(f"criterion must be 'gini' or 'entropy', got {target.criterion!r}")
    labels = _array("labels", target.labels, np.int32, num_rows)
    if labels.min() < 0 or labels.max() >= target.num_classes:
        raise ValueError(f"labels must be in [0, {target.num_classes}), got {labels.min()} to {labels.max()}")
    if target.weights is None:
        return labels, None
    return labels, _array("weights", target.weights, np.float64, num_rows)


def _tree(target: Newton | Classes, nodes: Nodes) -> Tree:
    is_newton = isinstance(target, Newton)
    value = _newton_step(target, nodes.value, nodes.weight[:, None]) if is_newton else nodes.value
    return Tree(
        feature=nodes.feature,
        threshold=nodes.threshold,
        left=nodes.left,
        missing_left=nodes.missing_left,
        categories=nodes.categories,
        category_offsets=nodes.category_offsets,
        gain=nodes.gain,
        weight=nodes.weight,
        count=nodes.count,
        value=value,
    )


def _newton_step(target: Newton, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """-T(G) / (H + l2), XGBoost's Eq. (5) with a soft threshold T, clipped to the largest step.

    The gradient is overwritten.
    """
    curvature = hessian + target.l2 if target.l2 else hessian
    if target.l1 == 0 and target.max_delta_step == 0 and curvature.min() > 0:
        np.divide(gradient, curvature, out=gradient)
        return np.negative(gradient, out=gradient)
    if target.l1 == 0 and target.max_delta_step == 0:
        return np.divide(-gradient, curvature, out=np.zeros_like(gradient), where=curvature > 0)
    excess = np.maximum(np.abs(gradient) - target.l1, 0.0)
    step = np.divide(excess, curvature, out=np.zeros_like(excess), where=curvature > 0)
    if target.max_delta_step > 0:
        step = np.minimum(step, target.max_delta_step)
    return -np.sign(gradient) * step
