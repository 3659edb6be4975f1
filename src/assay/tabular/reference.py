"""The NumPy twin of the compiled tree grower: the same trees, bit for bit, more slowly.

It states what the kernel computes. Sums are integers; the few floating-point operations, on the sums of a
split, stand here in the order in which the kernel does them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assay.tabular.fixed_point import Statistics

if TYPE_CHECKING:
    from assay.tabular.bins import Codes
    from assay.tabular.grower import Limits

MASK = 2**64 - 1
LEVEL, NODE, DRAW, THRESHOLD = range(1, 5)  # streams of random numbers
LEFT, RIGHT = 1, 2
ROUNDING = 1e-15  # a gain of less than this share of what it is the difference of is rounding


@dataclass(frozen=True, eq=False)
class BinLayout:
    """What the codes of every feature mean.

    Args:
        num_bins: int32[features], without the bin of missing values.
        is_category: bool[features].
        is_exact: bool[features], whether every bin is one value: then thresholds are the middle of neighbours.
        highs: float64, the largest value of every bin, of all features one after the other.
        edges: float64, the threshold above every bin, infinity above the last one of a feature; like ``highs``.
        high_offsets: int64[features + 1]; empty ranges for categories.
        category_bins: int32, the bin of every category, of all features one after the other.
        category_offsets: int64[features + 1]; empty ranges for numbers.
    """

    num_bins: np.ndarray
    is_category: np.ndarray
    is_exact: np.ndarray
    highs: np.ndarray
    edges: np.ndarray
    high_offsets: np.ndarray
    category_bins: np.ndarray
    category_offsets: np.ndarray


@dataclass(frozen=True, eq=False)
class Problem:
    """All that a grower needs to know, checked.

    Args:
        codes: of the features; the code of a missing value is ``num_bins``.
        layout: of the bins.
        features: int32, ascending, the features that may be split.
        statistics: the target.
        penalties: l1, l2 and max_delta_step.
        limits: when to stop.
        min_weight: smallest hessian or weight of a child, in units, at least 1.
        seed: of the random choices.
    """

    codes: Codes
    layout: BinLayout
    features: np.ndarray
    statistics: Statistics
    penalties: tuple[float, float, float]
    limits: Limits
    min_weight: int
    seed: int


@dataclass(frozen=True, eq=False)
class RawTree:
    """A tree in terms of bins; one element per node, children after parents.

    Args:
        feature: int32, -1 for a leaf; likewise ``left`` and ``right``.
        cut: int32, numeric split: the last bin that goes left.
        below: int32, split of an exact numeric feature: the largest code of the node's rows that goes left, not
            counting missing values, or -1; and ``above`` the smallest that goes right.
        drawn: float64, the random threshold, or NaN.
        missing_left: bool, where missing values go.
        bins_left: int32, category splits: the bins that go left, ascending; of a node, ``num_bins_left`` elements
            from ``bins_begin`` on.
        gain: float64.
        count: int64, rows.
        sums: int64[nodes, 2 or K], gradient and hessian or the weight of every class, in units.
        leaf: int32[rows of the table], the node every row ended in; -1 for rows that do not count.
    """

    feature: np.ndarray
    left: np.ndarray
    right: np.ndarray
    cut: np.ndarray
    below: np.ndarray
    above: np.ndarray
    drawn: np.ndarray
    missing_left: np.ndarray
    bins_left: np.ndarray
    bins_begin: np.ndarray
    num_bins_left: np.ndarray
    gain: np.ndarray
    count: np.ndarray
    sums: np.ndarray
    leaf: np.ndarray


@dataclass(frozen=True)
class Split:
    """A way to part a node: which codes of which feature go left."""

    score: float  # of both children
    feature: int
    cut: int  # -1 for a category
    codes_left: np.ndarray  # bool[num_bins + 1]
    left_sums: np.ndarray
    drawn: float = math.nan
    gain: float = math.nan


@dataclass
class Node:
    """A node; its split is carried out once it has children."""

    index: int
    rows: np.ndarray
    sums: np.ndarray
    depth: int
    key: int
    split: Split | None = None
    left: int = -1
    right: int = -1
    below: int = -1
    above: int = -1


def mix(z: int) -> int:
    """A 64-bit integer, scattered (the output function of SplitMix64)."""
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def draw(key: int, stream: int, index: int) -> int:
    """The random 64-bit integer number ``index`` of a stream: a function of its arguments alone."""
    return mix((mix(key ^ (stream << 56)) + index) & MASK)


def shuffled(items: list[int], key: int, stream: int) -> list[int]:
    """The items in random order; the first k are a sample without replacement."""
    items = list(items)
    for i in range(len(items) - 1):
        j = i + ((draw(key, stream, i) >> 32) * (len(items) - i) >> 32)
        items[i], items[j] = items[j], items[i]
    return items


def sampled(items: list[int], fraction: float, key: int, stream: int) -> list[int]:
    """A share of the items, at least one, in their order."""
    if fraction == 1:
        return items
    return sorted(shuffled(items, key, stream)[: max(1, int(fraction * len(items)))])


def entropy_term(weight: np.ndarray) -> np.ndarray:
    """w log2 w, and 0 for 0, by the C library's logarithm, which NumPy's vectors do not always equal."""
    return np.array([w * math.log2(w) if w > 0 else 0.0 for w in weight.ravel().tolist()]).reshape(
        weight.shape
    )


class _Scorer:
    """The score of sums: the larger the score of the children, the better the split."""

    def __init__(self, statistics: Statistics, penalties: tuple[float, float, float]) -> None:
        self.criterion = statistics.criterion
        self.units = statistics.units
        self.l1, self.l2, self.max_delta_step = penalties
        self.by_class = statistics.layout == "classes"

    def weight(self, sums: np.ndarray) -> np.ndarray:
        """Hessian or weight, in units; the last column is the count, except in `RawTree.sums`."""
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


def grow(problem: Problem) -> RawTree:
    """The tree of a problem."""
    return _Grower(problem).grow()


class _Grower:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.limits = problem.limits
        self.scorer = _Scorer(problem.statistics, problem.penalties)
        self.words = _words(problem.statistics, self.scorer)
        self.root_key = mix(problem.seed & MASK)
        self.nodes: list[Node] = []
        self.leaf = np.full(problem.codes.num_rows, -1, np.int32)

    def grow(self) -> RawTree:
        """The tree; open nodes are split best first where leaves are scarce, else depth first."""
        max_leaves = self.limits.max_leaves
        rows = self.problem.statistics.rows
        frontier: list[tuple[float, int]] = []
        root = self._node(rows, self.words[rows].sum(axis=0), 0, self.root_key)
        if max_leaves != 1:
            self._enter(frontier, root)
        leaves = 1
        while frontier:
            _, index = frontier.pop() if max_leaves is None else heapq.heappop(frontier)
            left, right = self._split(self.nodes[index])
            leaves += 1
            if leaves == max_leaves:
                break
            self._enter(frontier, right)
            self._enter(frontier, left)
        return self._raw()

    def _node(self, rows: np.ndarray, sums: np.ndarray, depth: int, key: int) -> Node:
        node = Node(len(self.nodes), rows, sums, depth, key)
        self.nodes.append(node)
        self.leaf[rows] = node.index
        return node

    def _enter(self, frontier: list[tuple[float, int]], node: Node) -> None:
        if not self._may_split(node):
            return
        node.split = self._best_split(node)
        if node.split is None:
            return
        if self.limits.max_leaves is None:
            frontier.append((0.0, node.index))
        else:
            heapq.heappush(frontier, (-node.split.gain, node.index))

    def _may_split(self, node: Node) -> bool:
        limits = self.limits
        if limits.max_depth is not None and node.depth >= limits.max_depth:
            return False
        if len(node.rows) < max(limits.min_samples_split, 2 * limits.min_samples_leaf):
            return False
        weight = self.scorer.weight(node.sums)
        if weight < 2 * self.problem.min_weight:
            return False
        if self.problem.statistics.criterion != "newton":
            return not self.scorer.is_pure(node.sums)
        if limits.min_gain >= 0:
            return True
        g, h = self.words[node.rows, 0].astype(np.float64), self.words[node.rows, 1].astype(np.float64)
        # Equal rows differ after rounding, by half a unit at most where a unit is not one.
        whole_g, whole_h, rows = float(node.sums[0]), float(node.sums[1]), float(len(g))
        rounding = 2.0**-50 * np.abs(g * whole_h)
        if self.problem.statistics.units[0] != 1.0:
            rounding = rounding + (whole_h + rows * h)
        if self.problem.statistics.units[1] != 1.0:
            rounding = rounding + (abs(whole_g) + rows * np.abs(g))
        return bool((np.abs(g * whole_h - whole_g * h) > rounding).any())

    def _candidates(self, node: Node) -> Iterator[tuple[int, bool]]:
        """Features in the order to look at; true where one may stop if a feature that varies was seen."""
        limits = self.limits
        pool = self.problem.features.tolist()
        pool = sampled(pool, limits.features_per_level, draw(self.root_key, LEVEL, node.depth), LEVEL)
        pool = sampled(pool, limits.features_per_node, node.key, NODE)
        if limits.max_features is None or limits.max_features >= len(pool):
            yield from ((feature, False) for feature in pool)
        else:
            for position, feature in enumerate(shuffled(pool, node.key, DRAW)):
                yield feature, position >= limits.max_features

    def _best_split(self, node: Node) -> Split | None:
        best, varied = None, False
        for feature, extra in self._candidates(node):
            if extra and varied:
                break
            codes, cells = self._histogram(node.rows, feature)
            varied |= len(codes) > 1
            split = self._best_of_feature(node, feature, codes, cells)
            if split is not None and (
                best is None
                or split.score > best.score
                or (split.score == best.score and feature < best.feature)
            ):
                best = split
        if best is None:
            return None
        gain = best.score - float(self.scorer.score(node.sums))
        least = self.limits.min_gain
        if gain < least or (least >= 0 and not gain > self.scorer.rounding(node.sums)):
            return None
        return Split(best.score, best.feature, best.cut, best.codes_left, best.left_sums, best.drawn, gain)

    def _histogram(self, rows: np.ndarray, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """The codes whose cells are not zero, ascending, and their cells."""
        codes = self.problem.codes.columns[feature, rows]
        num_codes = int(self.problem.layout.num_bins[feature]) + 1
        if num_codes <= len(rows):
            present, slots = np.arange(num_codes), codes
        else:
            present, slots = np.unique(codes, return_inverse=True)
        cells = np.zeros((len(present), self.words.shape[1]), np.int64)
        for word, values in enumerate(self.words.T):
            np.add.at(cells[:, word], slots, values[rows])
        filled = cells.any(axis=1)
        return present[filled], cells[filled]

    def _best_of_feature(
        self, node: Node, feature: int, codes: np.ndarray, cells: np.ndarray
    ) -> Split | None:
        bins = int(self.problem.layout.num_bins[feature])
        category = bool(self.problem.layout.is_category[feature])
        missing = cells[-1] if len(codes) and codes[-1] == bins else None
        if missing is not None:
            codes, cells = codes[:-1], cells[:-1]
        if not len(codes):
            return None

        # The candidates: ranges of the codes, put in order, that go left.
        drawn, ends = math.nan, np.arange(1, len(codes) + 1)
        starts = np.zeros_like(ends)
        if self.limits.random_thresholds:
            first, drawn = self._random_codes(node, feature, codes)
            order = np.argsort(~first, kind="stable")
            starts, ends = starts[:1], ends[first.sum() - 1 :][:1]
        elif not category:
            order = np.arange(len(codes))
        elif bins <= self.limits.max_categories_onehot:
            order = np.arange(len(codes))
            starts = ends - 1
        else:
            order = np.argsort(self.scorer.order(cells, node.sums), kind="stable")
        codes, cells = codes[order], cells[order]
        if missing is not None:  # the last candidate parts the known values from the missing ones
            starts, ends = np.append(starts, 0), np.append(ends, len(codes))
        sums = np.concatenate([np.zeros_like(cells[:1]), np.cumsum(cells, axis=0)])
        left = sums[ends] - sums[starts]

        scores = np.full((len(left), 2), -np.inf)
        scores[:, 0] = self._scores(left, node.sums)  # missing values right
        if missing is not None:
            known = self.scorer.weight(left) >= 1
            scores[known, 1] = self._scores(left[known] + missing, node.sums)
        place, side = divmod(int(np.argmax(scores)), 2)
        score = float(scores[place, side])
        if score == -np.inf:
            return None

        left_sums = left[place] + (missing if side else 0)
        weight = self.scorer.weight(left_sums)
        missing_left = (
            bool(side) if missing is not None else bool(weight > self.scorer.weight(node.sums) - weight)
        )
        picked = codes[starts[place] : ends[place]]
        codes_left = np.full(bins + 1, missing_left)
        cut = -1
        if category:
            codes_left[codes] = False
            codes_left[picked] = True
        else:
            cut = bins - 1 if len(picked) == len(codes) else int(picked[-1])
            codes_left[:bins] = np.arange(bins) <= cut
        return Split(score, feature, cut, codes_left, left_sums, drawn)

    def _random_codes(self, node: Node, feature: int, codes: np.ndarray) -> tuple[np.ndarray, float]:
        """Which of the codes go left, at least one and not all if there are two, and the threshold."""
        number = draw(node.key, THRESHOLD, feature)
        if len(codes) == 1:
            return np.array([True]), math.nan
        if self.problem.layout.is_category[feature]:
            first = np.array([mix((number + code) & MASK) >> 63 == 1 for code in codes.tolist()])
            if first.all() or not first.any():
                first[0] = not first[0]
            return first, math.nan
        highs = self.problem.layout.highs[slice(*self.problem.layout.high_offsets[feature : feature + 2])]
        low, high = float(highs[codes[0]]), float(highs[codes[-1]])
        threshold = low + (number >> 11) * 2.0**-53 * (high - low)
        if not threshold < high:
            threshold = low
        return codes < np.searchsorted(highs, threshold, side="right"), threshold

    def _scores(self, left: np.ndarray, parent: np.ndarray) -> np.ndarray:
        """The scores of both children together, -inf where a child is too small."""
        valid = np.ones(len(left), bool)
        for child in (left, parent - left):
            valid &= self.scorer.weight(child) >= self.problem.min_weight
            valid &= child[:, -1] >= self.limits.min_samples_leaf
        scores = np.full(len(left), -np.inf)
        scores[valid] = self.scorer.score(left[valid]) + self.scorer.score(parent - left[valid])
        return scores

    def _split(self, node: Node) -> tuple[Node, Node]:
        split = node.split
        assert split is not None
        codes = self.problem.codes.columns[split.feature, node.rows]
        goes_left = split.codes_left[codes]
        if split.cut >= 0 and self.problem.layout.is_exact[split.feature]:
            known = codes[codes < self.problem.layout.num_bins[split.feature]]
            below, above = known[known <= split.cut], known[known > split.cut]
            node.below = int(below.max()) if len(below) else -1
            node.above = int(above.min()) if len(above) else -1
        left = self._node(node.rows[goes_left], split.left_sums, node.depth + 1, mix(node.key ^ LEFT))
        right = self._node(
            node.rows[~goes_left], node.sums - split.left_sums, node.depth + 1, mix(node.key ^ RIGHT)
        )
        node.left, node.right = left.index, right.index
        return left, right

    def _raw(self) -> RawTree:
        nodes = self.nodes
        inner = [node.split if node.left >= 0 else None for node in nodes]
        sets = [
            np.flatnonzero(split.codes_left[:-1])
            if split is not None and split.cut < 0
            else np.zeros(0, np.int64)
            for split in inner
        ]
        return RawTree(
            feature=np.array([-1 if split is None else split.feature for split in inner], np.int32),
            left=np.array([node.left for node in nodes], np.int32),
            right=np.array([node.right for node in nodes], np.int32),
            cut=np.array([-1 if split is None else split.cut for split in inner], np.int32),
            below=np.array([node.below for node in nodes], np.int32),
            above=np.array([node.above for node in nodes], np.int32),
            drawn=np.array([math.nan if split is None else split.drawn for split in inner]),
            missing_left=np.array([split is not None and split.codes_left[-1] for split in inner], bool),
            bins_left=np.concatenate(sets).astype(np.int32),
            bins_begin=np.cumsum([0, *map(len, sets)])[:-1],
            num_bins_left=np.array([*map(len, sets)]),
            gain=np.array([0.0 if split is None else split.gain for split in inner]),
            count=np.array([len(node.rows) for node in nodes], np.int64),
            sums=np.array(
                [node.sums[:-1] if self.scorer.by_class else node.sums[:2] for node in nodes], np.int64
            ),
            leaf=self.leaf,
        )


def _words(statistics: Statistics, scorer: _Scorer) -> np.ndarray:
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
