"""FVSBN, the fully visible sigmoid belief network: every bit is a logistic regression on the bits before it.

The simplest autoregressive model, with a weight for every pair of variables and nothing hidden.

Reference:
    Frey, Hinton, Dayan. "Does the Wake-sleep Algorithm Produce Good Density Estimators?". NIPS 1995
    Frey. "Graphical Models for Machine Learning and Digital Communication". MIT Press 1998
    Implements: logit_d = b_d + sum over j before d of W_jd x_j.
    Departs: trained by Adam with early stopping; starts as the independent model.
    Verified: loops over pairs, 1e-12; gradient by finite differences, 1e-7; scikit-learn's logistic
        regressions, column by column, 1e-4.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assay.core.run import Run
from assay.density.autoregressive import Autoregressive, Sweep, natural_order
from assay.density.contract import BinaryData, Bits
from assay.density.likelihood import (
    log_likelihood,
    negative_log_likelihood,
    sigmoid,
    smoothed_log_odds,
)
from assay.density.model import Array, Weights
from assay.density.training import check_settings, train


def before(order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether variable j (row) comes strictly before variable d (column)."""
    return order[:, None] < order[None, :]


def fvsbn_logits(x: Array, weights: Weights, mask: NDArray[np.bool_]) -> Array:
    """The log-odds of every bit given those before it.

    Args:
        x: 0 and 1, of shape (rows, variables).
        weights: `W` (variables before, variables) and `b`.
        mask: what `before` gives.
    """
    return x @ (weights["W"] * mask) + weights["b"]


def fvsbn_gradient(x: Array, weights: Weights, mask: NDArray[np.bool_]) -> tuple[float, Weights]:
    """The mean negative log-likelihood of rows, and its gradient."""
    logits = fvsbn_logits(x, weights, mask)
    error = (sigmoid(logits) - x) / x.dtype.type(len(x))
    slope = {"W": (x.T @ error) * mask, "b": error.sum(axis=0)}
    return negative_log_likelihood(log_likelihood(logits, x)), slope


@dataclass(frozen=True, eq=False, kw_only=True)
class FVSBNModel(Autoregressive):
    """Logistic regressions in a row."""

    family = "fvsbn"

    @cached_property
    def _mask(self) -> NDArray[np.bool_]:
        return before(self.structure["orders"][0])

    def logits(self, x: Array, member: int = 0) -> Array:
        """The log-odds of every bit given those before it."""
        return fvsbn_logits(x, self.weights, self._mask)

    def complete(self, sweep: Sweep, member: int = 0) -> None:
        """Visits every variable in order: O(D) each."""
        W, b = np.ascontiguousarray((self.weights["W"] * self._mask).T), self.weights["b"]
        for d in np.argsort(self.structure["orders"][0]).tolist():
            sweep.visit(d, W[d] @ sweep.columns + b[d])


@dataclass(frozen=True, kw_only=True)
class FVSBN:
    """Logistic regressions on the previous bits, in the data's own order.

    Args:
        learning_rate: of Adam.
        batch_size: rows per step.
        max_epochs: rounds over the rows at most; a budget takes its place.
        patience: stop after so many epochs in which held-out rows did not gain.
    """

    learning_rate: float = 0.01
    batch_size: int = 50
    max_epochs: int = 200
    patience: int = 8

    def __post_init__(self) -> None:
        check_settings(self)

    def fit(self, data: BinaryData, *, run: Run | None = None) -> FVSBNModel:
        """The fitted distribution."""
        run = run or Run()
        D = data.num_variables
        start = {"W": np.zeros((D, D), np.float32), "b": smoothed_log_odds(data.x).astype(np.float32)}
        orders = natural_order(D)
        mask = before(orders[0])

        def gradient(weights: Weights, x: Array, rng: np.random.Generator) -> tuple[float, Weights]:
            return fvsbn_gradient(x, weights, mask)

        def score(weights: Weights, x: Bits) -> float:
            model = FVSBNModel(weights=weights, structure={"orders": orders})
            return negative_log_likelihood(model.log_prob(x))

        weights, history = train(
            start,
            gradient,
            score,
            data,
            run,
            self,
        )
        structure = {"orders": orders}
        return FVSBNModel(weights=weights, structure=structure, picture=data.picture, history=history)
