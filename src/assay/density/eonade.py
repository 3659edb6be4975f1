"""EoNADE, an ensemble of orderless NADEs: one network trained for all orders at once, averaged over some.

Trained to predict any missing bits from any others, the network gives a NADE for every order; the average of
their probabilities is a better model than one of them, and any part of a vector can be filled in from the
rest.

Reference:
    Uria, Murray, Larochelle. "A Deep and Tractable Density Estimator". ICML 2014. arXiv:1310.1757v2
    Implements: the order-agnostic training criterion with the weight D / (D - d + 1), the mask as a second
        input, and ensembles of orders.
    Departs: hidden units are sigmoids as in NADE; trained by Adam with early stopping.
    Omits: more than one hidden layer, with which an order's conditionals cost O(D H^2) and not O(DH).
    Verified: the expected loss is the mean over all orders, D = 4 enumerated, 1e-10; gradient by finite
        differences, 1e-7.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.core.run import Run
from assay.density.autoregressive import Autoregressive, Sweep, draw_orders
from assay.density.contract import BinaryData, Bits
from assay.density.likelihood import negative_log_likelihood, sigmoid
from assay.density.model import Array, Weights
from assay.density.nade import in_order, nade_complete, nade_logits, start_weights
from assay.density.training import check_settings, train

_SCORED_ORDERS = 2  # by which training is stopped


def draw_known(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which bits are known: for each row a number of 0 to D - 1 that is drawn first, all equally likely."""
    rows, D = shape
    position = rng.random(shape).argsort(axis=1)
    return position < rng.integers(D, size=(rows, 1))


def orderless_gradient(x: Array, known: NDArray[np.bool_], weights: Weights) -> tuple[float, Weights]:
    """The mean over rows of D / missing times the cross-entropy of the missing bits, and its gradient.

    Over random `known` its mean is the mean negative log-likelihood over all orders.

    Args:
        x: 0 and 1, of shape (rows, variables).
        known: what the network is shown, of the same shape; at least one bit a row is not.
        weights: `W`, `U` and `V` (variables, hidden), `c` (hidden,), `b` (variables,).
    """
    seen = known.astype(x.dtype)
    shown = x * seen
    hidden = sigmoid(shown @ weights["W"] + seen @ weights["U"] + weights["c"])
    logits = hidden @ weights["V"].T + weights["b"]
    scale = (1 - seen) * (x.shape[1] / (1 - seen).sum(axis=1, keepdims=True)) / len(x)
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    loss = float((scale * (softplus - x * logits)).sum(dtype=np.float64))
    error = (scale * (sigmoid(logits) - x)).astype(x.dtype)
    below = (error @ weights["V"]) * hidden * (1 - hidden)
    slope = {
        "W": shown.T @ below,
        "U": seen.T @ below,
        "c": below.sum(axis=0),
        "V": error.T @ hidden,
        "b": error.sum(axis=0),
    }
    return loss, slope


@dataclass(frozen=True, eq=False, kw_only=True)
class EoNADEModel(Autoregressive):
    """The equal mixture of NADEs in several orders, which share their weights."""

    family = "eonade"

    def logits(self, x: Array, member: int = 0) -> Array:
        """The log-odds of every bit given those before it in a member's order."""
        order = self.structure["orders"][member]
        inverse = np.argsort(order)
        return nade_logits(x[:, inverse], in_order(self.weights, inverse))[:, order]

    def complete(self, sweep: Sweep, member: int = 0) -> None:
        """Visits every variable in a member's order: O(H) each."""
        nade_complete(sweep, self.weights, np.argsort(self.structure["orders"][member]))

    def in_paint(self, x: Array, observed: NDArray[np.bool_], rng: np.random.Generator) -> Bits:
        """`x` completed, in a random order in which what is observed comes first.

        That is a draw from the exact conditional under that order, for any observed bits; the conditional of
        the average over the model's own orders is another distribution.
        """
        x, observed = self.completion(x, observed)
        for pattern in np.unique(observed, axis=0):
            rows = np.flatnonzero((observed == pattern).all(axis=1))
            inverse = np.lexsort((rng.random(self.num_variables), ~pattern))
            sweep = Sweep(x[rows], observed[rows], rng)
            nade_complete(sweep, self.weights, inverse)
            x[rows] = sweep.x
        return x.astype(np.uint8)

    def in_paints_exactly(self, observed: NDArray[np.bool_]) -> bool:
        """Whether nothing or everything is observed: else the average over orders has another conditional."""
        return bool(np.all(observed)) or not np.any(observed)


@dataclass(frozen=True, kw_only=True)
class EoNADE:
    """One network for all orders, averaged over some.

    Args:
        hidden: units of the hidden layer.
        num_orders: orders whose probabilities are averaged.
        learning_rate: of Adam.
        batch_size: rows per step.
        max_epochs: rounds over the rows at most; a budget takes its place.
        patience: stop after so many epochs in which held-out rows did not gain.
    """

    hidden: int = 200
    num_orders: int = 8
    learning_rate: float = 0.003
    batch_size: int = 50
    max_epochs: int = 500
    patience: int = 20

    def __post_init__(self) -> None:
        check_settings(self)
        if self.hidden < 1 or self.num_orders < 1:
            raise ValueError(f"expected hidden and num_orders of at least 1, got {self}")

    def fit(self, data: BinaryData, *, run: Run | None = None) -> EoNADEModel:
        """The fitted distribution."""
        run = run or Run()
        start = start_weights(data, self.hidden, run.rng("weights"))
        start["U"] = np.zeros_like(start["W"])
        orders = draw_orders(self.num_orders, data.num_variables, run.rng("orders"))
        model = EoNADEModel(weights=start, structure={"orders": orders}, picture=data.picture)

        def gradient(weights: Weights, x: Array, rng: np.random.Generator) -> tuple[float, Weights]:
            return orderless_gradient(x, draw_known(x.shape, rng), weights)

        def score(weights: Weights, x: Bits) -> float:
            few = replace(model, weights=weights, structure={"orders": orders[:_SCORED_ORDERS]})
            return negative_log_likelihood(few.log_prob(x))

        weights, history = train(
            start,
            gradient,
            score,
            data,
            run,
            self,
        )
        return replace(model, weights=weights, history=history)
