"""NADE, the neural autoregressive distribution estimator: one hidden layer shared by all conditionals.

Every bit is predicted from a hidden layer that has read the bits before it. Reading one more bit adds one
column to a running sum, so that all D conditionals together cost O(DH) instead of O(D^2 H).

Reference:
    Larochelle, Murray. "The Neural Autoregressive Distribution Estimator". AISTATS 2011
    Implements: the conditionals p(x_d = 1 | x_<d) = sigmoid(b_d + V_d h_d), h_d = sigmoid(c + W_<d x_<d); the
        running sum and, backwards, its running gradient.
    Departs: trained by Adam with early stopping; V starts at zero, so that training starts at the
        independent model.
    Verified: loops that recompute every hidden layer, 1e-12; gradient by finite differences, 1e-7, and
        against torch's automatic differentiation, 1e-10.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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

_BLOCK = 1 << 16  # numbers in a block of hidden states: what a core's own cache holds
_KEPT = 1 << 24  # numbers kept between the passes of a gradient; beyond, rows are taken in parts


def in_order(weights: Weights, inverse: Array) -> Weights:
    """The weights with their variables in the order of `inverse`."""
    return {name: w if name == "c" else w[inverse] for name, w in weights.items()}


def hidden_states(x: Array, weights: Weights) -> Iterator[tuple[slice, Array]]:
    """The hidden layers before each variable, block by block of variables, of shape (block, rows, hidden).

    A block is overwritten by the next.

    Args:
        x: 0 and 1, variables in order.
        weights: `W` (variables, hidden), `c` (hidden,), and `U` like `W` where being read counts by itself.
    """
    rows, D = x.shape
    W, U = weights["W"], weights.get("U")
    size = max(1, min(D, _BLOCK // max(1, rows * W.shape[1])))
    block = np.empty((size, rows, W.shape[1]), W.dtype)
    running = np.tile(weights["c"], (rows, 1))
    read = np.empty_like(running)
    for first in range(0, D, size):
        span = slice(first, min(first + size, D))
        for i, d in enumerate(range(span.start, span.stop)):
            block[i] = running
            np.multiply(x[:, d, None], W[d], out=read)
            running += read
            if U is not None:
                running += U[d]
        filled = block[: span.stop - first]
        yield span, sigmoid(filled, out=filled)


def nade_logits(x: Array, weights: Weights) -> Array:
    """The log-odds of every bit given those before it; variables in order.

    Args:
        x: 0 and 1, of shape (rows, variables).
        weights: those of `hidden_states`, `V` (variables, hidden) and `b` (variables,).
    """
    logits = np.empty_like(x)
    for span, hidden in hidden_states(x, weights):
        logits[:, span] = np.matmul(hidden, weights["V"][span, :, None])[:, :, 0].T
    return logits + weights["b"]


def nade_gradient(x: Array, weights: Weights) -> tuple[float, Weights]:
    """The mean negative log-likelihood of rows, and its gradient; variables in order."""
    W, V = weights["W"], weights["V"]
    part = max(1, _KEPT // W.size)
    slope = {name: np.zeros_like(w) for name, w in weights.items()}
    loss = 0.0
    for rows in (x[first : first + part] for first in range(0, len(x), part)):
        hidden = np.empty((len(W), len(rows), W.shape[1]), W.dtype)
        for span, states in hidden_states(rows, weights):
            hidden[span] = states
        logits = np.matmul(hidden, V[:, :, None])[:, :, 0].T + weights["b"]
        loss -= log_likelihood(logits, rows).sum() / len(x)
        error = (sigmoid(logits) - rows) / x.dtype.type(len(x))
        slope["b"] += error.sum(axis=0)
        slope["V"] += np.matmul(error.T[:, None, :], hidden)[:, 0]
        _read_back(rows, error, hidden, V, slope)
    return loss, slope


def _read_back(x: Array, error: Array, hidden: Array, V: Array, slope: dict[str, Array]) -> None:
    """Adds the gradients of W and c: what all hidden layers after a bit ask of its column."""
    running = np.zeros_like(hidden[0])
    asked = np.empty_like(running)
    for d in reversed(range(len(V))):
        slope["W"][d] += x[:, d] @ running
        h = hidden[d]
        np.subtract(1, h, out=asked)
        asked *= h  # the derivative of the sigmoid
        asked *= V[d]
        asked *= error[:, d, None]
        running += asked
    slope["c"] += running.sum(axis=0)


def nade_complete(sweep: Sweep, weights: Weights, inverse: Array) -> None:
    """Visits every variable in the order of `inverse`: O(H) each, and less for a row whose bit is 0."""
    W, V, b, U = weights["W"], weights["V"], weights["b"], weights.get("U")
    running = np.tile(weights["c"], (len(sweep.x), 1))
    hidden, room = sigmoid(running), np.empty_like(running)
    for d in inverse.tolist():
        bit = sweep.visit(d, hidden @ V[d] + b[d])
        ones = np.flatnonzero(bit)
        if U is None:  # A 0 adds nothing to the sum: the hidden layer stays.
            # With "clip" NumPy writes into the room directly; a new array each time would cost as much again.
            read = np.take(running, ones, axis=0, out=room[: len(ones)], mode="clip")
            read += W[d]
            running[ones] = read
            hidden[ones] = sigmoid(read, out=read)
        else:
            running[ones] += W[d]
            running += U[d]
            sigmoid(running, out=hidden)


def start_weights(data: BinaryData, hidden: int, rng: np.random.Generator) -> dict[str, Array]:
    """Small random W, no V: the independent model, from which every hidden unit moves elsewhere."""
    D = data.num_variables
    return {
        "W": rng.normal(0, 1 / np.sqrt(D), (D, hidden)).astype(np.float32),
        "c": np.zeros(hidden, np.float32),
        "V": np.zeros((D, hidden), np.float32),
        "b": smoothed_log_odds(data.x).astype(np.float32),
    }


@dataclass(frozen=True, eq=False, kw_only=True)
class NADEModel(Autoregressive):
    """Conditionals that share a hidden layer with sigmoids."""

    family = "nade"

    def logits(self, x: Array, member: int = 0) -> Array:
        """The log-odds of every bit given those before it."""
        order = self.structure["orders"][member]
        inverse = np.argsort(order)
        return nade_logits(x[:, inverse], in_order(self.weights, inverse))[:, order]

    def complete(self, sweep: Sweep, member: int = 0) -> None:
        """Visits every variable in order: O(H) each."""
        nade_complete(sweep, self.weights, np.argsort(self.structure["orders"][member]))


@dataclass(frozen=True, kw_only=True)
class NADE:
    """A shared hidden layer that reads bit after bit, in the data's own order.

    Args:
        hidden: units of the hidden layer.
        learning_rate: of Adam.
        batch_size: rows per step.
        max_epochs: rounds over the rows at most; a budget takes its place.
        patience: stop after so many epochs in which held-out rows did not gain.
    """

    hidden: int = 100
    learning_rate: float = 0.01
    batch_size: int = 50
    max_epochs: int = 200
    patience: int = 8

    def __post_init__(self) -> None:
        check_settings(self)
        if self.hidden < 1:
            raise ValueError(f"expected hidden of at least 1, got {self.hidden}")

    def fit(self, data: BinaryData, *, run: Run | None = None) -> NADEModel:
        """The fitted distribution."""
        run = run or Run()
        structure = {"orders": natural_order(data.num_variables)}

        def gradient(weights: Weights, x: Array, rng: np.random.Generator) -> tuple[float, Weights]:
            return nade_gradient(x, weights)

        def score(weights: Weights, x: Bits) -> float:
            return negative_log_likelihood(NADEModel(weights=weights, structure=structure).log_prob(x))

        weights, history = train(
            start_weights(data, self.hidden, run.rng("weights")),
            gradient,
            score,
            data,
            run,
            self,
        )
        return NADEModel(weights=weights, structure=structure, picture=data.picture, history=history)
