"""How far estimates are from the answer: every metric, defined once.

Errors of vectors are Euclidean: squares are summed over the entries.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from assay.estimation.schedules import Values

_RESOLUTION = 1e-12  # Of the answer's size: below, an error is rounding, and counts as none.
_DIGITS = 10  # Two sums of the same samples must not differ by their rounding.


def rmse(values: Values, answer: ArrayLike) -> float:
    """sqrt(mean over runs of |w - w*|^2), to ten digits.

    Args:
        values: float64[runs, *shape].
        answer: w*, of that shape.
    """
    return _resolved(_root_mean_square(values - np.asarray(answer)), values)


def equivalent_samples(error: float, limit: float) -> float:
    """(limit / error)^2: with so many samples the best estimate errs as much.

    Args:
        error: RMSE, at least 0; rounding counts as error where there is no other.
        limit: the least RMSE of an estimate from one sample, above 0.
    """
    return (limit / max(error, _RESOLUTION * limit)) ** 2


def bias(values: Values, answer: ArrayLike) -> float:
    """|mean over runs of w - w*|; it has a standard error of sd / sqrt(runs)."""
    return _resolved(float(np.linalg.norm(np.mean(values, axis=0) - np.asarray(answer))), values)


def deviation(values: Values) -> float:
    """sqrt(mean over runs of |w - mean w|^2), with runs - 1 in place of runs; 0 for a single run."""
    runs = len(values)
    if runs < 2:
        return 0.0
    return _resolved(_root_mean_square(values - values.mean(axis=0)) * math.sqrt(runs / (runs - 1)), values)


def rate(samples: ArrayLike, errors: ArrayLike) -> float | None:
    """The slope of log error against log samples over the last decade; None if fewer than three points.

    Args:
        samples: ascending.
        errors: RMSE after so many; points of zero samples or error are left out.
    """
    taken, wrong = np.asarray(samples, np.float64), np.asarray(errors, np.float64)
    kept = (taken >= taken[-1] / 10) & (taken > 0) & (wrong > 0)
    if kept.sum() < 3:
        return None
    return float(np.polyfit(np.log(taken[kept]), np.log(wrong[kept]), 1)[0])


def blow_up_share(values: Values, bound: float = 1e3) -> float:
    """The share of runs with |w| > bound (or not a number) at any of the times given.

    Args:
        values: float64[times, runs].
        bound: 1e3 is customary.
    """
    return float(np.mean(~(np.abs(values) <= bound).all(axis=0)))


def relative_gradient_error(noisy: Values, exact: Values) -> Values:
    """|noisy - exact| / |exact| of every row; for a mean |x - E X| / |w - E X|.

    Args:
        noisy: observed gradients, float64[rows, size].
        exact: the true ones, not zero.
    """
    return np.linalg.norm(noisy - exact, axis=-1) / np.linalg.norm(exact, axis=-1)


def gradient_noise_scale(observations: Values) -> float | None:
    """tr Var / |mean|^2 of observations at one point; None where their mean cannot be told from zero.

    It is the batch size at which noise and gradient are equally large: smaller batches are mostly noise,
    larger ones add little.

    Args:
        observations: float64[count, *shape], two or more.
    """
    flat = observations.reshape(len(observations), -1)
    variance = float(flat.var(axis=0, ddof=1).sum())
    # The square of a sample's mean is too large by the variance of that mean.
    square = float(np.square(flat.mean(axis=0)).sum()) - variance / len(flat)
    return variance / square if square > 0 else None


def _root_mean_square(errors: Values) -> float:
    return float(np.sqrt(np.square(errors.reshape(len(errors), -1)).sum(axis=1).mean()))


def _resolved(error: float, values: Values) -> float:
    if not math.isfinite(error):
        return error
    return 0.0 if error <= _RESOLUTION * float(np.abs(values).max()) else float(f"{error:.{_DIGITS}g}")
