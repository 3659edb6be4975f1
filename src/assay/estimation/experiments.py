"""The experiments behind the claims of `claims.py`: each measures named quantities for a seed and a scale.

Errors are reported as errors, so that "A - B > 0" between two of them says that B is better.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.core.run import Run, Scale
from assay.estimation import metrics
from assay.estimation.constant_step import ConstantStep
from assay.estimation.experiment import Experiment
from assay.estimation.incremental_mean import IncrementalMean
from assay.estimation.mini_batch import MiniBatch
from assay.estimation.oracles import Cubic, Mean, Tanh
from assay.estimation.polyak_ruppert import PolyakRuppert
from assay.estimation.populations import Coin, Square
from assay.estimation.projected_robbins_monro import ProjectedRobbinsMonro
from assay.estimation.robbins_monro import RobbinsMonro
from assay.estimation.schedules import Values
from assay.estimation.sgd import SGD
from assay.estimation.stochastic_approximation import Diverged
from assay.estimation.theory import limit, predicted_error

Quantities = Mapping[str, float]

_CUBIC_ROOT = 5.0 ** (1 / 3)
_CUBIC_SLOPE = 3 * 5.0 ** (2 / 3)


def _runs(scale: Scale, wanted: int) -> int:
    """So many runs as the experiment wants, or few that only show that it runs."""
    return 20 if scale == "smoke" else wanted


def _error(method: Any, experiment: Experiment, seed: int, answer: Any) -> float:
    return metrics.rmse(method.fit(experiment, run=Run(seed=seed)).values, answer)


def flips(seed: int, scale: Scale) -> Quantities:
    """Returns how far the mean of 20 and of 200 flips of a coin is from zero, and how many times further."""
    found = {}
    for count in (20, 200):
        experiment = Experiment(oracle=Mean(Coin()), samples=count, runs=_runs(scale, 2000))
        found[count] = _error(IncrementalMean(), experiment, seed, 0.0)
    return {
        "error of 20 flips": found[20],
        "error of 200 flips": found[200],
        "error of 20 flips / error of 200": found[20] / found[200],
        "1.05 / sqrt(200)": 1.05 / np.sqrt(200),
    }


def step_sizes(seed: int, scale: Scale) -> Quantities:
    """Returns the error for the root of tanh(w - 1), from 3, with steps that keep or break the conditions."""
    experiment = Experiment(oracle=Tanh(), start=3.0, samples=10_000, runs=_runs(scale, 200))
    early = Experiment(oracle=Tanh(), start=3.0, samples=1000, runs=_runs(scale, 200))
    return {
        "1/k": _error(SGD(c=1, power=1), experiment, seed, 1.0),
        "1/k^2": _error(SGD(c=1, power=2), experiment, seed, 1.0),
        "0.1": _error(ConstantStep(alpha=0.1), experiment, seed, 1.0),
        "0.1 after a tenth": _error(ConstantStep(alpha=0.1), early, seed, 1.0),
    }


def root_from_noise(seed: int, scale: Scale) -> Quantities:
    """Returns the error for the root of tanh(w - 1), from 3, after 100 and 10,000 noisy values."""
    found = {}
    for count in (100, 10_000):
        experiment = Experiment(oracle=Tanh(), start=3.0, samples=count, runs=_runs(scale, 200))
        found[count] = _error(RobbinsMonro(), experiment, seed, 1.0)
    return {
        "error of 100 values": found[100],
        "error of 10,000 values": found[10_000],
        "error of 100 / error of 10,000": found[100] / found[10_000],
    }


def cubic(seed: int, scale: Scale) -> Quantities:
    """Returns the share of runs for the root of w^3 - 5 that stay below 1,000 in 50 steps of 1/k from 0."""
    stayed = []
    for run in range(_runs(scale, 400)):
        experiment = Experiment(oracle=Cubic(), start=0.0, samples=50)
        try:
            fitted = RobbinsMonro().fit(experiment, run=Run(seed=1_000_000 * seed + run))
        except Diverged:
            stayed.append(0.0)
        else:
            stayed.append(1 - metrics.blow_up_share(fitted.trace))
    return {"share of runs that stay": float(np.mean(stayed))}


def projection(seed: int, scale: Scale) -> Quantities:
    """Returns the error for the root of w^3 - 5 after 1,000 steps of 1/k within [-3, 3], over theory's."""
    experiment = Experiment(oracle=Cubic(), start=0.0, samples=1000, runs=_runs(scale, 1000))
    method = ProjectedRobbinsMonro(low=-3, high=3)
    fitted = method.fit(experiment, run=Run(seed=seed))
    assert fitted.schedule is not None
    theory = predicted_error(1000, slope=_CUBIC_SLOPE, noise=1.0, schedule=fitted.schedule)
    return {
        "error / theory": metrics.rmse(fitted.values, _CUBIC_ROOT) / float(np.asarray(theory, np.float64)),
        "1.1": 1.1,
    }


