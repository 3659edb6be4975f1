"""What a grower of trees is given and gives back: `kernel.c` and its NumPy twin, `reference.py`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from assay.tabular.bins import Bins, Codes
from assay.tabular.fixed_point import Statistics
from assay.tabular.kernel import address

if TYPE_CHECKING:
    from assay.tabular.grower import Limits


@dataclass(frozen=True, eq=False)
class BinLayout:
    """What the codes of every feature mean, side by side.

    Args:
        num_bins: int32[features], without the bin of missing values.
        is_category: bool[features].
        is_exact: bool[features], whether every bin is one value; then thresholds lie amid neighbours.
        highs: the largest value of every bin of each feature, as in `FeatureBins`; empty for categories.
        thresholds: likewise; empty where bins are exact.
        category_bins: int32, the bin of every category, of all features one after the other.
        category_offsets: int64[features + 1]; empty ranges for numbers.
    """

    num_bins: np.ndarray
    is_category: np.ndarray
    is_exact: np.ndarray
    highs: tuple[np.ndarray, ...]
    thresholds: tuple[np.ndarray, ...]
    category_bins: np.ndarray
    category_offsets: np.ndarray

    @cached_property
    def high_addresses(self) -> np.ndarray:
        """uintp[features]: where the highs of each feature lie."""
        return np.array([address(highs) for highs in self.highs], np.uintp)

    @cached_property
    def threshold_addresses(self) -> np.ndarray:
        """uintp[features]: likewise."""
        return np.array([address(thresholds) for thresholds in self.thresholds], np.uintp)


@dataclass(frozen=True, eq=False)
class Problem:
    """All that a grower needs to know, checked.

    Args:
        codes: of the features; the code of a missing value is ``num_bins``.
        layout: of the bins.
        features: int32, ascending, the features that may be split.
        statistics: the target.
        penalties: l1, l2 and max_delta_step.
        noise: variance of gradients per unit of the hessian, by which sets of categories gain by chance.
        limits: when to stop.
        min_weight: smallest hessian or weight of a child, in units, at least 1.
        seed: of the random choices.
    """

    codes: Codes
    layout: BinLayout
    features: np.ndarray
    statistics: Statistics
    penalties: tuple[float, float, float]
    noise: float
    limits: Limits
    min_weight: int
    seed: int


@dataclass(frozen=True, eq=False)
class Nodes:
    """A grown tree; one element per node, children after parents.

    Args:
        feature, left, missing_left, threshold: as in `Tree`; and likewise categories,
            category_offsets, gain, count.
        weight: float64[nodes], the sum of the hessian, or of the weights.
        value: float64[nodes, 1 or K], the sum of the gradient, or the share of every class.
        leaf: int32[rows of the table], the node every row ended in; -1 for rows that do not count.
    """

    feature: np.ndarray
    left: np.ndarray
    missing_left: np.ndarray
    threshold: np.ndarray
    categories: np.ndarray
    category_offsets: np.ndarray
    gain: np.ndarray
    count: np.ndarray
    weight: np.ndarray
    value: np.ndarray
    leaf: np.ndarray


_layouts: WeakKeyDictionary[Bins, BinLayout] = WeakKeyDictionary()


def bin_layout(bins: Bins) -> BinLayout:
    """The layout of bins, made once for all trees of a fit."""
    if bins not in _layouts:
        is_exact = [np.array_equal(feature.low, feature.high) for feature in bins.features]
        _layouts[bins] = BinLayout(
            num_bins=np.array([feature.num_bins for feature in bins.features], np.int32),
            is_category=np.array([feature.kind == "category" for feature in bins.features]),
            is_exact=np.array(is_exact),
            highs=tuple(np.ascontiguousarray(feature.high) for feature in bins.features),
            thresholds=tuple(
                np.zeros(0) if exact else np.ascontiguousarray(feature.thresholds)
                for feature, exact in zip(bins.features, is_exact, strict=True)
            ),
            category_bins=np.concatenate([feature.category_bins for feature in bins.features]),
            category_offsets=np.cumsum([0, *(len(feature.category_bins) for feature in bins.features)]),
        )
    return _layouts[bins]
