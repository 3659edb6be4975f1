"""Oracles: what is asked at w, and answers with a noisy value of a function whose root is sought.

A mean is the root of w - E[X] and is seen through w - x; a quantile is the root of P(X <= w) - q and is seen
through whether x <= w. The function itself stays hidden: a method only ever sees `observe`.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assay.data.table import ContractError
from assay.estimation.populations import Population
from assay.estimation.schedules import Values

_BLOCK = 2**18  # observations held in memory at a time
_TRIES = 8


class Oracle(ABC):
    """Gives noisy observations of g(w).

    Attributes:
        shape: of one w; () for a plain number.
        replayable: whether a generator in the same state gives the same noise again.
    """

    shape: tuple[int, ...] = ()
    replayable: bool = True

    @abstractmethod
    def observe(self, w: Values, rng: np.random.Generator) -> Values:
        """g(w) + noise, shaped like w; NaN where nothing was seen this time.

        Args:
            w: float64[runs, *shape], or with one more axis in front for several observations at once.
            rng: where the noise comes from; independent for every entry.
        """

    def begin(self, samples: int, runs: int, rng: np.random.Generator) -> "Oracle":
        """The oracle of one fit, which will ask for so many samples of each run."""
        return self


@dataclass(frozen=True, eq=False)
class Mean(Oracle):
    """The root of w - E[X], observed as w - x.

    Args:
        population: of X.
    """

    population: Population

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """That of a sample."""
        return self.population.shape

    def begin(self, samples: int, runs: int, rng: np.random.Generator) -> "Mean":
        """An oracle whose population keeps to its order."""
        return replace(self, population=self.population.begin(samples, runs, rng))

    def observe(self, w: Values, rng: np.random.Generator) -> Values:
        """w - x."""
        return w - _samples(self.population, w, rng)


@dataclass(frozen=True, eq=False)
class Quantile(Oracle):
    """The root of P(X <= w) - q, observed as whether x <= w.

    Args:
        population: of X, plain numbers.
        q: in (0, 1).
        scale: multiplies the observations, so that w - a observation has one unit; a length typical of X.
    """

    population: Population
    q: float
    scale: float = 1.0

    def begin(self, samples: int, runs: int, rng: np.random.Generator) -> "Quantile":
        """An oracle whose population keeps to its order."""
        return replace(self, population=self.population.begin(samples, runs, rng))

    def observe(self, w: Values, rng: np.random.Generator) -> Values:
        """scale (1 - q) where x <= w, -scale q elsewhere."""
        return self.scale * ((_samples(self.population, w, rng) <= w) - self.q)


@dataclass(frozen=True)
class Tanh(Oracle):
    """tanh(w - 1) with normal noise: a slope that is never zero, but almost so far away.

    Args:
        noise: standard deviation.
    """

    noise: float = 1.0

    def observe(self, w: Values, rng: np.random.Generator) -> Values:
        """tanh(w - 1) + noise."""
        return np.tanh(w - 1) + self.noise * rng.standard_normal(w.shape)


@dataclass(frozen=True)
class Cubic(Oracle):
    """w^3 - 5 with normal noise: a slope without an upper bound, so that long steps explode.

    Args:
        noise: standard deviation.
    """

    noise: float = 1.0

    def observe(self, w: Values, rng: np.random.Generator) -> Values:
        """w^3 - 5 + noise."""
        return w**3 - 5 + self.noise * rng.standard_normal(w.shape)


@dataclass(frozen=True, eq=False)
class Function(Oracle):
    """A user's function as an oracle; `function_oracle` finds out how to call it.

    Args:
        function: (w, rng) or w -> g(w) + noise like w.
        shape: of one w.
        elementwise: whether `function` takes many w at once, with noise of its own for each.
        takes_rng: whether it takes its noise from a generator, so that it can be had again.
    """

    function: Callable[..., Any]
    shape: tuple[int, ...] = ()
    elementwise: bool = False
    takes_rng: bool = True

    @property
    def replayable(self) -> bool:  # type: ignore[override]
        """Whether its noise comes from the generator."""
        return self.takes_rng

    def observe(self, w: Values, rng: np.random.Generator) -> Values:
        """What the function returns.

        Raises:
            ContractError: it returns something of another shape than it was given.
        """
        flat = w.reshape(-1, *self.shape)
        if self.elementwise:
            seen = np.asarray(self._call(flat, rng), np.float64)
            if seen.shape != flat.shape:
                raise ContractError(f"expected observations of shape {flat.shape}, got {seen.shape}")
            return seen.reshape(w.shape)
        return np.array([self._single(point, rng) for point in flat], np.float64).reshape(w.shape)

    def _single(self, point: Any, rng: np.random.Generator) -> Values:
        seen = np.asarray(self._call(point, rng), np.float64)
        if seen.shape != self.shape:
            raise ContractError(f"expected an observation of shape {self.shape}, got {seen.shape}")
        return seen

    def _call(self, w: Any, rng: np.random.Generator) -> Any:
        return self.function(w, rng) if self.takes_rng else self.function(w)


def function_oracle(function: Callable[..., Any], start: Values) -> Function:
    """The oracle of `function(w, rng)` or `function(w)`, tried out at `start`.

    A function that takes an array of many w, and gives each noise of its own, is called once for all runs;
    any other function is called with one w at a time.

    Args:
        function: returns g(w) + noise; takes its randomness from `rng` where it has that argument.
        start: a point where it is defined.

    Raises:
        ContractError: it fails at `start`, or returns no number of the same shape.
    """
    single = adapted(function, start.shape, elementwise=False)
    name = getattr(function, "__qualname__", repr(function))
    try:
        seen = single.observe(start[None], np.random.default_rng(0))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ContractError(
            f"{name}: expected a function of w and rng that returns numbers like w; "
            f"at w = {start.tolist()} it failed: {error}"
        ) from None
    if not np.isfinite(seen).all():
        raise ContractError(f"{name}: expected finite numbers at w = {start.tolist()}, got {seen[0]}")
    return replace(single, elementwise=_is_elementwise(replace(single, elementwise=True), start))


def adapted(function: Callable[..., Any], shape: tuple[int, ...], *, elementwise: bool) -> Function:
    """The oracle of a function whose way of being called is known, but for whether it takes a generator."""
    return Function(function, shape, elementwise, _takes_rng(function))


def mean_observation(oracle: Oracle, w: Values, count: int, rng: np.random.Generator) -> Values:
    """The mean of `count` observations at w, in bounded memory.

    A batch in which anything was not seen counts as not seen.
    """
    if count == 1:
        return oracle.observe(w, rng)
    total = np.zeros_like(w)
    block = max(1, _BLOCK // w.size)
    for done in range(0, count, block):
        taken = min(block, count - done)
        total += oracle.observe(np.broadcast_to(w, (taken, *w.shape)), rng).sum(axis=0)
    return total / count


def _samples(population: Population, w: Values, rng: np.random.Generator) -> Values:
    """One sample for each entry of w, in the order of the population."""
    if w.ndim == 1 + len(population.shape):
        return population.draw(1, len(w), rng)[0]
    return population.draw(len(w), w.shape[1], rng)


def _takes_rng(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # A builtin that does not say.
        return True
    positional = [
        p
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        and (p.default is p.empty or p.name == "rng")
    ]
    return len(positional) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _is_elementwise(oracle: Function, start: Values) -> bool:
    """Whether the function maps an array of points to as many observations with independent noise."""
    # One point more than w has entries: a function of a single vector cannot take the array by accident.
    count = len(start) + 1 if start.ndim else _TRIES
    points = np.broadcast_to(start, (count, *start.shape)).copy()
    try:
        first, second = (oracle.observe(points, np.random.default_rng(seed)) for seed in (1, 2))
    except Exception:  # Whatever a function does with an array that it was not made for.
        return False
    shared = bool((first == first[0]).all())
    return not shared or bool((first == second).all())  # Equal noise for all, or no noise at all.
