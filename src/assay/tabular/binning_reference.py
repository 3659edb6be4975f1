"""The NumPy twin of binning.c: the same results, line by line comparable, where no compiled library is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from assay.data.table import Table
    from assay.tabular.bins import FeatureBins


def count_values(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, ascending, and the weight of each; NaN and rows of weight zero do not count."""
    known = ~np.isnan(values) if weights is None else ~np.isnan(values) & (weights > 0)
    present = values[known] + 0.0  # -0.0 becomes 0.0
    if weights is None:
        distinct, counts = np.unique(present, return_counts=True)
        return distinct, counts.astype(np.float64)
    distinct, where = np.unique(present, return_inverse=True)
    return distinct, np.bincount(where, weights[known], minlength=len(distinct))


def encode(table: Table, features: tuple[FeatureBins, ...], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Codes as padded records [rows, stride] and as [features, rows]."""
    columns = np.empty((len(features), table.num_rows), dtype)
    for codes, column, feature in zip(columns, table.columns, features, strict=True):
        if feature.kind == "category":
            codes[:] = np.append(feature.category_bins, feature.num_bins)[column.values]  # -1 is the last
        else:
            codes[:] = np.searchsorted(feature.thresholds, column.values, side="left")
            codes[np.isnan(column.values)] = feature.num_bins
    padding = 16 // dtype.itemsize
    rows = np.zeros((table.num_rows, -(-len(features) // padding) * padding), dtype)
    rows[:, : len(features)] = columns.T
    return rows, columns
