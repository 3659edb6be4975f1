"""Bins: every column of a table as small integer codes, from edges that depend on all training rows.

Edges come from exact counts of the distinct values, so neither the order of the rows nor the number of
threads moves them. A code is the number of thresholds below the value, hence ``x <= thresholds[i]`` exactly
when ``code <= i``; the code of a missing value is always `FeatureBins.num_bins`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from assay.data.table import Column, ContractError, Field, Kind, Schema, Table
from assay.tabular import binning
from assay.tabular.binning import Coding
from assay.tabular.cuts import ValueCounts, equal_mass, exact_weights, midpoints


@dataclass(frozen=True, eq=False)
class FeatureBins:
    """The bins of one column.

    Args:
        name: the column's name.
        kind: the column's kind.
        num_bins: number of bins, at least 1, without the missing one, whose code it is.
        low: float64[num_bins], the smallest training value in each bin (NaN if all are missing); empty for a
            category.
        high: float64[num_bins], the largest.
        categories: the names behind category codes.
        category_bins: int32[categories], the bin of each category code: the code itself, unless there are
            more categories than bins; then the most frequent have bins in the order of their codes, and the
            rest share the last bin and are split together. A category without a training row has `num_bins`:
            it counts as missing.
        cuts: the thresholds, if they are not in the middle between the bins.
    """

    name: str
    kind: Kind
    num_bins: int
    low: np.ndarray
    high: np.ndarray
    categories: tuple[str, ...]
    category_bins: np.ndarray
    cuts: np.ndarray | None = None

    @property
    def thresholds(self) -> np.ndarray:
        """float64[num_bins - 1]: what parts the bins, ascending; empty for a category.

        They are not stored: where every value has a bin there are as many as rows, and few are looked at.
        """
        return midpoints(self.high[:-1], self.low[1:]) if self.cuts is None else self.cuts

    @property
    def coding(self) -> Coding:
        """What turns the column into codes."""
        return self.thresholds, self.category_bins if self.kind == "category" else None, self.num_bins

    @classmethod
    def of_values(cls, name: str, kind: Kind, counts: ValueCounts, starts: np.ndarray) -> FeatureBins:
        """The bins of a numeric-like column whose distinct values are cut at `starts`."""
        if not len(counts.values):
            low = high = np.array([np.nan])
        elif len(starts) == len(counts.values):
            low = high = counts.values
        else:
            low, high = counts.values[starts], counts.values[np.append(starts[1:], len(counts.values)) - 1]
        return cls(name, kind, len(low), low, high, (), np.empty(0, np.int32))

    @classmethod
    def of_categories(cls, column: Column, weights: np.ndarray | None, max_bins: int | None) -> FeatureBins:
        """The bins of a category column."""
        size = len(column.categories)
        known = column.values >= 0
        mass = np.bincount(column.values[known], None if weights is None else weights[known], minlength=size)
        if max_bins is None or size <= max_bins:
            num_bins, bins = max(1, size), np.arange(size)
        else:
            num_bins, bins = max_bins, np.full(size, max_bins - 1)
            frequent = np.sort(np.argsort(-mass, kind="stable")[: max_bins - 1])
            bins[frequent] = np.arange(max_bins - 1)
        bins = np.where(mass > 0, bins, num_bins).astype(np.int32)
        none = np.empty(0)
        return cls(column.name, column.kind, num_bins, none, none, column.categories, bins)


@dataclass(frozen=True, eq=False)
class Codes:
    """The rows of a table as bin codes.

    Args:
        bins: what the codes mean.
        columns: uint8, uint16 or uint32 [features, rows].
        has_missing: bool[features].
    """

    bins: Bins
    columns: np.ndarray
    has_missing: np.ndarray

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return self.columns.shape[1]

    def take(self, rows: np.ndarray) -> Codes:
        """The codes of only `rows` (positions or a boolean mask)."""
        columns = np.ascontiguousarray(self.columns[:, rows])
        missing = np.array([feature.num_bins for feature in self.bins.features], columns.dtype)
        return Codes(self.bins, columns, (columns == missing[:, None]).any(axis=1))


@dataclass(frozen=True, eq=False)
class Bins:
    """The bins of every column of a table, fitted once and shared by models, folds and stages."""

    features: tuple[FeatureBins, ...]

    @cached_property
    def schema(self) -> Schema:
        """The fields that a table to be encoded is aligned to."""
        return Schema(Field(feature.name, feature.kind, feature.categories) for feature in self.features)

    @cached_property
    def dtype(self) -> np.dtype:
        """The smallest of uint8, uint16 and uint32 that holds all codes, the missing one included."""
        return np.min_scalar_type(max((feature.num_bins for feature in self.features), default=0))

    @classmethod
    def fit(
        cls,
        table: Table,
        *,
        max_bins: int | None = 255,
        sample_weight: np.ndarray | None = None,
        threads: int = 1,
    ) -> Bins:
        """Bins of equal mass, from all rows of `table`.

        A column with at most `max_bins` distinct values has a bin for each of them.

        Args:
            table: the training rows; any value may be missing.
            max_bins: bins per column without the missing one, at least 2; None gives every distinct value its
                own.
            sample_weight: float64[rows], not negative. It is the mass that bins share equally; a row of
                weight zero does not count, and weight 2 is the same as a repeated row.
            threads: at least 1; the bins do not depend on it.

        Raises:
            ContractError: a value is infinite.
            ValueError: `max_bins` or `sample_weight` is out of range.
        """
        if max_bins is not None and max_bins < 2:
            raise ValueError(f"max_bins must be at least 2 or None, got {max_bins}")
        weights = None if sample_weight is None else exact_weights(_checked(sample_weight, table.num_rows))

        def of_column(column: Column) -> FeatureBins:
            if column.kind == "category":
                return FeatureBins.of_categories(column, weights, max_bins)
            counts = count_values(column, weights)
            starts = equal_mass(counts.weights, max_bins)
            return FeatureBins.of_values(column.name, column.kind, counts, starts)

        return cls(tuple(binning.in_threads(of_column, table.columns, threads)))

    @classmethod
    def from_cuts(cls, table: Table, cuts: Sequence[np.ndarray], *, max_bins: int | None = 255) -> Bins:
        """Bins between given cut points, such as those of `assay.tabular.sketch.propose_cuts`.

        Args:
            table: the training rows. A cut that parts no two of their values is left out.
            cuts: for each column the thresholds, ascending; ``x <= cut`` falls below it. Not used for
                categories.
            max_bins: bins of a category column.
        """
        features = []
        for column, thresholds in zip(table.columns, cuts, strict=True):
            if column.kind == "category":
                features.append(FeatureBins.of_categories(column, None, max_bins))
                continue
            counts = count_values(column)
            starts = np.searchsorted(counts.values, thresholds, side="right")
            starts, used = np.unique(starts, return_index=True)
            inside = (starts > 0) & (starts < len(counts.values))
            feature = FeatureBins.of_values(column.name, column.kind, counts, np.append(0, starts[inside]))
            features.append(replace(feature, cuts=np.asarray(thresholds, np.float64)[used[inside]]))
        return cls(tuple(features))

    def encode(self, table: Table, *, threads: int = 1) -> Codes:
        """The codes of `table`, aligned to the training schema first; unseen categories are missing."""
        if table.schema != self.schema:
            table = table.align(self.schema)
        codings = [feature.coding for feature in self.features]
        return Codes(self, *binning.encode(table.columns, codings, self.dtype, threads))


def count_values(column: Column, weights: np.ndarray | None = None) -> ValueCounts:
    """The distinct values of a numeric-like column and their weights.

    Missing values and rows of weight zero do not count.

    Args:
        column: of any kind but category.
        weights: float64[rows], not negative; sums are exact in any order for those of `exact_weights`.

    Raises:
        ContractError: a value is infinite.
    """
    counts = ValueCounts(*binning.count_values(column.values, weights))
    if len(counts.values) and np.isinf(counts.values[[0, -1]]).any():
        row = int(np.flatnonzero(np.isinf(column.values))[0])
        raise ContractError(
            f"column {column.name!r}, row {row}: expected a finite number, got {column.values[row]}"
        )
    return counts


def _checked(sample_weight: np.ndarray, num_rows: int) -> np.ndarray:
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (num_rows,):
        raise ValueError(f"sample_weight must have shape ({num_rows},), got {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight must be finite and not negative")
    if num_rows and not weights.any():
        raise ValueError("sample_weight must be positive for at least one row")
    return weights
