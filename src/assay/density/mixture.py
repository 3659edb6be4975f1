"""Mixture of Bernoullis: a few prototypes, each a vector of coins, found by expectation-maximisation.

Every vector is thought to come from one of K prototypes. EM in turn guesses which (E step) and moves the
prototypes to the vectors that are theirs (M step); the likelihood never falls.

Reference:
    Dempster, Laird, Rubin. "Maximum Likelihood from Incomplete Data via the EM Algorithm". JRSS B 39(1), 1977
    Implements: E and M step for products of Bernoullis, as in Bishop, "Pattern Recognition and Machine
        Learning", Section 9.3.3.
    Departs: the M step adds half a one and half a zero to every prototype's counts, and one row to every
        prototype, so that no probability is 0 or 1; EM stops when held-out rows stop gaining.
    Verified: loops of E and M step, 1e-10; scikit-learn's BernoulliNB with the same tables, 1e-10.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.core.run import Run
from assay.density.contract import BinaryData, Bits
from assay.density.likelihood import negative_log_likelihood
from assay.density.model import Array, DensityModel, Moment, Weights
from assay.density.training import held_out, is_shown

_PSEUDO_COUNT = 0.5


def log_joint(x: Array, weights: Weights, observed: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """log p(x, k), or log p(the observed part of x, k), of shape (rows, components).

    Args:
        x: 0 and 1.
        weights: `log_pi` (components,) and the prototypes' `logits` (components, variables).
        observed: of the shape of `x`; None for all.
    """
    logits = weights["logits"].astype(np.float64)
    log_zero = -(np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits))))  # log(1 - p)
    if observed is None:
        return x @ logits.T + log_zero.sum(axis=1) + weights["log_pi"]
    seen = observed.astype(np.float64)
    return (x * seen) @ logits.T + seen @ log_zero.T + weights["log_pi"]


def responsibilities(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """p(k | x): the E step."""
    joint = np.exp(joint - joint.max(axis=1, keepdims=True))
    return joint / joint.sum(axis=1, keepdims=True)


def maximised(x: Array, shares: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The weights that the rows' shares in the components ask for: the M step."""
    size = shares.sum(axis=0)
    ones = shares.T @ x
    return {
        "log_pi": np.log((size + 1) / (len(x) + len(size))),
        "logits": np.log(ones + _PSEUDO_COUNT) - np.log(size[:, None] - ones + _PSEUDO_COUNT),
    }


@dataclass(frozen=True, eq=False, kw_only=True)
class MixtureModel(DensityModel):
    """A weighted sum of products of coins."""

    family = "mixture"

    @property
    def num_variables(self) -> int:
        """How many bits a vector has."""
        return self.weights["logits"].shape[1]

    def log_prob(self, x: Array) -> NDArray[np.float64]:
        """log p of each row in nats: the log of the sum over components."""
        return np.logaddexp.reduce(log_joint(self.checked(x), self.weights), axis=1)

    def sample(self, num: int, rng: np.random.Generator) -> Bits:
        """`num` independent draws: a component, then its coins."""
        chances = np.broadcast_to(np.exp(self.weights["log_pi"]), (num, len(self.weights["log_pi"])))
        return self._drawn(chances, rng)

    def in_paint(self, x: Array, observed: NDArray[np.bool_], rng: np.random.Generator) -> Bits:
        """`x` completed: a component given the observed bits, then its coins for the others."""
        x, observed = self.completion(x, observed)
        drawn = self._drawn(responsibilities(log_joint(x, self.weights, observed)), rng)
        return np.where(observed, x, drawn).astype(np.uint8)

    def in_paints_exactly(self, observed: NDArray[np.bool_]) -> bool:
        """Always: the sum over components has a closed form for every subset of the bits."""
        return True

    def _drawn(self, chances: NDArray[np.float64], rng: np.random.Generator) -> Bits:
        cumulative = np.cumsum(chances, axis=1)
        component = (rng.random((len(chances), 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1)
        probs = 1 / (1 + np.exp(-self.weights["logits"]))
        return (rng.random((len(chances), self.num_variables)) < probs[component]).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A mixture of products of Bernoullis, by EM.

    Args:
        num_components: how many prototypes, at least 1.
        max_epochs: how many rounds of EM at most; a budget takes its place.
        patience: stop after so many rounds in which held-out rows did not gain.
    """

    num_components: int = 100
    max_epochs: int = 100
    patience: int = 5

    def __post_init__(self) -> None:
        if self.num_components < 1 or self.max_epochs < 1 or self.patience < 1:
            raise ValueError(f"expected num_components, max_epochs and patience of at least 1, got {self}")

    def fit(self, data: BinaryData, *, run: Run | None = None) -> MixtureModel:
        """The fitted distribution."""
        run = run or Run()
        learn, check = held_out(data, run)
        draws = run.rng("epochs")
        # Every row starts as a random mixture of the components: near the mean, but none equal.
        shares = run.rng("mixture").dirichlet(np.full(self.num_components, 0.1), len(learn))
        best = weights = maximised(learn.x, shares)
        best_score, waited, history = np.inf, 0, []
        epoch = 0
        while waited < self.patience and (run.budget is not None or epoch < self.max_epochs):
            x = learn.drawn(draws)
            weights = maximised(x, responsibilities(log_joint(x, weights)))
            epoch += 1
            score = negative_log_likelihood(np.logaddexp.reduce(log_joint(check.x, weights), axis=1))
            run.log(epoch, validation=score)
            waited += 1
            if score < best_score:
                best, best_score, waited = weights, score, 0
            if is_shown(epoch):
                history.append(Moment(epoch, weights))
            spent = run.spent(epochs=epoch, steps=epoch, examples=epoch * len(learn))
            run.progress(max(spent, epoch / self.max_epochs if run.budget is None else 0), f"epoch {epoch}")
            if spent >= 1:
                break
        return MixtureModel(weights=best, picture=data.picture, history=history)
