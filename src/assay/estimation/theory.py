"""What the theory says an estimate's error is after so many samples, near the root.

Reference:
    Chung. "On a Stochastic Approximation Method". Annals of Mathematical Statistics 25(3), 1954 (steps
    c / k).
    Polyak, Juditsky. "Acceleration of Stochastic Approximation by Averaging". SIAM Journal on Control and
    Optimization 30(4), 1992.
    Implements: asymptotic standard deviations of the linearised iteration; exact for a mean with steps alpha.
    Verified: against simulation, within sampling error.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from assay.estimation.schedules import Schedule, Values


def limit(samples: ArrayLike, *, slope: float, noise: float) -> Values:
    """noise / (slope sqrt(samples)): the least that an estimate knowing nothing else errs by.

    Args:
        samples: how many have been taken.
        slope: of the function at its root, g'.
        noise: root mean square of the noise of one observation there.
    """
    return noise / (slope * np.sqrt(np.asarray(samples, np.float64)))


def predicted_error(
    samples: ArrayLike,
    *,
    slope: float,
    noise: float,
    schedule: Schedule,
    batch_size: int = 1,
    averaged: bool = False,
) -> Values | None:
    """The standard deviation of an estimate after so many samples; None where there is no simple one.

    Args:
        samples: how many have been taken, in all steps together.
        slope, noise: as in `limit`.
        schedule: the step sizes, c / k^p.
        batch_size: samples of a step.
        averaged: whether the iterates are averaged.
    """
    taken = np.asarray(samples, np.float64)
    if averaged:
        return limit(taken, slope=slope, noise=noise)
    gain = schedule.c * slope
    noise = noise / math.sqrt(batch_size)
    if schedule.power == 0:
        if gain >= 2:
            return None
        return np.full(taken.shape, noise / slope * math.sqrt(gain / (2 - gain)))
    steps = taken / batch_size
    if schedule.power == 1:
        if gain <= 0.5:
            return None
        return schedule.c * noise / np.sqrt((2 * gain - 1) * steps)
    if schedule.power < 1:
        return noise * np.sqrt(schedule.c / (2 * slope * steps**schedule.power))
    return None
