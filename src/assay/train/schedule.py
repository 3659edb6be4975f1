"""Learning rates over a training: functions of the fraction done, so that any budget fits them."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]
"""Fraction of the training done, in [0, 1] -> multiplier of the base learning rates."""


def constant(*, warmup: float = 0.0) -> Schedule:
    """A straight rise over the first `warmup` of the training, then 1."""
    _check("warmup", warmup)
    return lambda done: _rise(done, warmup)


def linear(*, warmup: float = 0.0, floor: float = 0.0) -> Schedule:
    """A straight rise to 1, then a straight fall to `floor` at the end."""
    _check("warmup", warmup)
    _check("floor", floor)
    return lambda done: _rise(done, warmup) * (1 - (1 - floor) * _after(done, warmup))


def cosine(*, warmup: float = 0.05, floor: float = 0.0) -> Schedule:
    """A straight rise to 1, then half a cosine wave down to `floor`.

    Args:
        warmup: share of the training in which the rate rises, in [0, 1).
        floor: multiplier at the end, in [0, 1).

    Source: Loshchilov, Hutter. "SGDR: Stochastic Gradient Descent with Warm Restarts". ICLR 2017.
    arXiv:1608.03983v5, Eq. (5) with one period.
    """
    _check("warmup", warmup)
    _check("floor", floor)

    def multiplier(done: float) -> float:
        fall = floor + (1 - floor) * (1 + math.cos(math.pi * _after(done, warmup))) / 2
        return _rise(done, warmup) * fall

    return multiplier


def _rise(done: float, warmup: float) -> float:
    return done / warmup if done < warmup else 1.0


def _after(done: float, warmup: float) -> float:
    """The fraction done of what follows the rise."""
    return max(done - warmup, 0.0) / (1 - warmup)


def _check(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"expected {name} in [0, 1), got {value}")
