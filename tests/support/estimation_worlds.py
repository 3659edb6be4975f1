"""Oracles and populations whose answers are known, and plain loops, for the tests of estimation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.oracles import Mean, Oracle
from assay.estimation.populations import Population


@dataclass(frozen=True)
class Normal(Population):
    """Normal numbers."""

    mean: float = 0.0
    sd: float = 1.0

    def draw(self, count, runs, rng):
        return self.mean + self.sd * rng.standard_normal((count, runs))


class Sequence(Population):
    """The given numbers, one after the other, the same in every run."""

    def __init__(self, values):
        self._values, self._read = np.asarray(values, float), 0

    def begin(self, samples, runs, rng):
        return Sequence(self._values)

    def draw(self, count, runs, rng):
        taken = self._values[self._read : self._read + count]
        self._read += count
        return np.repeat(taken[:, None], runs, axis=1)


@dataclass(frozen=True)
class Exact(Oracle):
    """A function with normal noise of a given size; none at all by default."""

    function: Callable
    noise: float = 0.0
    shape: tuple = ()

    def observe(self, w, rng):
        return self.function(w) + (self.noise * rng.standard_normal(w.shape) if self.noise else 0.0)


def tanh(w):
    return np.tanh(w - 1)


def cubic(w):
    return w**3 - 5


def mean_of(population, **options) -> Experiment:
    """An experiment for the mean of a population, from zero."""
    return Experiment(oracle=Mean(population), **{"start": np.zeros(population.shape)} | options)


def values(method, experiment, seed=0):
    """The final estimates of a method."""
    return method.fit(experiment, run=Run(seed=seed)).values


def observations(experiment, seed=0):
    """The samples that a method sees of an experiment about a mean, float64[samples, runs, *shape]."""
    rng = Run(seed=seed).rng("samples")
    reader = experiment.oracle.population.begin(experiment.samples, experiment.runs, rng)
    return reader.draw(experiment.samples, experiment.runs, rng)
