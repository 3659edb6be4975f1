"""What a schedule costs: alpha seconds a message and beta seconds a byte, fitted, simulated, extrapolated.

The time of a message of S bytes is alpha + S beta. Two things are added to the classic model because a shared
machine shows both: gamma seconds to add up a byte, and crowding, by which messages get slower when many are
on their way at once.

Reference:
    Thakur, Rabenseifner, Gropp. "Optimization of Collective Communication Operations in MPICH". International
    Journal of High Performance Computing Applications 19(1), 2005, Section 3 (the model) and 4 (formulae).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from assay.collectives.schedule import Step


@dataclass(frozen=True, kw_only=True)
class Network:
    """How long messages take.

    Args:
        alpha: seconds of any message.
        beta: seconds per byte.
        gamma: seconds to add up a byte.
        crowd_alpha, crowd_beta: by which share alpha and beta grow for each further message on its way; 0 for
            ranks on machines and links of their own.
    """

    alpha: float
    beta: float
    gamma: float = 0.0
    crowd_alpha: float = 0.0
    crowd_beta: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a number from 0 up, got {value}")

    def message(self, size: float, messages: int = 1) -> float:
        """Seconds of a message of `size` bytes while `messages` are on their way."""
        others = messages - 1
        alpha, beta = self.alpha * (1 + self.crowd_alpha * others), self.beta * (1 + self.crowd_beta * others)
        return alpha + size * beta

    def alone(self) -> "Network":
        """The same for ranks that share neither cores nor links."""
        return Network(alpha=self.alpha, beta=self.beta, gamma=self.gamma)


@dataclass(frozen=True)
class Fit:
    """A line through measured times.

    Args:
        alpha: seconds of an empty message.
        beta: seconds per byte.
        residual: root mean square of the relative errors.
    """

    alpha: float
    beta: float
    residual: float


def fit_line(sizes: Sequence[float], seconds: Sequence[float]) -> Fit:
    """alpha and beta of t = alpha + S beta by least squares of the relative error, neither below zero.

    Relative, because in absolute terms the longest message alone would decide.

    Raises:
        ValueError: fewer than two sizes, or a time that is not positive.
    """
    x, t = np.asarray(sizes, float), np.asarray(seconds, float)
    if len(np.unique(x)) < 2 or x.shape != t.shape or (t <= 0).any():
        raise ValueError(f"expected positive times of at least two sizes, got {list(x)} and {list(t)}")
    design = np.stack([1 / t, x / t], axis=1)
    alpha, beta = np.linalg.lstsq(design, np.ones_like(t), rcond=None)[0]
    if beta < 0:
        alpha, beta = 1 / float(np.mean(1 / t)), 0.0
    elif alpha < 0:
        alpha, beta = 0.0, float(design[:, 1].sum() / np.square(design[:, 1]).sum())
    residual = float(np.sqrt(np.mean((design @ [alpha, beta] - 1) ** 2)))
    return Fit(float(alpha), float(beta), residual)


def simulate(schedule: Iterable[Step], ranks: int, network: Network, item: int = 1) -> float:
    """Seconds until the last rank is done.

    A rank begins a step when it has sent and received, and added up, all of the steps before.

    Args:
        schedule: whose steps are taken.
        ranks: how many.
        network: what messages cost.
        item: bytes of an element.
    """
    ready = np.zeros(ranks)
    for step in schedule:
        size = step.sizes * item
        messages = int(np.count_nonzero(size))
        sent = ready[step.source] + np.where(size > 0, network.message(0, max(messages, 1)), 0.0)
        arrived = sent + size * (network.message(1, max(messages, 1)) - network.message(0, max(messages, 1)))
        after = ready.copy()
        np.maximum.at(after, step.source, arrived)
        np.maximum.at(after, step.target, arrived + (size * network.gamma if step.reduce else 0.0))
        ready = after
    return float(ready.max(initial=0.0))


def ring_seconds(ranks: int, size: float, alpha: float, beta: float) -> float:
    """2(n - 1) alpha + 2(n - 1)/n S beta."""
    return 2 * (ranks - 1) * (alpha + size / ranks * beta)


def halving_doubling_seconds(ranks: int, size: float, alpha: float, beta: float) -> float:
    """2 log2(n) alpha + 2(n - 1)/n S beta, for n = 2^k."""
    return 2 * math.log2(ranks) * alpha + 2 * (ranks - 1) / ranks * size * beta


def tree_seconds(ranks: int, size: float, alpha: float, beta: float) -> float:
    """2 log2(n) (alpha + S beta), for n = 2^k."""
    return 2 * math.log2(ranks) * (alpha + size * beta)


def ring_beats_tree_above(ranks: int, alpha: float, beta: float) -> float:
    """The size in bytes at which ring and tree take the same time: alpha (n-1-L) / (beta (L - (n-1)/n))."""
    levels = math.log2(ranks)
    return alpha * (ranks - 1 - levels) / (beta * (levels - (ranks - 1) / ranks))


def crossing(sizes: Sequence[float], first: Sequence[float], second: Sequence[float]) -> float | None:
    """The size from which on `first` takes less time than `second`, between sizes by a line in logarithms.

    None if it never does at the largest sizes; the smallest size if it always does.
    """
    gap = np.log(np.asarray(first, float) / np.asarray(second, float))
    if gap[-1] >= 0:
        return None
    slower = np.flatnonzero(gap >= 0)
    if not len(slower):
        return float(sizes[0])
    at = int(slower[-1])
    share = gap[at] / (gap[at] - gap[at + 1])
    logs = np.log(np.asarray(sizes, float))
    return float(np.exp(logs[at] + share * (logs[at + 1] - logs[at])))
