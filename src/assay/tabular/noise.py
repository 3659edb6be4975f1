"""The noise of gradients: how much of them is chance, which the best of many sets of categories makes use of.

A row's gradient varies about its mean by what no feature tells. The grower takes what that gains by chance
from the gain of a split of categories in two groups; here is how large it is, per unit of the hessian.
"""

from __future__ import annotations

import numpy as np

from assay.data.table import Table
from assay.tabular.fixed_point import sum_of_magnitudes, sum_of_squares
from assay.tabular.losses import Loss

Array = np.ndarray


class Noise:
    """The variance of the gradients of rows.

    A weight counts rows: of two, it is a row twice. Weights of less than one on average cannot be counts, and
    their mean stands for one row.

    Args:
        table: the rows; without categories, no one asks for noise.
        weight: of the rows, not negative, not all zero; None for ones.
    """

    def __init__(self, table: Table, weight: Array | None) -> None:
        self._matters = any(column.kind == "category" for column in table)
        self._row, self._roots = 1.0, None
        if weight is not None and self._matters:
            self._row = min(1.0, sum_of_magnitudes(weight) / int(np.count_nonzero(weight)))
            self._roots = np.where(weight > 0, np.sqrt(weight), np.inf)

    def per_unit(self, loss: Loss, gradient: Array, curvature: Array | None, hessian: Array | None) -> float:
        """Return the variance per unit of the hessian, to about 1e-4; the same in any order of the rows.

        Args:
            loss: the variance is its curvature if it is minus the logarithm of a probability (on average,
                the information equality), else the mean square of the gradient.
            gradient: of one output, float64[n], times the weights.
            curvature: the loss's second derivative, likewise; None for ones.
            hessian: what trees take in its place.
        """
        if not self._matters or (loss.is_likelihood and curvature is hessian):
            return self._row if self._matters else 0.0
        if loss.is_likelihood:
            variance = _sum(curvature, len(gradient))
        else:
            variance = sum_of_squares(gradient if self._roots is None else gradient / self._roots)
        whole = _sum(hessian, len(gradient))
        return variance / whole * self._row if whole > 0 else 0.0


def _sum(values: Array | None, count: int) -> float:
    return float(count) if values is None else sum_of_magnitudes(values)
