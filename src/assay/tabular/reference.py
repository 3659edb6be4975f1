"""The NumPy twin of the compiled tree grower: the same trees, bit for bit, more slowly.

It states what the kernel computes. Sums are integers; the few floating-point operations, on the sums of a
split, stand here in the order in which the kernel does them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from assay.tabular.cuts import midpoints
from assay.tabular.problem import Nodes, Problem
from assay.tabular.score_reference import Scorer, words_of

MASK = 2**64 - 1
LEVEL, NODE, DRAW, THRESHOLD = range(1, 5)  # streams of random numbers
LEFT, RIGHT = 1, 2


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


def grow(problem: Problem) -> Nodes:
    """The tree of a problem."""
    return _Grower(problem).grow()


class _Grower:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.limits = problem.limits
        self.scorer = Scorer(problem.statistics, problem.penalties, problem.noise)
        self.words = words_of(problem.statistics, self.scorer)
        self.root_key = mix(problem.seed & MASK)
        self.nodes: list[Node] = []
        self.leaf = np.full(problem.codes.num_rows, -1, np.int32)

    def grow(self) -> Nodes:
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
        return self._result()

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
        chance = 0.0
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
            chance = self.scorer.gain_by_chance(cells[order])
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
        scores[: len(codes)] -= chance  # but not of what parts the known values from the missing ones
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
        highs = self.problem.layout.highs[feature]
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
        left = self._node(node.rows[goes_left], split.left_sums, node.depth + 1, mix(node.key ^ LEFT))
        right = self._node(
            node.rows[~goes_left], node.sums - split.left_sums, node.depth + 1, mix(node.key ^ RIGHT)
        )
        node.left = left.index
        return left, right

    def _result(self) -> Nodes:
        nodes, layout = self.nodes, self.problem.layout
        inner = [node.split if node.left >= 0 else None for node in nodes]
        categories, thresholds = [np.zeros(0, np.int64)] * len(nodes), np.full(len(nodes), math.nan)
        for index, split in enumerate(inner):
            if split is None:
                continue
            if split.cut < 0:
                begin, end = layout.category_offsets[split.feature : split.feature + 2]
                categories[index] = np.flatnonzero(split.codes_left[layout.category_bins[begin:end]])
            else:
                thresholds[index] = self._threshold(nodes[index], split)
        weight, value = self._outputs()
        return Nodes(
            feature=np.array([-1 if split is None else split.feature for split in inner], np.int32),
            left=np.array([node.left for node in nodes], np.int32),
            missing_left=np.array([split is not None and split.codes_left[-1] for split in inner], bool),
            threshold=thresholds,
            categories=np.concatenate(categories).astype(np.int32),
            category_offsets=np.cumsum([0, *map(len, categories)], dtype=np.int32),
            gain=np.array([0.0 if split is None else split.gain for split in inner]),
            count=np.array([len(node.rows) for node in nodes], np.int32),
            weight=weight,
            value=value,
            leaf=self.leaf,
        )

    def _outputs(self) -> tuple[np.ndarray, np.ndarray]:
        """The weight of every node, and the sum of the gradient or the share of every class."""
        statistics = self.problem.statistics
        sums = np.array([node.sums[:-1] for node in self.nodes])
        weight = np.array([self.scorer.weight(node.sums) for node in self.nodes]) * statistics.units[1]
        if statistics.layout == "classes":
            return weight, sums * statistics.units[1] / weight[:, None]
        first = sums[:, :1] * statistics.units[0]
        if statistics.criterion == "newton":
            return weight, first
        return weight, np.hstack([weight[:, None] - first, first]) / weight[:, None]

    def _threshold(self, node: Node, split: Split) -> float:
        """Where every bin is one value: amid the node's own neighbours, or what was drawn between them.

        Without a neighbour, the split parts known values from missing ones, at infinity.
        """
        layout, highs = self.problem.layout, self.problem.layout.highs[split.feature]
        codes = self.problem.codes.columns[split.feature, node.rows]
        below = codes[codes <= split.cut]
        above = codes[(codes > split.cut) & (codes < layout.num_bins[split.feature])]
        if not len(above):
            return math.inf
        if not layout.is_exact[split.feature]:
            return float(layout.thresholds[split.feature][split.cut])
        if not math.isnan(split.drawn):
            return split.drawn
        return float(midpoints(highs[int(below.max())], highs[int(above.min())]))
