"""XGBoost: trees grown and valued by first and second derivatives of the loss, with regularised leaves.

A split is worth what it gains in the loss's quadratic approximation, after paying for the size of the
leaves; missing values go to the side that gains more.

Reference:
    Chen, Guestrin. "XGBoost: A Scalable Tree Boosting System". KDD 2016. arXiv:1603.02754v3
    Implements: Eq. (5) leaf weights and Eq. (7) gains; Sec. 2.3 shrinkage and column subsampling; Alg. 1
        exact search, Alg. 2 approximate search, proposals by weighted quantiles (Sec. 3.3) anew for every
        tree; Alg. 3 default directions. From the xgboost package: L1 penalty, max_delta_step, histograms,
        leaf-wise growth, native categories, base score, early stopping.
    Departs: gains are without the factor 1/2, as the package reports them, and gamma is compared with that;
        a split's rule is x <= threshold, where the package's is x < threshold; arithmetic is in float64. With
        both an L1 penalty and max_delta_step the gain charges the penalty, which the package adds. The gain
        of a split of categories in two groups is less what it has by chance (`noise.py`).
    Omits: ranking and survival objectives, DART, monotone and interaction constraints, external memory, GPUs.
    Verified: the xgboost package 3.2, trees of exact mode (partitions, gains, covers, leaf weights) to
        1e-5; a naive search over all splits, 1e-10.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from assay.data.table import Table
from assay.tabular.bins import Bins, Codes
from assay.tabular.boosting import (
    FEW_ROWS,
    Boosting,
    BoostingClassifier,
    BoostingRegressor,
    GrowRound,
    Monitor,
    Rows,
    draw,
    everywhere,
    leaf_steps,
    route,
)
from assay.tabular.estimator import normalised
from assay.tabular.grower import Grown, Limits, Newton, grow
from assay.tabular.inputs import as_generator, is_int, is_real, num_threads, read_table, read_target
from assay.tabular.losses import (
    AbsoluteError,
    Leaves,
    Loss,
    Multinomial,
    Poisson,
    Quantile,
    SquaredError,
    newton_step,
)
from assay.tabular.noise import Noise
from assay.tabular.pruning import collapse
from assay.tabular.sketch import propose_cuts

Array = np.ndarray
Importance = Literal["gain", "weight", "cover", "total_gain", "total_cover"]
LEAST_GAIN = 1e-6  # the package takes no split that gains less
POISSON_STEP = 0.7  # the package's max_delta_step for counts


@dataclass(kw_only=True, eq=False, repr=False)
class XGBoost(Boosting):
    """XGBoost, with the xgboost package's parameter names and defaults, but for ``max_bins``.

    Args:
        n_estimators: rounds, each of one tree, or one for every class of three or more.
        learning_rate: share of every leaf's weight that is taken (eta).
        max_depth: splits between root and leaf at most; 0 or None for no limit.
        max_leaves: leaves at most, with ``grow_policy="lossguide"``; 0 for no limit.
        grow_policy: "depthwise", level by level, or "lossguide", the best split first.
        tree_method: "exact" looks at every threshold, "hist" at the edges of bins made once, "approx" at
            weighted quantiles proposed for every tree with the hessian as weight.
        max_bins: bins of a feature for "hist" and "approx".
        min_child_weight: smallest sum of the hessian in a child.
        reg_lambda: L2 penalty on leaf weights.
        reg_alpha: L1 penalty on leaf weights.
        gamma: smallest gain of a split. In exact mode it prunes the grown tree from its leaves, so that a
            good child keeps its parent; otherwise nothing is grown below it.
        max_delta_step: largest leaf weight before shrinkage; 0 for no limit.
        subsample: share of the rows, drawn without replacement, that a tree is grown on, in (0, 1].
        colsample_bytree: share of the columns a tree may use, in (0, 1].
        colsample_bylevel: share of those that a level may use.
        colsample_bynode: share of those that a node may use; the three multiply.
        max_cat_to_onehot: a column of fewer categories than this is split one against the rest, others in
            two groups, which must gain more than by chance.
        base_score: prediction before the first tree, a mean or a probability; None estimates it.
        early_stopping_rounds: stop when the held-out loss has not improved for so many rounds, and keep the
            best.
        validation_fraction: share of the rows held out for that, if ``fit`` is given no ``eval_set``.
        importance_type: what ``feature_importances_`` counts: "gain" and "cover" per split, or their
            totals, or "weight", the number of splits.
    """

    learning_rate: float = 0.3
    max_depth: int | None = 6
    max_leaves: int = 0
    grow_policy: Literal["depthwise", "lossguide"] = "depthwise"
    tree_method: Literal["hist", "exact", "approx"] = "hist"
    max_bins: int = 255
    min_child_weight: float = 1.0
    reg_lambda: float = 1.0
    reg_alpha: float = 0.0
    gamma: float = 0.0
    max_delta_step: float = 0.0
    colsample_bytree: float = 1.0
    colsample_bylevel: float = 1.0
    colsample_bynode: float = 1.0
    max_cat_to_onehot: int = 4
    base_score: float | None = None
    early_stopping_rounds: int | None = None
    importance_type: Importance = "gain"

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        eval_set: Any = None,
        monitor: Monitor | None = None,
    ) -> Self:
        """Return the fitted model.

        Args:
            X: features, whatever ``Table.of`` accepts; missing values and categories as they are.
            y: target, one for each row.
            sample_weight: non-negative weights of the rows.
            eval_set: held-out rows, ``(X, y)``, or a list of one such pair, that ``validation_score_`` and
                early stopping judge by.
            monitor: called as ``monitor(rounds, estimator)`` after each round, from 1 on; True stops.

        Raises:
            ValueError: a parameter or the data is not as described.
        """
        table, target, weight = self._begin(X, y, sample_weight)
        self._check()
        rng = as_generator(self.random_state)
        rows, held = Rows.of(table, target, weight), None
        if eval_set is not None:
            held = self._held_out(eval_set)
        elif self.early_stopping_rounds is not None:
            rows, held = self._part(rows, rng)
        self._boost(rows, held, monitor, rng)
        return self

    def _check(self) -> None:
        self._check_boosting()
        require = self._require
        require(
            "max_depth", self.max_depth is None or is_int(self.max_depth, 0), "an int of at least 0 or None"
        )
        require("max_leaves", is_int(self.max_leaves, 0), "an int of at least 0")
        require("grow_policy", self.grow_policy in ("depthwise", "lossguide"), "'depthwise' or 'lossguide'")
        leafwise = self.grow_policy == "lossguide" or self.max_leaves == 0
        require("max_leaves", leafwise, "0 unless grow_policy is 'lossguide'")
        require("tree_method", self.tree_method in ("hist", "exact", "approx"), "'hist', 'exact' or 'approx'")
        require("max_bins", is_int(self.max_bins, 2), "an int of at least 2")
        require("max_cat_to_onehot", is_int(self.max_cat_to_onehot, 1), "an int of at least 1")
        for name in ("min_child_weight", "reg_lambda", "reg_alpha", "gamma", "max_delta_step"):
            require(name, is_real(getattr(self, name), 0), "a number of at least 0")
        for name in ("colsample_bytree", "colsample_bylevel", "colsample_bynode"):
            share = getattr(self, name)
            require(name, is_real(share, 0, 1) and share > 0, "a number in (0, 1]")
        patience = self.early_stopping_rounds
        require(
            "early_stopping_rounds", patience is None or is_int(patience, 1), "an int of at least 1 or None"
        )
        require(
            "base_score", self.base_score is None or is_real(self.base_score, -np.inf), "a number or None"
        )
        kinds = ("gain", "weight", "cover", "total_gain", "total_cover")
        require("importance_type", self.importance_type in kinds, f"one of {kinds}")

    def _held_out(self, eval_set: Any) -> Rows:
        if isinstance(eval_set, list) and len(eval_set) == 1:
            eval_set = eval_set[0]
        if not (isinstance(eval_set, tuple) and len(eval_set) == 2):
            raise ValueError("eval_set must be a pair (X, y) or a list of one such pair")
        table = read_table(eval_set[0])[0].align(self.schema_)
        return Rows.of(table, self._encode_held_out(read_target(eval_set[1])), None)

    def _encode_held_out(self, y: Array) -> Array:
        return y.astype(np.float64)

    # -- growing ---------------------------------------------------------------------------------------------

    def _grower(self, rows: Rows, rng: np.random.Generator) -> GrowRound:
        exact, threads = self.tree_method == "exact", num_threads(self.n_jobs)
        wide = exact or len(rows.target) <= FEW_ROWS
        shared = None
        if self.tree_method != "approx":
            max_bins = None if exact else self.max_bins
            bins = Bins.fit(rows.table, max_bins=max_bins, sample_weight=rows.weight, threads=threads)
            shared = bins.encode(rows.table, threads=threads)
        limits = Limits(
            max_depth=self.max_depth or None,
            max_leaves=self.max_leaves or None,
            min_weight_leaf=self.min_child_weight,
            min_gain=max(LEAST_GAIN, 0.0 if exact else self.gamma),
            features_per_level=self.colsample_bylevel,
            features_per_node=self.colsample_bynode,
            max_categories_onehot=self.max_cat_to_onehot - 1,
        )
        noise = self._noise(rows)

        def drawn(total: int, share: float) -> Array | None:
            return None if share == 1 else draw(total, max(1, int(share * total)), rng)

        def grow_round(loss: Loss, gradient: Array, hessian: Array | None) -> Iterator[Grown]:
            for output in range(loss.num_outputs):
                curvature = None if hessian is None else hessian[output]
                bend = None if curvature is None else self._curvature(loss, curvature)
                codes = self._proposed(rows.table, bend, threads) if shared is None else shared
                grown = grow(
                    codes,
                    Newton(
                        gradient=gradient[output],
                        hessian=bend,
                        l2=self.reg_lambda,
                        l1=self.reg_alpha,
                        max_delta_step=self._largest_step(loss),
                        wide=wide,
                        noise=noise.per_unit(loss, gradient[output], curvature, bend),
                    ),
                    limits,
                    rows=drawn(len(rows.target), self.subsample),
                    features=drawn(len(rows.table.columns), self.colsample_bytree),
                    seed=int(rng.integers(2**63)),
                    threads=threads,
                )
                if exact and self.gamma:
                    grown = self._pruned(grown, codes)
                yield everywhere(self._weighed(loss, rows, output, gradient[output], grown), codes)

        return grow_round

    def _noise(self, rows: Rows) -> Noise:
        return Noise(rows.table, rows.weight)

    def _curvature(self, loss: Loss, hessian: Array) -> Array:
        """Return the hessian as the package takes it: larger where a Newton step is risky."""
        if isinstance(loss, Multinomial):
            return 2 * hessian  # twice the diagonal bounds the whole matrix
        return hessian * np.exp(self._largest_step(loss)) if isinstance(loss, Poisson) else hessian

    def _largest_step(self, loss: Loss) -> float:
        return POISSON_STEP if isinstance(loss, Poisson) and not self.max_delta_step else self.max_delta_step

    def _proposed(self, table: Table, hessian: Array | None, threads: int) -> Codes:
        """Return the codes for one tree of the approximate method: weighted quantiles, Alg. 2."""
        cuts = propose_cuts(table, hessian, self.max_bins)
        return Bins.from_cuts(table, cuts, max_bins=self.max_bins).encode(table, threads=threads)

    def _pruned(self, grown: Grown, codes: Codes) -> Grown:
        """Return the tree after turning splits above two leaves that gain less than gamma into leaves."""
        tree = grown.tree
        collapsed: set[int] = set()
        for node in np.flatnonzero(tree.feature >= 0)[::-1].tolist():  # children before parents
            ends = [
                tree.feature[child] < 0 or child in collapsed
                for child in (tree.left[node], tree.left[node] + 1)
            ]
            if all(ends) and tree.gain[node] < self.gamma:
                collapsed.add(node)
        if not collapsed:
            return grown
        tree = collapse(tree, collapsed)
        return Grown(tree, np.where(grown.leaf < 0, -1, route(tree, codes, np.arange(len(grown.leaf)))))

    def _weighed(self, loss: Loss, rows: Rows, output: int, gradient: Array, grown: Grown) -> Grown:
        """Return the tree with the values that are added, after shrinkage."""
        value = grown.tree.value
        if isinstance(loss, AbsoluteError | Quantile):
            value = leaf_steps(loss, rows, output, gradient, None, grown)[:, None]
        elif grown.tree.weight[0] < self.min_child_weight:
            value = np.zeros_like(value)  # the package's leaves weigh nothing below min_child_weight
        return Grown(grown.tree.with_values(self.learning_rate * value), grown.leaf)

    # -- early stopping --------------------------------------------------------------------------------------

    def _stalled(self, scores: list[float]) -> bool:
        patience = self.early_stopping_rounds
        return patience is not None and len(scores) - 1 - int(np.argmin(scores)) >= patience

    def _kept_rounds(self, scores: list[float]) -> int:
        if self.early_stopping_rounds is None or not scores:
            return len(scores)
        return int(np.argmin(scores)) + 1

    @property
    def feature_importances_(self) -> Array:
        """The importance of every column by ``importance_type``, as shares of their sum."""
        self._check_fitted()
        return normalised(self.importances(self.importance_type))

    def importances(self, kind: Importance) -> Array:
        """Return gain, cover or number of the splits on every column.

        Args:
            kind: "gain" and "cover" are means over the splits, "total_gain" and "total_cover" sums,
                "weight" is their number.
        """
        total, count = np.zeros(self.n_features_in_), np.zeros(self.n_features_in_)
        for tree in self.ensemble_.trees:
            split = tree.feature >= 0
            of_node = tree.weight if "cover" in kind else tree.gain
            total += np.bincount(tree.feature[split], of_node[split], self.n_features_in_)
            count += np.bincount(tree.feature[split], minlength=self.n_features_in_)
        if kind == "weight":
            return count
        return total if kind.startswith("total") else np.divide(total, count, out=total, where=count > 0)


@dataclass(kw_only=True, eq=False, repr=False)
class XGBoostClassifier(XGBoost, BoostingClassifier):
    """XGBoost for any number of classes, by the logistic loss of two and the softmax loss of more.

    Args:
        scale_pos_weight: weight of the rows of the second of two classes, as a multiple; ignored for more
            classes.
    """

    scale_pos_weight: float = 1.0

    def _begin(self, X: Any, y: Any, sample_weight: Any) -> tuple[Table, Array, Array | None]:
        self._require("scale_pos_weight", is_real(self.scale_pos_weight, 0), "a number of at least 0")
        table, target, weight = super()._begin(X, y, sample_weight)
        if self.scale_pos_weight != 1 and len(self.classes_) == 2:
            scale = np.where(target == 1, float(self.scale_pos_weight), 1.0)
            weight = scale if weight is None else scale * weight
        return table, target, weight

    def _encode_held_out(self, y: Array) -> Array:
        position = {label: code for code, label in enumerate(self.classes_.tolist())}
        unknown = [label for label in y.tolist() if label not in position]
        if unknown:
            raise ValueError(f"eval_set holds the class {unknown[0]!r}, which the training rows do not have")
        return np.array([position[label] for label in y.tolist()])

    def _first_margins(self, loss: Loss, rows: Rows) -> Array:
        if self.base_score is not None:
            if isinstance(loss, Multinomial):
                return np.full(loss.num_outputs, float(self.base_score))
            self._require("base_score", 0 < self.base_score < 1, "a probability in (0, 1) or None")
            return np.log([self.base_score / (1 - self.base_score)])
        if isinstance(loss, Multinomial):
            counts = np.bincount(rows.target.astype(np.intp), rows.weight, loss.num_outputs)
            logs = np.log(counts / counts.sum() + 1e-6)
            return logs - logs.mean()
        if self.scale_pos_weight != 1:
            gradient, hessian = loss.derivatives(rows.target, np.zeros((1, len(rows.target))), rows.weight)
            assert hessian is not None
            return newton_step(Leaves(np.zeros(len(rows.target), np.int32), 1), gradient[0], hessian[0])
        return loss.initial(rows.target, rows.weight)


@dataclass(kw_only=True, eq=False, repr=False)
class XGBoostRegressor(XGBoost, BoostingRegressor):
    """XGBoost for a number.

    Args:
        objective: "reg:squarederror", "reg:absoluteerror", "reg:quantileerror" or, for counts,
            "count:poisson".
        quantile_alpha: the quantile that "reg:quantileerror" predicts, in (0, 1).
    """

    objective: Literal["reg:squarederror", "reg:absoluteerror", "reg:quantileerror", "count:poisson"] = (
        "reg:squarederror"
    )
    quantile_alpha: float = 0.5

    def _loss(self) -> Loss:
        losses: dict[str, Loss] = {
            "reg:squarederror": SquaredError(),
            "reg:absoluteerror": AbsoluteError(),
            "reg:quantileerror": Quantile(self.quantile_alpha),
            "count:poisson": Poisson(),
        }
        self._require("objective", self.objective in losses, f"one of {tuple(losses)}")
        inside = is_real(self.quantile_alpha, 0, 1) and 0 < self.quantile_alpha < 1
        self._require("quantile_alpha", inside, "a number in (0, 1)")
        return losses[self.objective]

    def _first_margins(self, loss: Loss, rows: Rows) -> Array:
        if isinstance(loss, Poisson) and (rows.target < 0).any():
            row = int(np.flatnonzero(rows.target < 0)[0])
            raise ValueError(
                f"objective 'count:poisson' expects counts: y is {rows.target[row]} in row {row}"
            )
        if self.base_score is None:
            return loss.initial(rows.target, rows.weight)
        if isinstance(loss, Poisson):
            self._require("base_score", self.base_score > 0, "more than 0 for counts, or None")
            return np.log([self.base_score])
        return np.array([float(self.base_score)])
