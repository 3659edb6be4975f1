"""A fitted decision tree as a structure of arrays.

The rule of a split, everywhere in the wing: a row goes left when ``x <= threshold``, a category when its code
is listed; a missing value, or a category unseen in training, goes where ``missing_left`` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from assay.data.table import Table


@dataclass(frozen=True, eq=False)
class Tree:
    """A binary tree; node 0 is the root, children come after their parents, and siblings side by side.

    Args:
        feature: int32[nodes], the column a node splits on, -1 for a leaf.
        threshold: float64[nodes], NaN for leaves and category splits; +inf parts known from missing values.
        left: int32[nodes], the child for rows that satisfy the rule, -1 for a leaf; the other child is next.
        missing_left: bool[nodes], whether missing values go left.
        categories: int32, the category codes that go left, of all nodes, ascending within a node.
        category_offsets: int32[nodes + 1]; the codes of node i are ``categories[offsets[i]:offsets[i + 1]]``.
        gain: float64[nodes], what the split of a node gained, 0 for a leaf.
        weight: float64[nodes], sum of the hessian or of the sample weights ("cover").
        count: int32[nodes], training rows of non-zero weight.
        value: float64[nodes, outputs], the prediction of every node, also of the inner ones.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    missing_left: np.ndarray
    categories: np.ndarray
    category_offsets: np.ndarray
    gain: np.ndarray
    weight: np.ndarray
    count: np.ndarray
    value: np.ndarray

    def __post_init__(self) -> None:
        nodes = len(self.feature)
        if self.value.ndim != 2 or len(self.value) != nodes:
            raise ValueError(f"value must have shape ({nodes}, outputs), got {self.value.shape}")
        if len(self.category_offsets) != nodes + 1:
            raise ValueError(
                f"category_offsets must have length {nodes + 1}, got {len(self.category_offsets)}"
            )

    @property
    def num_nodes(self) -> int:
        """Number of nodes, leaves included."""
        return len(self.feature)

    @property
    def num_leaves(self) -> int:
        """Number of leaves; a tree that never splits has one."""
        return int(np.count_nonzero(self.feature < 0))

    @property
    def right(self) -> np.ndarray:
        """int32[nodes]: the child for rows that do not satisfy the rule, -1 for a leaf."""
        return np.where(self.left >= 0, self.left + 1, -1)

    @cached_property
    def depths(self) -> np.ndarray:
        """int32[nodes]: the number of splits above every node."""
        depths = np.zeros(self.num_nodes, np.int32)
        for node in np.flatnonzero(self.feature >= 0):  # parents first, by the order of the nodes
            depths[self.left[node] : self.left[node] + 2] = depths[node] + 1
        return depths

    @property
    def depth(self) -> int:
        """Number of splits on the longest path from the root."""
        return int(self.depths.max())

    def categories_left(self, node: int) -> np.ndarray:
        """int32: the category codes that go left at ``node``; empty if it does not split on a category."""
        return self.categories[self.category_offsets[node] : self.category_offsets[node + 1]]

    def with_values(self, value: np.ndarray) -> Tree:
        """The same tree with other predictions, of shape (nodes, outputs)."""
        return replace(self, value=np.asarray(value, np.float64))

    def apply(self, table: Table) -> np.ndarray:
        """int32[rows]: the leaf every row ends in; ``table`` has the columns the tree was grown on."""
        from assay.tabular.ensemble import Ensemble  # which itself is made of trees

        return Ensemble((self,), table.schema).leaves(table)[:, 0]

    def predict(self, table: Table) -> np.ndarray:
        """float64[rows, outputs]: the value of the leaf every row ends in."""
        return self.value[self.apply(table)]
