"""What boosting minimises: each loss with its derivatives, its best constant and its best step in a leaf.

A loss compares targets with *margins*, the raw sums of tree values: one margin a row, or one a class.
Margins are kept output-major, ``[outputs, rows]``, because every tree belongs to one output.

Reference:
    Friedman. "Greedy Function Approximation: A Gradient Boosting Machine". Annals of Statistics 29(5), 2001.
    Friedman, Hastie, Tibshirani. "Additive Logistic Regression: A Statistical View of Boosting".
        Annals of Statistics 28(2), 2000.
    Koenker, Bassett. "Regression Quantiles". Econometrica 46(1), 1978 (the quantile loss).
    Implements: Algorithms 2 to 6 of Friedman (2001): negative gradients, initial values and line searches.
    Departs: the logistic margin is the log-odds of y in {0, 1}; Friedman's is half of it, for y in {-1, 1},
        and one Newton step is the same step in either.
    Verified: hand-computed values, central differences to 1e-6, scikit-learn's losses to 1e-12.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from assay.tabular import slopes

Array = np.ndarray
TINY = 1e-150  # a curvature below this is no curvature: the leaf keeps the value zero
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Leaves:
    """Where every row fell: its node number, int32 below ``size``, and its weight (None: ones)."""

    node: Array
    size: int
    weight: Array | None = None

    def sum(self, values: Array | None) -> Array:
        """Return the plain sum of ``values`` in each node (None: the number of rows), float64 ``[size]``."""
        return slopes.leaf_sums(self.node, values, self.size)

    def mean(self, values: Array) -> Array:
        """Return the weighted mean of ``values`` in each node, zero where no row fell."""
        total = self.sum(self.weight)
        weighted = values if self.weight is None else values * self.weight
        return np.divide(self.sum(weighted), total, out=np.zeros(self.size), where=total > 0)

    def quantile(self, values: Array, alpha: float) -> Array:
        """Return the weighted ``alpha``-quantile of ``values`` in each node, zero where no row fell."""
        out = np.zeros(self.size)
        order = np.argsort(self.node, kind="stable")
        ends = np.cumsum(np.bincount(self.node, minlength=self.size))
        for node in np.unique(self.node):
            rows = order[ends[node - 1] if node else 0 : ends[node]]
            out[node] = weighted_quantile(
                values[rows], alpha, None if self.weight is None else self.weight[rows]
            )
        return out


def weighted_quantile(values: Array, alpha: float, weight: Array | None = None) -> float:
    """Return the smallest value up to which at least the share ``alpha`` of the weight lies.

    Args:
        values: float64 ``[n]``, at least one.
        alpha: in [0, 1].
        weight: non-negative, not all zero; None for equal weights.
    """
    order = np.argsort(values, kind="stable")
    cumulative = np.arange(1.0, len(values) + 1) if weight is None else np.cumsum(weight[order])
    # Never a leading row of weight zero, not even for alpha = 0.
    share = max(alpha * cumulative[-1], np.nextafter(0.0, 1.0))
    return float(values[order[min(np.searchsorted(cumulative, share), len(values) - 1)]])


def newton_step(leaves: Leaves, gradient: Array, hessian: Array | None) -> Array:
    """Return -G / H of every node, zero where H vanishes; gradient and hessian carry the weights."""
    if hessian is None:
        slope, curvature = leaves.sum(gradient), leaves.sum(None)
    else:
        slope, curvature = slopes.leaf_pairs(leaves.node, gradient, hessian, leaves.size)
    return np.divide(-slope, curvature, out=np.zeros(leaves.size), where=curvature > TINY)


class Loss(ABC):
    """A loss of targets ``y`` ``[n]`` and margins ``[outputs, n]``."""

    num_outputs: int = 1
    is_likelihood: ClassVar[bool] = False  # minus a log-probability: the gradient varies by the mean hessian

    @abstractmethod
    def initial(self, y: Array, weight: Array | None = None) -> Array:
        """Return the margins the first round starts from, float64 ``[outputs]``."""

    @abstractmethod
    def pointwise(self, y: Array, margins: Array) -> Array:
        """Return the loss of every row."""

    @abstractmethod
    def slopes(self, y: Array, margins: Array) -> tuple[Array, Array | None]:
        """Return fresh gradient and hessian diagonal, ``[outputs, n]``; a hessian of None is all ones."""

    def settled(self, y: Array, margins: Array, weight: Array | None = None) -> Self:
        """Return this loss for the coming round; only Huber's changes, with the spread of the residuals."""
        return self

    def value(self, y: Array, margins: Array, weight: Array | None = None) -> float:
        """Return the weighted mean loss."""
        return float(np.average(self.pointwise(y, margins), weights=weight))

    def derivatives(
        self, y: Array, margins: Array, weight: Array | None = None, out: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Return gradient and hessian diagonal ``[outputs, n]`` times the weights; None is all ones.

        Args:
            y: targets.
            margins: margins.
            weight: of the rows; None for ones.
            out: ``[2, outputs, n]``, which may be used for the result: fresh memory costs more than the sums.
        """
        gradient, hessian = self.slopes(y, margins)
        if weight is None:
            return gradient, hessian
        gradient *= weight
        return gradient, weight[None] if hessian is None else hessian * weight

    def value_and_derivatives(
        self, y: Array, margins: Array, weight: Array | None, out: Array
    ) -> tuple[float, tuple[Array, Array | None] | None]:
        """Return the mean loss and, where the same pass gives them, the derivatives."""
        return self.value(y, margins, weight), None

    def line_search(
        self, leaves: Leaves, y: Array, margins: Array, gradient: Array, hessian: Array | None
    ) -> Array:
        """Return the step of one output that lowers the loss in each leaf: by default one Newton step.

        Args:
            leaves: the rows' leaves and weights.
            y: the rows' targets.
            margins: the rows' margins of this output, ``[n]``.
            gradient: as :meth:`derivatives` gave it, with the weights in it.
            hessian: likewise.
        """
        return newton_step(leaves, gradient, hessian)

    def response(self, margins: Array) -> Array:
        """Return what is predicted: ``[n]`` in the target's unit, or probabilities ``[n, classes]``."""
        return margins[0]


@dataclass(frozen=True)
class SquaredError(Loss):
    """Half the squared error, (y - m)^2 / 2; the best constant and the best step are means."""

    def initial(self, y: Array, weight: Array | None = None) -> Array:
        """Return the mean."""
        return np.array([np.average(y, weights=weight)])

    def pointwise(self, y: Array, margins: Array) -> Array:
        """Return (y - m)^2 / 2."""
        return (y - margins[0]) ** 2 / 2

    def slopes(self, y: Array, margins: Array) -> tuple[Array, Array | None]:
        """Return m - y and ones."""
        return self.derivatives(y, margins)

    def derivatives(
        self, y: Array, margins: Array, weight: Array | None = None, out: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Return m - y and ones, times the weights."""
        gradient = np.subtract(margins, y, out=None if out is None else out[0])
        if weight is None:
            return gradient, None
        gradient *= weight
        return gradient, weight[None]


@dataclass(frozen=True)
class Quantile(Loss):
    """The quantile (pinball) loss: alpha (y - m) above the margin, (1 - alpha) (m - y) below it.

    Args:
        alpha: the quantile that minimises it, in (0, 1).
    """

    alpha: float = 0.5

    def initial(self, y: Array, weight: Array | None = None) -> Array:
        """Return the quantile; without weights interpolated between neighbours, as scikit-learn's is."""
        if weight is None:
            return np.array([np.percentile(y, 100 * self.alpha)])
        return np.array([weighted_quantile(y, self.alpha, weight)])

    def pointwise(self, y: Array, margins: Array) -> Array:
        """Return alpha r for r > 0, (alpha - 1) r otherwise, with r = y - m."""
        residual = y - margins[0]
        return np.maximum(self.alpha * residual, (self.alpha - 1) * residual)

    def slopes(self, y: Array, margins: Array) -> tuple[Array, Array | None]:
        """Return -alpha or 1 - alpha, and ones."""
        return np.where(y >= margins, -self.alpha, 1 - self.alpha), None

    def line_search(
        self, leaves: Leaves, y: Array, margins: Array, gradient: Array, hessian: Array | None
    ) -> Array:
        """Return the quantile of the residuals in each leaf."""
        return leaves.quantile(y - margins, self.alpha)


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """The absolute error |y - m|; the best constant and the best step are medians."""

    def initial(self, y: Array, weight: Array | None = None) -> Array:
        """Return the median."""
        return Quantile(0.5).initial(y, weight)

    def pointwise(self, y: Array, margins: Array) -> Array:
        """Return |y - m|."""
        return np.abs(y - margins[0])

    def slopes(self, y: Array, margins: Array) -> tuple[Array, Array | None]:
        """Return the sign of m - y, -1 where they are equal, and ones."""
        return np.where(margins > y, 1.0, -1.0), None

    def line_search(
        self, leaves: Leaves, y: Array, margins: Array, gradient: Array, hessian: Array | None
    ) -> Array:
        """Return the median of the residuals in each leaf, Alg. 3."""
        return leaves.quantile(y - margins, 0.5)


@dataclass(frozen=True)
class Huber(Loss):
    """Huber's loss: squared up to ``delta``, linear beyond.

    Args:
        alpha: the share of residuals that count as ordinary, in (0, 1).
        delta: the ``alpha``-quantile of their sizes, in the target's unit; :meth:`settled` finds it.
    """

    alpha: float = 0.9
    delta: float = 1.0

    def settled(self, y: Array, margins: Array, weight: Array | None = None) -> Self:
        """Return this loss with ``delta`` taken from the residuals, Alg. 4."""
        return replace(self, delta=weighted_quantile(np.abs(y - margins[0]), self.alpha, weight))

    def initial(self, y: Array, weight: Array | None = None) -> Array:
        """Return the median."""
        return Quantile(0.5).initial(y, weight)

    def pointwise(self, y: Array, margins: Array) -> Array:
        """Return r^2 / 2 for |r| <= delta, delta (|r| - delta / 2) beyond."""
        size = np.abs(y - margins[0])
        return np.where(size <= self.delta, size**2 / 2, self.delta * (size - self.delta / 2))

    def slopes(self, y: Array, margins: Array) -> tuple[Array, Array | None]:
        """Return m - y cut at delta, and ones."""
        return np.clip(margins - y, -self.delta, self.delta), None

    def line_search(
        self, leaves: Leaves, y: Array, margins: Array, gradient: Array, hessian: Array | None
    ) -> Array:
        """Return the median of the residuals and the mean of what is left of them, cut at delta, Alg. 4."""
        residual = y - margins
        median = leaves.quantile(residual, 0.5)
        return median + leaves.mean(np.clip(residual - median[leaves.node], -self.delta, self.delta))


@dataclass(frozen=True)
class Poisson(Loss):
    """The Poisson deviance of counts up to a constant, exp(m) - y m; the margin is the log of the mean."""

    is_likelihood = True

    def initial(self, y: Array, weight: Array | None = None) -> Array:
        """Return the log of the mean."""
        return np.log([max(float(np.average(y, weights=weight)), EPS)])

    def pointwise(self, y: Array, margins: Array) -> Array:
        """Return exp(m) - y m."""
        return np.exp(margins[0]) - y * margins[0]

    def slopes(self, y: Array, margins: Array) -> tuple[Array, Array | None]:
        """Return exp(m) - y and exp(m)."""
        mean = np.exp(margins)
        return mean - y, mean

    def response(self, margins: Array) -> Array:
        """Return the mean exp(m)."""
        return np.exp(margins[0])


@dataclass(frozen=True)
class Logistic(Loss):
    """The log-loss of two classes, ``y`` in {0, 1}; the margin is the log-odds."""

    is_likelihood = True

    def initial(self, y: Array, weight: Array | None = None) -> Array:
        """Return the log-odds of the prior."""
        p = np.clip(np.average(y, weights=weight), EPS, 1 - EPS)
        return np.log([p / (1 - p)])

    def pointwise(self, y: Array, margins: Array) -> Array:
        """Return log(1 + exp(m)) - y m, without overflow."""
        return slopes.logistic_losses(y, margins[0])

    def value(self, y: Array, margins: Array, weight: Array | None = None) -> float:
        """Return the weighted mean loss."""
        if weight is not None:
            return super().value(y, margins, weight)
        return slopes.logistic_loss(y, margins[0]) / len(y)

    def slopes(self, y: Array, margins: Array) -> tuple[Array, Array | None]:
        """Return p - y and p (1 - p); the line search is then Alg. 5."""
        return self.derivatives(y, margins)

    def derivatives(
        self, y: Array, margins: Array, weight: Array | None = None, out: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Return p - y and p (1 - p), times the weights."""
        out = np.empty((2, *margins.shape)) if out is None else out
        gradient, hessian = out[0], out[1]
        slopes.logistic_slopes(y, margins[0], weight, gradient[0], hessian[0])
        return gradient, hessian

    def value_and_derivatives(
        self, y: Array, margins: Array, weight: Array | None, out: Array
    ) -> tuple[float, tuple[Array, Array | None] | None]:
        """Return the mean loss and, without weights, p - y and p (1 - p)."""
        if weight is not None:
            return super().value_and_derivatives(y, margins, weight, out)
        total = slopes.logistic_loss_and_slopes(y, margins[0], out[0, 0], out[1, 0])
        return total / len(y), (out[0], out[1])

    def response(self, margins: Array) -> Array:
        """Return the probabilities of both classes, ``[n, 2]``."""
        p = slopes.sigmoid(margins[0])
        return np.stack([1 - p, p], axis=1)


@dataclass(frozen=True)
class Multinomial(Loss):
    """The log-loss of K classes, ``y`` in 0 .. K - 1; margins are log-probabilities up to a constant.

    Args:
        num_outputs: K, at least 2.
    """

    num_outputs: int
    is_likelihood = True

    def initial(self, y: Array, weight: Array | None = None) -> Array:
        """Return the logs of the priors, centred."""
        counts = np.bincount(y.astype(np.intp), weights=weight, minlength=self.num_outputs)
        logs = np.log(np.clip(counts / counts.sum(), EPS, 1 - EPS))
        return logs - logs.mean()

    def pointwise(self, y: Array, margins: Array) -> Array:
        """Return log(sum over classes of exp(m)) - m of the true class."""
        peak = margins.max(axis=0)
        true = margins[y.astype(np.intp), np.arange(len(y))]
        return np.log(np.exp(margins - peak).sum(axis=0)) + peak - true

    def slopes(self, y: Array, margins: Array) -> tuple[Array, Array | None]:
        """Return p - [y = k] and p (1 - p) for every class k."""
        return self.derivatives(y, margins)

    def derivatives(
        self, y: Array, margins: Array, weight: Array | None = None, out: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Return p - [y = k] and p (1 - p) for every class k, times the weights."""
        out = np.empty((2, *margins.shape)) if out is None else out
        gradient, hessian = out[0], out[1]
        slopes.softmax_slopes(y, margins, weight, gradient, hessian)
        return gradient, hessian

    def value_and_derivatives(
        self, y: Array, margins: Array, weight: Array | None, out: Array
    ) -> tuple[float, tuple[Array, Array | None] | None]:
        """Return the mean loss and, without weights, p - [y = k] and p (1 - p)."""
        if weight is not None:
            return super().value_and_derivatives(y, margins, weight, out)
        return slopes.softmax_loss_and_slopes(y, margins, out[0], out[1]) / len(y), (out[0], out[1])

    def line_search(
        self, leaves: Leaves, y: Array, margins: Array, gradient: Array, hessian: Array | None
    ) -> Array:
        """Return (K - 1) / K times one Newton step, Alg. 6."""
        return (1 - 1 / self.num_outputs) * newton_step(leaves, gradient, hessian)

    def response(self, margins: Array) -> Array:
        """Return the probabilities, ``[n, K]``."""
        return slopes.softmax(margins).T
