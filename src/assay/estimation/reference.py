"""A reference for the root of a function that is only known by its noisy values.

It spends many times the samples of a method: it closes in on the root by halves as long as noise lets it tell
the sides apart, then draws a line through what is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from assay.data.table import ContractError
from assay.estimation.conditions import Look, look
from assay.estimation.oracles import Oracle

_MOST_ROUNDS = 60
_WIDER = 4
_LEAST_WIDTH = 1e-6
_SHARES = (100, 10, 1)  # Far from the root a hundredth of the observations tells the sign.


@dataclass(frozen=True)
class Root:
    """A root, its standard error, and the slope and the noise of the function there."""

    at: float
    error: float
    slope: float
    noise: float


def find_root(oracle: Oracle, seen: Sequence[Look], count: int, rng: np.random.Generator, name: str) -> Root:
    """The root between the looks of `seen`.

    Args:
        oracle: what is observed.
        seen: looks in ascending order; the function is below zero at one and above it at a later one.
        count: observations of a look.
        rng: where the noise comes from.
        name: of the function, for messages.

    Raises:
        ContractError: no two looks have the root between them.
    """
    signed = [found for found in seen if found.sign]
    brackets = [(low, high) for low, high in pairwise(signed) if low.sign < 0 < high.sign]
    if not brackets:
        ends = f"from w = {seen[0].at:g} to {seen[-1].at:g}" if seen else "anywhere"
        raise ContractError(
            f"{name}: expected a root, but no change from below zero to above it was seen {ends}; "
            "give start or interval near the root, or the answer"
        )
    low, high = brackets[0]
    for _ in range(_MOST_ROUNDS):
        closer = _closer(oracle, low, high, count, rng, name)
        if closer is None:
            break
        low, high = closer
    low, high = (_look(oracle, end.at, count, rng, name) for end in (low, high))  # Not chosen by their noise.
    share = -low.mean / (high.mean - low.mean)
    at = low.at + share * (high.at - low.at)
    # Noise hardly lets the ends be told apart; further out it says more about the slope.
    half = max(_WIDER * (high.at - low.at), _LEAST_WIDTH * (1 + abs(at)))
    left, right = (_look(oracle, at + side * half, count, rng, name) for side in (-1, 1))
    slope = (right.mean - left.mean) / (2 * half)
    error = float(np.hypot((1 - share) * low.error, share * high.error)) / slope
    noise = float(np.hypot(low.deviation, high.deviation) / np.sqrt(2))
    return Root(at, error, slope, noise)


def _closer(
    oracle: Oracle, low: Look, high: Look, count: int, rng: np.random.Generator, name: str
) -> tuple[Look, Look] | None:
    """Half of the bracket: one side, or else its middle; None where noise hides the ends of both."""
    width = high.at - low.at
    if not low.at + width / 4 > low.at:  # As close as floats can be.
        return None
    middle = _sign(oracle, low.at + width / 2, count, rng, name)
    if middle.sign:
        return (middle, high) if middle.sign < 0 else (low, middle)
    inner_low = _sign(oracle, low.at + width / 4, count, rng, name)
    inner_high = _sign(oracle, high.at - width / 4, count, rng, name)
    return (inner_low, inner_high) if inner_low.sign < 0 < inner_high.sign else None


def _sign(oracle: Oracle, at: float, count: int, rng: np.random.Generator, name: str) -> Look:
    """A look that takes no more observations, up to `count`, than it needs to tell the sign."""
    for share in _SHARES:
        found = _look(oracle, at, max(2, count // share), rng, name)
        if found.sign:
            break
    return found


def _look(oracle: Oracle, at: float, count: int, rng: np.random.Generator, name: str) -> Look:
    found = look(oracle, at, count, rng)
    if found is None:
        raise ContractError(f"{name}: expected finite numbers at w = {at:g}")
    return found