def averaging(seed: int, scale: Scale) -> Quantities:
    """Returns errors for the root of tanh(w - 1) over the least possible one, for three first steps."""
    experiment = Experiment(oracle=Tanh(), start=3.0, samples=10_000, runs=_runs(scale, 200))
    least = float(limit(10_000, slope=1.0, noise=1.0))
    found = {"1.25": 1.25}
    for c in (0.3, 1.0, 3.0):
        found[f"average, c = {c:g}"] = _error(PolyakRuppert(c=c), experiment, seed, 1.0) / least
        found[f"last, c = {c:g}"] = _error(RobbinsMonro(c=c), experiment, seed, 1.0) / least
    return found


def averaging_in_the_limit(seed: int, scale: Scale) -> Quantities:
    """Returns errors of averages after 100,000 samples over the least possible one, for three first steps."""
    found = {"1.25": 1.25}

    def error(c: float, samples: int) -> float:
        experiment = Experiment(oracle=Tanh(), start=3.0, samples=samples, runs=_runs(scale, 200))
        return _error(PolyakRuppert(c=c), experiment, seed, 1.0) / float(limit(samples, slope=1.0, noise=1.0))

    samples = 1000 if scale == "smoke" else 100_000
    for c in (0.3, 1.0, 3.0):
        found[f"average, c = {c:g}"] = error(c, samples)
    found["a tenth of them, c = 0.3"] = error(0.3, samples // 10)
    return found


def far_and_near(seed: int, scale: Scale) -> Quantities:
    """Returns SGD's relative gradient errors at a distance of 50, 5 and 0.5 from the mean of the square."""
    population, rng = Square(), np.random.default_rng([seed, 0])
    samples = population.draw(1, _runs(scale, 10_000), rng)[0]

    def relative(distance: float) -> float:
        w = np.broadcast_to([distance, 0.0], samples.shape)
        exact: Values = w - 0.0  # grad J = w - E[X], and the mean of the square is zero.
        return float(np.sqrt(np.mean(metrics.relative_gradient_error(w - samples, exact) ** 2)))

    # And on the way: how far runs with steps of 0.1 are spread, over how far they still have to go.
    start = np.array([50.0, 0.0])
    spread = {}
    for steps in (5, 100):
        experiment = Experiment(oracle=Mean(population), start=start, samples=steps, runs=_runs(scale, 2000))
        values = SGD(c=0.1, power=0).fit(experiment, run=Run(seed=seed)).values
        spread[steps] = metrics.deviation(values) / float(np.linalg.norm(start) * 0.9**steps)
    return {
        **{f"relative error at {distance:g}": relative(distance) for distance in (50.0, 5.0, 0.5)},
        "spread / distance after 5 steps": spread[5],
        "spread / distance after 100 steps": spread[100],
    }


def batch_sizes(seed: int, scale: Scale) -> Quantities:
    """Returns the error for the mean of the square after 30 steps of 1/k with batches of 1, 5 and 50."""
    found = {}
    for m in (1, 5, 50):
        start = np.array([20.0, 20.0])
        experiment = Experiment(
            oracle=Mean(Square()), start=start, samples=30 * m, runs=_runs(scale, 1000), scale=20.0
        )
        found[m] = _error(MiniBatch(batch_size=m), experiment, seed, np.zeros(2))
    return {
        "m = 1": found[1],
        "m = 5": found[5],
        "m = 50": found[50],
        "m = 1 / m = 5": found[1] / found[5],
        "m = 5 / m = 50": found[5] / found[50],
    }
