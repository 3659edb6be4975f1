"""Ensembles: a sequence of trees over one schema, packed so that all of them predict in one pass.

The rule is the trees' own: ``x <= threshold`` goes left, listed categories go left, missing values and unseen
categories go where ``missing_left`` says. Sums are float64 in the order of the trees, so that they depend
neither on the number of threads nor on the rows that are predicted together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path

import numpy as np

from assay.data.table import Schema, Table
from assay.tabular import predict
from assay.tabular.packing import Packed, pack
from assay.tabular.tree import Tree

FORMAT, VERSION = "assay-ensemble", "2"
STAGED_TREES = 64  # so many trees are descended at once: each row is encoded once for all of them


class Ensemble:
    """A sequence of trees over one schema.

    Args:
        trees: all with equally many outputs; there may be none.
        schema: the columns that the trees' features and category codes refer to.
    """

    def __init__(self, trees: Sequence[Tree], schema: Schema):
        self.trees = tuple(trees)
        self.schema = schema

    @cached_property
    def _packed(self) -> Packed:
        return pack(self.trees, self.schema)

    def pack(self) -> Ensemble:
        """Itself, after packing the trees now rather than when they first predict.

        Raises:
            ValueError: a tree is malformed or does not fit the schema.
        """
        _ = self._packed
        return self

    def __len__(self) -> int:
        return len(self.trees)

    def __repr__(self) -> str:
        return f"Ensemble({len(self.trees)} trees, {len(self.schema)} features)"

    @property
    def outputs(self) -> int:
        """The number of values in a leaf."""
        return self._packed.outputs

    def leaves(self, table: Table, threads: int = 1) -> np.ndarray:
        """int32[rows, trees]: the node of each tree, as the tree counts them, that each row ends in.

        Args:
            table: is aligned to the schema first; other columns are ignored.
            threads: at least 1.
        """
        return predict.leaves(self._packed, self._aligned(table), threads)

    def sum(self, table: Table, *, groups: int = 1, threads: int = 1) -> np.ndarray:
        """float64[rows, groups * outputs]: the sum of the trees' values; tree t adds to group t % groups.

        Args:
            table: is aligned to the schema first; other columns are ignored.
            groups: how many sums the trees take turns in: the classes of multi-class boosting.
            threads: at least 1; the sums do not depend on it.
        """
        total = np.zeros((table.num_rows, groups, self.outputs))
        predict.add(self._packed, self._aligned(table), total, threads)
        return total.reshape(table.num_rows, groups * self.outputs)

    def staged(self, table: Table, *, groups: int = 1) -> Iterator[np.ndarray]:
        """Yields what `sum` would return after each round of `groups` trees."""
        table = self._aligned(table)
        total = np.zeros((table.num_rows, groups, self.outputs))
        for start in range(0, len(self.trees), step := groups * max(1, STAGED_TREES // groups)):
            part = Ensemble(self.trees[start : start + step], self.schema)
            for index, nodes in enumerate(part.leaves(table).T):
                total[:, index % groups] += part.trees[index].value[nodes]
                if (index + 1) % groups == 0 or start + index + 1 == len(self.trees):
                    yield total.reshape(table.num_rows, groups * self.outputs).copy()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the trees and the schema as one safetensors file; a file that is there is replaced whole."""
        from safetensors.numpy import save_file

        target = Path(path)
        arrays = {}
        for field in fields(Tree):
            parts = [getattr(tree, field.name) for tree in self.trees]
            arrays[field.name] = np.concatenate(parts) if parts else np.empty(0)
        arrays["nodes"] = np.array([tree.num_nodes for tree in self.trees], np.int64)
        arrays["listed"] = np.array([len(tree.categories) for tree in self.trees], np.int64)
        schema = json.dumps(self.schema.to_json())
        scratch = target.with_name(f".{target.name}-{os.getpid()}")
        try:
            save_file(arrays, scratch, {"format": FORMAT, "version": VERSION, "schema": schema})
            os.replace(scratch, target)
        finally:
            scratch.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ensemble:
        """The ensemble that `save` wrote, equal to the last bit.

        Raises:
            ValueError: the file is not such a file, or is damaged.
            OSError: it cannot be read.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as file:
                header = file.metadata() or {}
                if header.get("format") != FORMAT:
                    raise ValueError(f"its format is {header.get('format')!r}, not {FORMAT!r}")
                if header.get("version") != VERSION:
                    raise ValueError(f"its version is {header.get('version')!r}, this is version {VERSION!r}")
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict
            return cls(_split(arrays), Schema.from_json(json.loads(header["schema"]))).pack()
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{os.fspath(path)} is not a saved ensemble of trees: {error}") from error

    def _aligned(self, table: Table) -> Table:
        return table if table.schema == self.schema else table.align(self.schema)


def _split(arrays: dict[str, np.ndarray]) -> list[Tree]:
    """The trees whose arrays were joined."""
    ends = {"categories": np.cumsum(arrays["listed"])}
    ends["category_offsets"] = np.cumsum(arrays["nodes"] + 1)
    by_node = np.cumsum(arrays["nodes"])
    parts = {
        field.name: np.split(arrays[field.name], ends.get(field.name, by_node)[:-1]) for field in fields(Tree)
    }
    return [Tree(**{name: part[i] for name, part in parts.items()}) for i in range(len(by_node))]
