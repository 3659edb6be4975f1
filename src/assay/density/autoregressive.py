"""What the autoregressive models share: bits one after another, orders, averages over orders, in-painting.

A member is the model under one order (and, for MADE, one set of masks): p(x) = prod_d p(x_d | bits before d).
A model with several members is their equal mixture, so its log p is the log of the mean of their p.

In-painting clamps the observed bits while the others are drawn in order. Where every observed bit comes
before every other, that is a draw from the exact conditional. Otherwise the draws do not know the observed
bits that come later, and each is weighted by the probability of those; one of several weighted draws is then
taken, which is the exact conditional only as their number grows.

Reference:
    Fung, Chang. "Weighing and Integrating Evidence for Stochastic Simulation in Bayesian Networks". UAI 1989
    Rubin. "The Calculation of Posterior Distributions by Data Augmentation: Comment". JASA 82(398), 1987
    Implements: likelihood weighting, and importance resampling of its draws.
    Verified: conditionals by enumeration of all vectors.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.density.contract import Bits
from assay.density.likelihood import bit_log_likelihoods, log_likelihood, log_mean_exp
from assay.density.model import Array, DensityModel

_PARTICLES = 100
_ROWS_AT_ONCE = 2048


class Sweep:
    """Rows that are filled in bit by bit.

    A bit is 1 where its log-odds exceed logistic noise, which is drawn for all bits at once; where a bit is
    given, infinite noise decides as it must.

    Args:
        x: the rows, with zeros where nothing is observed.
        observed: where the bits are given, of the shape of `x`.
        rng: of the draws.
    """

    def __init__(self, x: Array, observed: NDArray[np.bool_], rng: np.random.Generator) -> None:
        self.columns = np.array(x.T, order="C")
        """The rows' bits so far, one line per variable; bits that are observed stand there from the start."""
        u = rng.random(self.columns.shape)
        with np.errstate(divide="ignore"):
            noise = np.log(u) - np.log1p(-u)
        self._observed = observed.T
        noise[self._observed] = np.where(self.columns[self._observed] == 1, -np.inf, np.inf)
        self._noise = noise.astype(x.dtype)
        self._logits = np.zeros_like(self.columns)

    def visit(self, d: int, logit: Array) -> Array:
        """The bits of variable `d`: as observed, or drawn with these log-odds."""
        self._logits[d] = logit
        return np.greater(logit, self._noise[d], out=self.columns[d])

    @property
    def x(self) -> Array:
        """The rows."""
        return self.columns.T

    @property
    def log_weight(self) -> NDArray[np.float64]:
        """log of the product of the probabilities of each row's observed bits, once all are visited."""
        each = bit_log_likelihoods(self._logits, self.columns)
        return (each * self._observed).sum(axis=0, dtype=np.float64)


@dataclass(frozen=True, eq=False, kw_only=True)
class Autoregressive(DensityModel):
    """A product of conditionals in an order; `structure["orders"]` has one row per member.

    `orders[k, d]` is the position of variable d, from 0, in member k.
    """

    @property
    def num_variables(self) -> int:
        """How many bits a vector has."""
        return self.structure["orders"].shape[1]

    @property
    def num_members(self) -> int:
        """How many orders the model averages over."""
        return len(self.structure["orders"])

    @abstractmethod
    def logits(self, x: Array, member: int = 0) -> Array:
        """The log-odds of every bit given those before it, of the shape of `x`."""

    @abstractmethod
    def complete(self, sweep: Sweep, member: int = 0) -> None:
        """Visits every variable in the member's order with its log-odds."""

    def log_prob(self, x: Array) -> NDArray[np.float64]:
        """log p of each row in nats."""
        x = self.checked(x)
        parts = [x[first : first + _ROWS_AT_ONCE] for first in range(0, len(x), _ROWS_AT_ONCE)]
        return np.concatenate([log_mean_exp(self._member_log_probs(part)) for part in parts])

    def sample(self, num: int, rng: np.random.Generator) -> Bits:
        """`num` independent draws: a member, then bit after bit."""
        nothing = np.zeros((num, self.num_variables), bool)
        return self._drawn(nothing.astype(self._dtype), nothing, rng)[0].astype(np.uint8)

    def in_paint(
        self, x: Array, observed: NDArray[np.bool_], rng: np.random.Generator, *, particles: int = _PARTICLES
    ) -> Bits:
        """`x` with the bits that are not observed drawn given those that are, one draw per row.

        Args:
            x: 0 and 1, of shape (rows, variables); what stands in unobserved places is ignored.
            observed: of the same shape, or one row for all.
            rng: of the draws.
            particles: weighted draws to choose one from, where a single one is not exact.
        """
        x, observed = self.completion(x, observed)
        if self.in_paints_exactly(observed):
            return self._drawn(x, observed, rng)[0].astype(np.uint8)
        many = self._drawn(x.repeat(particles, axis=0), observed.repeat(particles, axis=0), rng)
        log_weight = many[1].reshape(len(x), particles)
        chosen = (log_weight + rng.gumbel(size=log_weight.shape)).argmax(axis=1)
        return many[0].reshape(len(x), particles, -1)[np.arange(len(x)), chosen].astype(np.uint8)

    def in_paints_exactly(self, observed: NDArray[np.bool_]) -> bool:
        """Whether there is one order, and every observed bit is before every other in it."""
        position = self.structure["orders"][0]
        last_given = np.where(observed, position, -1).max(axis=-1)
        first_open = np.where(observed, self.num_variables, position).min(axis=-1)
        return self.num_members == 1 and bool(np.all(last_given < first_open))

    @property
    def _dtype(self) -> np.dtype:
        return next(iter(self.weights.values())).dtype

    def _member_log_probs(self, x: Array) -> NDArray[np.float64]:
        return np.stack([log_likelihood(self.logits(x, k), x) for k in range(self.num_members)])

    def _drawn(
        self, x: Array, observed: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[Array, NDArray[np.float64]]:
        """The rows filled in, each by a member drawn for it, and their log-weights."""
        member = rng.integers(self.num_members, size=len(x))
        log_weight = np.zeros(len(x))
        for k in np.unique(member):
            rows = np.flatnonzero(member == k)
            sweep = Sweep(x[rows], observed[rows], rng)
            self.complete(sweep, int(k))
            x[rows], log_weight[rows] = sweep.x, sweep.log_weight
        return x, log_weight


def draw_orders(num: int, num_variables: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`num` random orders, one a row."""
    return np.stack([rng.permutation(num_variables) for _ in range(num)])


def natural_order(num_variables: int) -> NDArray[np.int64]:
    """The data's own order, as the only one."""
    return np.arange(num_variables)[None]
