"""The NumPy twin of predict.c: the same leaves and, to the last bit, the same sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from assay.data.table import Table
from assay.tabular.binning_reference import encode_column
from assay.tabular.packing import CHILD_SHIFT, LIMIT_MASK, SLOT_MASK, SLOT_SHIFT, Packed


def leaves(packed: Packed, table: Table) -> np.ndarray:
    """int32[rows, trees]: the node of its tree that every row ends in."""
    found = np.empty((table.num_rows, len(packed.depths)), np.int32)
    for tree, nodes in enumerate(_descend(packed, table)):
        found[:, tree] = packed.original[nodes]
    return found


def add(packed: Packed, table: Table, total: np.ndarray) -> None:
    """Adds the value of every tree's leaf to `total`, float64[rows, groups, outputs], tree after tree."""
    for tree, nodes in enumerate(_descend(packed, table)):
        total[:, tree % total.shape[1]] += packed.values[nodes]


def _descend(packed: Packed, table: Table) -> Iterator[np.ndarray]:
    """For every tree the nodes, counted over all trees, that the rows end in."""
    rows = np.arange(table.num_rows)
    codes = _encode(packed, table)
    for tree, depth in enumerate(packed.depths):
        root = packed.roots[tree]
        at = np.full(table.num_rows, root)
        for _ in range(depth):
            node = packed.nodes[at].astype(np.int64)
            slot, limit = node >> SLOT_SHIFT & SLOT_MASK, node & LIMIT_MASK
            code = codes[rows, slot].astype(np.int64)
            right = code > limit
            for index in range(packed.num_numeric, len(packed.slots)):
                here = np.flatnonzero((slot == index) & (limit != LIMIT_MASK))
                words = packed.slots[index].sets[limit[here], code[here] >> 5]
                right[here] = words >> (code[here] & 31) & 1 == 0
            at = root + (node >> CHILD_SHIFT) + right
        yield at


def _encode(packed: Packed, table: Table) -> np.ndarray:
    """The records of all rows: their codes [rows, slots]."""
    codes = np.zeros((table.num_rows, max(1, len(packed.slots))), packed.dtype)
    for index, slot in enumerate(packed.slots):
        codes[:, index] = encode_column(table.columns[slot.feature], slot.coding)
    return codes
