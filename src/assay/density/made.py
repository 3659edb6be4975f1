"""MADE, the masked autoencoder: a network whose masks let every output see only the bits before it.

Masks on the weights of an ordinary network cut every path from a bit to itself and to those before it, so
that one pass gives all conditionals. Several sets of masks, each with its own order, share the weights.

Reference:
    Germain, Gregor, Murray, Larochelle. "MADE: Masked Autoencoder for Distribution Estimation". ICML 2015.
    arXiv:1502.03509v2
    Implements: the masks, for deep networks too; direct connections from input to output; order-agnostic and
        connectivity-agnostic training by cycling through sets of masks.
    Departs: the degrees of a hidden layer are spread evenly over their range and then shuffled, so that none
        is missing by chance; trained by Adam with early stopping; a sample costs one pass in all, because
        every hidden unit is computed when the last bit that it sees is known; what no set of masks keeps is
        left out of products and steps (see `assay.density.panels`).
    Verified: paths counted by loops; gradient by finite differences, 1e-7, and against torch's automatic
        differentiation, 1e-10; without hidden layers it is FVSBN, 1e-12.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike, NDArray

from assay.core.run import Run
from assay.density.autoregressive import Autoregressive, Sweep, draw_orders, natural_order
from assay.density.contract import BinaryData, Bits
from assay.density.likelihood import (
    log_likelihood,
    negative_log_likelihood,
    sigmoid,
    smoothed_log_odds,
)
from assay.density.model import Array, Moment, Weights
from assay.density.panels import Plan, back_product, joined, panels, product, slopes, split, whole
from assay.density.training import check_settings, train

Degrees = Sequence[NDArray[np.int64]]
"""Of the inputs, 1 to D, and of every hidden layer: a unit sees the bits of at most its degree."""


def draw_degrees(order: NDArray[np.int64], hidden: Sequence[int], rng: np.random.Generator) -> Degrees:
    """Degrees for a network in this order.

    Args:
        order: the position of every variable, from 0.
        hidden: units of every hidden layer.
        rng: of the shuffles.
    """
    degrees = [order + 1]
    highest = max(1, len(order) - 1)
    for units in hidden:
        lowest = int(degrees[-1].min())
        spread = lowest + np.arange(units) * (highest - lowest + 1) // units
        if units < highest - lowest + 1:  # Too few for all degrees: a random choice.
            spread = rng.choice(np.arange(lowest, highest + 1), units, replace=False)
        degrees.append(rng.permutation(spread))
    return degrees


def masks(degrees: Degrees) -> tuple[list[NDArray[np.bool_]], NDArray[np.bool_]]:
    """Of every layer's weights, the output's last, and of the direct connections."""
    inputs, last = degrees[0], degrees[-1]
    layers = [above[None, :] >= below[:, None] for below, above in pairwise(degrees)]
    direct = inputs[None, :] > inputs[:, None]
    # Without hidden layers there is no output layer beside the direct connections.
    output = [inputs[None, :] > last[:, None]] if len(degrees) > 1 else []
    return layers + output, direct


def cuts(degrees: Degrees, dtype: DTypeLike = np.float64) -> dict[str, Array]:
    """The masks as 0 and 1 by the name of the weights that they cut."""
    layers, direct = masks(degrees)
    named = {f"W{i}": mask for i, mask in enumerate(layers)} | {"direct": direct}
    return {name: mask.astype(dtype) for name, mask in named.items()}


def masked(weights: Weights, cut: Weights) -> Weights:
    """The weights with zeros where the masks cut."""
    return {name: w * cut[name] if name in cut else w for name, w in weights.items()}


def made_logits(x: Array, weights: Weights, num_hidden: int, plan: Plan) -> tuple[Array, list[Array]]:
    """The log-odds of every bit given those before it, and the hidden layers.

    Args:
        x: 0 and 1, of shape (rows, variables).
        weights: masked: the panels of `W0`, ... of the hidden layers, of `W<num_hidden>` of the output and
            of `direct`, if there are direct connections; `c0`, ... and `b`.
        num_hidden: number of hidden layers.
        plan: the panels of every matrix.
    """
    layers = [x]
    for i in range(num_hidden):
        hidden = product(layers[-1], weights, plan[f"W{i}"])
        hidden += weights[f"c{i}"]
        layers.append(np.maximum(hidden, 0, out=hidden))
    logits = np.tile(weights["b"], (len(x), 1))
    if num_hidden:
        logits += product(layers[-1], weights, plan[f"W{num_hidden}"])
    if "direct" in plan:
        logits += product(x, weights, plan["direct"])
    return logits, layers[1:]


def made_gradient(
    x: Array, weights: Weights, cut: Weights, num_hidden: int, plan: Plan
) -> tuple[float, Weights]:
    """The mean negative log-likelihood of rows, and its gradient; the weights come unmasked.

    Args:
        x, weights, num_hidden, plan: as in `made_logits`, but for the masks.
        cut: the masks as 0 and 1, by the names of the panels.
    """
    open_ = masked(weights, cut)
    logits, hidden = made_logits(x, open_, num_hidden, plan)
    loss = negative_log_likelihood(log_likelihood(logits, x))
    error = sigmoid(logits, out=logits)
    error -= x
    error /= len(x)
    slope = {"b": error.sum(axis=0)}
    if "direct" in plan:
        slope |= slopes(x, error, plan["direct"])
    layers = [x, *hidden]
    for i in reversed(range(num_hidden + 1 if num_hidden else 0)):
        slope |= slopes(layers[i], error, plan[f"W{i}"])
        if i:
            error = back_product(error, open_, plan[f"W{i}"], layers[i].shape[1])
            error *= layers[i] > 0  # the derivative of the rectifier
            slope[f"c{i - 1}"] = error.sum(axis=0)
    for name, mask in cut.items():
        slope[name] *= mask
    return loss, slope


@dataclass(frozen=True, eq=False, kw_only=True)
class MADEModel(Autoregressive):
    """A masked network, averaged over its sets of masks.

    `structure` holds the `orders`, and for every hidden layer `degrees<i>`, one row per set of masks.
    """

    family = "made"

    @property
    def num_hidden(self) -> int:
        """How many hidden layers."""
        return len(self.structure) - 1

    def degrees(self, member: int) -> Degrees:
        """Of the inputs and the hidden layers in a set of masks."""
        hidden = [self.structure[f"degrees{i}"][member] for i in range(self.num_hidden)]
        return [self.structure["orders"][member] + 1, *hidden]

    def cuts(self, member: int) -> Weights:
        """The masks of its matrices as 0 and 1 in the type of the weights."""
        found = cuts(self.degrees(member), self.weights["b"].dtype)
        return {name: mask for name, mask in found.items() if name in self.weights}

    @cached_property
    def plan(self) -> Plan:
        """Every matrix as its only panel."""
        return {name: whole(name) for name, w in self.weights.items() if w.ndim == 2}

    def partition(self) -> tuple[Plan, list[Weights]]:
        """The panels of what any set of masks keeps, and every set of masks by panels.

        What all of them cut need not be held while it is trained: for a single set that is half.
        """
        sets = [self.cuts(member) for member in range(self.num_members)]
        plan = {name: panels(name, np.any([cut[name] for cut in sets], axis=0)) for name in self.plan}
        return plan, [split(cut, plan) for cut in sets]

    @cached_property
    def _only(self) -> Weights:
        """The masked weights of the first set of masks."""
        return masked(self.weights, self.cuts(0))

    def _masked(self, member: int) -> Weights:
        return self._only if member == 0 else masked(self.weights, self.cuts(member))

    def logits(self, x: Array, member: int = 0) -> Array:
        """The log-odds of every bit given those before it, under one set of masks."""
        return made_logits(x, self._masked(member), self.num_hidden, self.plan)[0]

    def complete(self, sweep: Sweep, member: int = 0) -> None:
        """Visits every variable in order. A unit of degree k is computed once, when k bits are known."""
        weights, degrees = self._masked(member), self.degrees(member)
        rows = len(sweep.x)
        layers = [sweep.columns] + [np.zeros((len(d), rows), sweep.columns.dtype) for d in degrees[1:]]
        into = {name: np.ascontiguousarray(w.T) for name, w in weights.items()}
        for known, d in enumerate(np.argsort(degrees[0]).tolist()):
            for i in range(self.num_hidden):
                new = np.flatnonzero(degrees[i + 1] == known)
                if len(new):
                    hidden = into[f"W{i}"][new] @ layers[i] + weights[f"c{i}"][new, None]
                    layers[i + 1][new] = np.maximum(hidden, 0)
            logit = np.full(rows, weights["b"][d])
            if self.num_hidden:
                logit += into[f"W{self.num_hidden}"][d] @ layers[-1]
            if "direct" in into:
                logit += into["direct"][d] @ sweep.columns
            sweep.visit(d, logit)


@dataclass(frozen=True, kw_only=True)
class MADE:
    """A masked network.

    Args:
        hidden: units of the hidden layer, or of each hidden layer.
        direct: whether inputs are also connected to outputs directly.
        num_masks: sets of masks that training cycles through, and whose probabilities are averaged.
        random_orders: a random order for every set of masks, and not the data's own.
        learning_rate: of Adam.
        batch_size: rows per step.
        max_epochs: rounds over the rows at most; a budget takes its place.
        patience: stop after so many epochs in which held-out rows did not gain.
    """

    hidden: int | tuple[int, ...] = 500
    direct: bool = True
    num_masks: int = 8
    random_orders: bool = True
    learning_rate: float = 0.003
    batch_size: int = 50
    max_epochs: int = 200
    patience: int = 8

    def __post_init__(self) -> None:
        check_settings(self)
        if any(units < 1 for units in self._hidden) or self.num_masks < 1:
            raise ValueError(f"expected hidden units and num_masks of at least 1, got {self}")
        if not self._hidden and not self.direct:
            raise ValueError("without hidden layers and direct connections nothing is connected")

    @property
    def _hidden(self) -> tuple[int, ...]:
        return (self.hidden,) if isinstance(self.hidden, int) else tuple(self.hidden)

    def fit(self, data: BinaryData, *, run: Run | None = None) -> MADEModel:
        """The fitted distribution."""
        run = run or Run()
        model = self.start(data, run.rng("weights"), run.rng("orders"))
        plan, sets = model.partition()
        turn = 0

        def gradient(weights: Weights, x: Array, rng: np.random.Generator) -> tuple[float, Weights]:
            nonlocal turn
            turn += 1
            return made_gradient(x, weights, sets[turn % self.num_masks], model.num_hidden, plan)

        def trained(weights: Weights) -> MADEModel:
            return replace(model, weights=joined(weights, plan, model.weights))

        def score(weights: Weights, x: Bits) -> float:
            return negative_log_likelihood(trained(weights).log_prob(x))

        weights, history = train(
            split(model.weights, plan),
            gradient,
            score,
            data,
            run,
            self,
        )
        moments = [Moment(epoch, trained(then).weights) for epoch, then in history]
        return replace(trained(weights), history=moments)

    def start(self, data: BinaryData, rng: np.random.Generator, drawing: np.random.Generator) -> MADEModel:
        """The model before training: independent bits."""
        D = data.num_variables
        orders = natural_order(D).repeat(self.num_masks, axis=0)
        if self.random_orders:
            orders = draw_orders(self.num_masks, D, drawing)
        degrees = [draw_degrees(order, self._hidden, drawing)[1:] for order in orders]
        if self.num_masks == 1:  # Their order means nothing then, and sorted they are quicker to train.
            degrees = [[np.sort(d) for d in degrees[0]]]
        structure = {f"degrees{i}": np.stack(d) for i, d in enumerate(zip(*degrees, strict=True))}
        weights = {"b": smoothed_log_odds(data.x).astype(np.float32)}
        below = D
        for i, units in enumerate(self._hidden):
            weights[f"W{i}"] = rng.normal(0, np.sqrt(2 / below), (below, units)).astype(np.float32)
            weights[f"c{i}"] = np.zeros(units, np.float32)
            below = units
        if self._hidden:
            weights[f"W{len(self._hidden)}"] = np.zeros((below, D), np.float32)
        if self.direct:
            weights["direct"] = np.zeros((D, D), np.float32)
        structure = {"orders": orders} | structure
        return MADEModel(weights=weights, structure=structure, picture=data.picture)
