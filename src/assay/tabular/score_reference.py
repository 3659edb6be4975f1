"""The NumPy twin of score.c: what a row adds to the cell of its bin, and how good a split of such sums is."""

from __future__ import annotations

import math

import numpy as np

from assay.tabular.fixed_point import Statistics

ROUNDING = 1e-15  # a gain of less than this share of what it is the difference of is rounding


def entropy_term(weight: np.ndarray) -> np.ndarray:
    """w log2 w, and 0 for 0, by the C library's logarithm, which NumPy's vectors do not always equal."""
    return np.array([w * math.log2(w) if w > 0 else 0.0 for w in weight.ravel().tolist()]).reshape(
        weight.shape
    )


class Scorer:
    """The score of sums: the larger the score of the children, the better the split."""

    def __init__(
        self, statistics: Statistics, penalties: tuple[float, float, float], noise: float = 0.0
    ) -> None:
        self.criterion = statistics.criterion
        self.units = statistics.units
        self.l1, self.l2, self.max_delta_step = penalties
        self.noise = noise
        self.by_class = statistics.layout == "classes"

    def weight(self, sums: np.ndarray) -> np.ndarray:
        """Hessian or weight, in units; the last column is the count."""
        return sums[..., :-1].sum(axis=-1) if self.by_class else sums[..., 1]

    def class_weights(self, sums: np.ndarray) -> np.ndarray:
        """float64: the weight of every class."""
        if self.by_class:
            return sums[..., :-1] * self.units[1]
        total, second = sums[..., 1] * self.units[1], sums[..., 0] * self.units[1]
        return np.stack([total - second, second], axis=-1)

    def is_pure(self, sums: np.ndarray) -> bool:
        """Whether all weight is of one class."""
        if self.by_class:
            return bool(sums[:-1].max() == sums[:-1].sum())
        return bool(sums[0] in (0, sums[1]))

    def score(self, sums: np.ndarray) -> np.ndarray:
        """Newton: twice the decrease of the loss; Gini: sum w_k^2 / W; entropy: sum w_k log2(w_k / W)."""
        if self.criterion == "newton":
            excess = np.maximum(np.abs(sums[..., 0] * self.units[0]) - self.l1, 0.0)
            curvature = sums[..., 1] * self.units[1] + self.l2
            if self.max_delta_step == 0:
                return excess * excess / curvature
            step = np.minimum(excess / curvature, self.max_delta_step)
            return step * (2.0 * excess - curvature * step)
        total = self.weight(sums) * self.units[1]
        weights = self.class_weights(sums)
        if self.criterion == "gini":
            squares = np.zeros(total.shape)
            for k in range(weights.shape[-1]):
                squares = squares + weights[..., k] * weights[..., k]
            return squares / total
        disorder = entropy_term(total)
        for k in range(weights.shape[-1]):
            disorder = disorder - entropy_term(weights[..., k])
        return -disorder

    def rounding(self, sums: np.ndarray) -> float:
        """What the gain of a split of these sums exceeds if it is not rounding."""
        if self.criterion == "newton":
            return ROUNDING * float(self.score(sums))
        total = self.weight(sums) * self.units[1]
        size = total if self.criterion == "gini" else entropy_term(np.asarray(total))
        return ROUNDING * (self.class_weights(sums).shape[-1] + 1) * abs(float(size))

    def order(self, cells: np.ndarray, parent: np.ndarray) -> np.ndarray:
        """What categories are sorted by: the Newton step, or the share of the parent's heaviest class."""
        if self.criterion == "newton":
            part = cells[:, 0] * self.units[0]
            whole = cells[:, 1] * self.units[1] + self.l2
        else:
            heaviest = 1 if not self.by_class else int(np.argmax(parent[:-1]))
            part = self.class_weights(cells)[:, heaviest]
            whole = self.weight(cells) * self.units[1]
        return np.divide(part, whole, out=np.zeros(len(cells)), where=whole > 0)

    def gain_by_chance(self, cells: np.ndarray) -> float:
        """What the best two groups of categories gain on average where categories differ by chance only.

        With k of equal weight it is close to 2 / pi (k - 1) times the noise (Scott, Knott 1974); else k is
        how many would be as uneven: (sum of the roots of the weights)^2 / sum of the weights.
        """
        weights = self.weight(cells) * self.units[1]
        whole = sum(weights.tolist())
        roots = sum(np.sqrt(weights).tolist())
        return self.noise * (2 / math.pi) * (roots * roots / whole - 1) if whole > 0 else 0.0


def words_of(statistics: Statistics, scorer: Scorer) -> np.ndarray:
    """int64[rows, words]: what each row adds to a cell; the last word is what min_samples_leaf looks at."""
    rows, first, second = statistics.rows, statistics.first, statistics.second
    num_words = statistics.num_classes if statistics.layout == "classes" else 2
    words = np.zeros((len(first), num_words + 1), np.int64)
    if statistics.layout == "packed":
        words[:, 0], words[:, 1] = first >> 16, first & 0xFFFF
    else:
        assert second is not None
        if statistics.layout == "classes":
            words[rows, first[rows]] = second[rows]
        else:
            words[:, 0], words[:, 1] = first, second
    if statistics.counted:
        words[rows, -1] = 1
    else:
        words[:, -1] = scorer.weight(words)
    return words
