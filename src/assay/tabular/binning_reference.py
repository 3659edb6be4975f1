"""The NumPy twin of binning.c: equal results where there is no compiled library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from assay.data.table import Column

if TYPE_CHECKING:
    from assay.tabular.binning import Coding


def count_values(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, ascending, and the weight of each; NaN and rows of weight zero do not count."""
    known = ~np.isnan(values) if weights is None else ~np.isnan(values) & (weights > 0)
    present = values[known] + 0.0  # -0.0 becomes 0.0
    distinct, where = np.unique(present, return_inverse=True)
    counts = np.bincount(where, None if weights is None else weights[known], minlength=len(distinct))
    return distinct, counts.astype(np.float64)


def encode(
    columns: Sequence[Column], codings: Sequence[Coding], dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Codes [features, rows] and has_missing[features]."""
    num_rows = len(columns[0].values) if columns else 0
    by_column = np.empty((len(columns), num_rows), dtype)
    for codes, column, coding in zip(by_column, columns, codings, strict=True):
        codes[:] = encode_column(column, coding)
    missing = np.array([missing for _, _, missing in codings], dtype)
    return by_column, (by_column == missing[:, None]).any(axis=1)


def encode_column(column: Column, coding: Coding) -> np.ndarray:
    """The code of every row of one column."""
    thresholds, classes, missing = coding
    if classes is not None:
        return np.append(classes, missing)[column.values]  # the code of a missing category, -1, is the last
    return np.where(np.isnan(column.values), missing, np.searchsorted(thresholds, column.values, side="left"))
