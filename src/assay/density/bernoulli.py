"""Independent Bernoullis: every bit is a coin of its own.

The floor of the wing: what is known about a distribution when only the share of ones in every column is. Its
maximum likelihood, which is its least Kullback-Leibler divergence from the data, is that share itself.

Reference:
    Laplace. "Essai philosophique sur les probabilités". 1814 (the rule of succession)
    Implements: p_d = (ones + 1) / (rows + 2).
    Verified: counting loops, 1e-12; the probabilities of all vectors sum to 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.core.run import Run
from assay.density.contract import BinaryData, Bits
from assay.density.likelihood import log_likelihood, smoothed_log_odds
from assay.density.model import Array, DensityModel


@dataclass(frozen=True, eq=False, kw_only=True)
class BernoulliModel(DensityModel):
    """A product of coins; `weights["b"]` holds their log-odds."""

    family = "bernoulli"

    @property
    def num_variables(self) -> int:
        """How many coins."""
        return len(self.weights["b"])

    def log_prob(self, x: Array) -> NDArray[np.float64]:
        """log p of each row in nats."""
        x = self.checked(x)
        return log_likelihood(np.broadcast_to(self.weights["b"], x.shape), x)

    def sample(self, num: int, rng: np.random.Generator) -> Bits:
        """`num` independent draws."""
        return (rng.random((num, self.num_variables)) < self._probs()).astype(np.uint8)

    def in_paint(self, x: Array, observed: NDArray[np.bool_], rng: np.random.Generator) -> Bits:
        """`x` with new bits where nothing is observed: what is observed says nothing about them."""
        x, observed = self.completion(x, observed)
        return np.where(observed, x, self.sample(len(x), rng)).astype(np.uint8)

    def in_paints_exactly(self, observed: NDArray[np.bool_]) -> bool:
        """Always."""
        return True

    def _probs(self) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-self.weights["b"]))


@dataclass(frozen=True, kw_only=True)
class Bernoulli:
    """The share of ones in every column, with Laplace's rule."""

    def fit(self, data: BinaryData, *, run: Run | None = None) -> BernoulliModel:
        """The fitted distribution."""
        x = data.x if data.grey is None else data.grey  # The mean of all draws is the grey value.
        return BernoulliModel(weights={"b": smoothed_log_odds(x)}, picture=data.picture)
