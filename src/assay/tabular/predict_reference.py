"""The NumPy twin of predict.c: the same leaves and, to the last bit, the same sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from assay.data.table import Table
from assay.tabular.binning_reference import encode_column
from assay.tabular.packing import Packed


def leaves(packed: Packed, table: Table) -> np.ndarray:
    """int32[rows, trees]: the node of its tree that every row ends in."""
    found = np.empty((table.num_rows, len(packed.depths)), np.int32)
    for tree, nodes in enumerate(_descend(packed, table)):
        found[:, tree] = nodes
    return found


def add(packed: Packed, table: Table, total: np.ndarray) -> None:
    """Adds the value of every tree's leaf to `total`, float64[rows, groups, outputs], tree after tree."""
    for tree, nodes in enumerate(_descend(packed, table)):
        total[:, tree % total.shape[1]] += packed.values[tree][nodes]


def _descend(packed: Packed, table: Table) -> Iterator[np.ndarray]:
    """For every tree the nodes, counted from its root, that the rows end in."""
    rows = np.arange(table.num_rows)
    codes = _encode(packed, table)
    for root, depth in zip(packed.roots, packed.depths, strict=False):
        at = np.full(table.num_rows, root)
        for _ in range(depth):
            node = packed.nodes[at]
            code = codes[rows, node["slot"]]
            right = code > node["limit"]
            if len(packed.set_at):
                words = packed.sets[packed.set_at[at] + (code >> 5)]
                right |= (node["slot"] >= packed.num_numeric) & ((words >> (code & 31)) & 1 == 0)
            at = root + node["left"] + right
        yield at - root


def _encode(packed: Packed, table: Table) -> np.ndarray:
    """The records of all rows: their codes [rows, slots]."""
    codes = np.zeros((table.num_rows, len(packed.slots)), packed.dtype)
    for index, slot in enumerate(packed.slots):
        if slot.feature >= 0:
            codes[:, index] = encode_column(table.columns[slot.feature], slot.coding)
    return codes
