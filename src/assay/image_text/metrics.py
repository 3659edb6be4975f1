"""The metrics of retrieval and of zero-shot classification, each defined once.

The rank of the best correct item is one more than the number of wrong items whose scores are at least its
own: ties are errors, so that constant scores find nothing, but other correct items are no rivals.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]

_ROWS_AT_ONCE = 1024


def ranks(scores: Scores, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rank, from 1, of each row's best correct column; 0 for a row without one.

    Args:
        scores: of shape [rows, columns]; more is better.
        rows, columns: a group for each; a column is correct for a row of its group.

    Raises:
        ValueError: the shapes do not fit, or a score is not a finite number.
    """
    if scores.shape != (len(rows), len(columns)):
        raise ValueError(f"expected scores of shape {(len(rows), len(columns))}, got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, got infinite ones or ones that are no numbers")
    found = np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        correct = rows[part, None] == columns[None]
        best = np.where(correct, scores[part], -np.inf).max(axis=1, initial=-np.inf)
        counted = 1 + ((scores[part] >= best[:, None]) & ~correct).sum(axis=1)
        found[part] = np.where(correct.any(axis=1), counted, 0)
    return found


def recall(ranks: NDArray[np.int64], k: int) -> float:
    """The share of rows, of those that have a correct column, that rank one among the best `k`.

    Raises:
        ValueError: no row has a correct column.
    """
    asked = ranks[ranks > 0]
    if not len(asked):
        raise ValueError("expected at least one query with a correct answer, got none")
    return float((asked <= k).mean())


def recalls(scores: Scores, images: NDArray[np.int64], texts: NDArray[np.int64]) -> dict[str, float]:
    """Recall at 1, 5 and 10 of texts found by images and of images found by texts, and the sum of the six.

    Args:
        scores: of shape [images, texts].
        images, texts: a group for each; what is of one group belongs together.
    """
    texts_found = ranks(scores, images, texts)
    images_found = ranks(scores.T, texts, images)
    found = {f"R@{k}": recall(texts_found, k) for k in (1, 5, 10)}
    found |= {f"text R@{k}": recall(images_found, k) for k in (1, 5, 10)}
    return found | {"RSUM": sum(found.values())}


def accuracy(scores: Scores, labels: NDArray[np.int64]) -> float:
    """The share of rows whose own class has the one highest score.

    Args:
        scores: of shape [images, classes].
        labels: the class of each image.
    """
    return recall(ranks(scores, labels, np.arange(scores.shape[1])), 1)
