"""The wing's metrics, each defined once."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a trained network says about test images, and what its training lost.

    Args:
        logits: float64 [images, classes].
        flushed: see `assay.precision.network.Moment`, the mean over the training.
        stagnant: likewise.
        skipped: share of the steps whose gradient was not finite.
    """

    logits: np.ndarray
    flushed: float
    stagnant: float
    skipped: float

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outcome):
            return NotImplemented
        mine = (self.flushed, self.stagnant, self.skipped)
        return np.array_equal(self.logits, other.logits) and mine == (
            other.flushed,
            other.stagnant,
            other.skipped,
        )

    __hash__ = None  # type: ignore[assignment]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log p(label) in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probs[np.arange(len(labels)), labels].mean())


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose greatest logit is that of their label."""
    return float((logits.argmax(axis=1) == labels).mean())
