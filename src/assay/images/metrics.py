"""What the numbers of a board mean: the handbook's definitions, once."""

import numpy as np
from jaxtyping import Float, Int

Scores = Float[np.ndarray, "images classes"]
Labels = Int[np.ndarray, " images"]


def ranks(scores: Scores, labels: Labels) -> Int[np.ndarray, " images"]:
    """How many classes come before the true one, by score, and among equal scores by number.

    With constant scores class 0 comes first, so that top-1 accuracy is the share of class 0 and not 1.

    Args:
        scores: logits or log-probabilities; a row with a value that is no number puts all classes first.
        labels: the true classes.
    """
    own = np.take_along_axis(scores, labels[:, None], 1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    before = (scores > own) | ((scores == own) & earlier)
    unknown = np.isnan(scores).any(1)
    return np.where(unknown, scores.shape[1], before.sum(1))


def top_k_accuracy(scores: Scores, labels: Labels, k: int = 1) -> float:
    """The share of images whose label is among the k best scores; ties as in `ranks`."""
    return float((ranks(scores, labels) < k).mean())


def log_loss(log_probs: Scores, labels: Labels) -> float:
    """The mean of -log p of the true class, in nats."""
    return -float(np.take_along_axis(log_probs, labels[:, None], 1).mean())


def confusion(scores: Scores, labels: Labels) -> Int[np.ndarray, "classes classes"]:
    """How many images of each class (row) were taken for each class (column)."""
    counts = np.zeros((scores.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, scores.argmax(1)), 1)
    return counts
