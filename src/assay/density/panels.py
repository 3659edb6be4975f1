"""Panels: the rectangles of a matrix that hold what a mask leaves of it.

Of the weights of a network in which every unit sees only units before it, about half are cut off for ever.
With its columns sorted by how much they see, what is left is a staircase, and a few rectangles cover it with
little more than its own area. Products with the rectangles alone, and steps of the optimiser on them alone,
cost that much less. Where a mask leaves no staircase, the whole matrix is one panel.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.density.model import Array, Weights

_PANELS = 6  # More would save little area, and narrow products are slow.
_WORTH_IT = 0.75  # of the whole matrix's area

Index = slice | NDArray[np.int64]


class Panel(NamedTuple):
    """A rectangle of a matrix: its name among the weights, its rows and its columns."""

    name: str
    rows: Index
    columns: Index


Plan = Mapping[str, Sequence[Panel]]
"""The panels of every matrix, by its name; together they have each of its columns once."""


def panels(name: str, kept: NDArray[np.bool_]) -> list[Panel]:
    """Rectangles that cover what is kept of a matrix.

    Args:
        name: of the matrix.
        kept: the mask.
    """
    by_height = np.argsort(kept.sum(axis=0), kind="stable")
    found: list[Panel] = []
    area = 0
    for i, columns in enumerate(np.array_split(by_height, min(_PANELS, kept.shape[1]))):
        rows = np.flatnonzero(kept[:, columns].any(axis=1))
        area += rows.size * columns.size
        found.append(Panel(f"{name}[{i}]", _index(rows), _index(np.sort(columns))))
    return found if area <= _WORTH_IT * kept.size else whole(name)


def whole(name: str) -> list[Panel]:
    """The matrix as its only panel, under its own name."""
    return [Panel(name, slice(None), slice(None))]


def split(matrices: Mapping[str, Array], plan: Plan) -> dict[str, Array]:
    """The panels of the matrices that the plan names, as copies; other arrays stay as they are."""
    found = {name: array for name, array in matrices.items() if name not in plan}
    for name in set(matrices) & set(plan):
        found |= {p.name: np.array(matrices[name][p.rows][:, p.columns], order="C") for p in plan[name]}
    return found


def joined(parts: Weights, plan: Plan, matrices: Weights) -> dict[str, Array]:
    """A copy of `matrices` with the panels put in their places, and all other arrays of `parts`."""
    found = {name: np.array(matrices[name]) for name in plan}
    for name, matrix in found.items():
        for panel in plan[name]:
            # Rows first and then columns would write into a copy where rows are an array.
            rows, columns = (np.arange(n)[i] for n, i in zip(matrix.shape, panel[1:], strict=True))
            matrix[np.ix_(rows, columns)] = parts[panel.name]
    return found | {name: array for name, array in parts.items() if name in matrices and name not in plan}


def product(x: Array, weights: Weights, placed: Sequence[Panel]) -> Array:
    """x times the matrix whose panels these are.

    Args:
        x: of shape (rows, rows of the matrix).
        weights: hold the panels.
        placed: the panels of one matrix.
    """
    out = np.empty((len(x), sum(weights[p.name].shape[1] for p in placed)), x.dtype)
    for panel in placed:
        out[:, panel.columns] = x[:, panel.rows] @ weights[panel.name]
    return out


def back_product(error: Array, weights: Weights, placed: Sequence[Panel], width: int) -> Array:
    """error times the transposed matrix, of shape (rows, width)."""
    out = np.zeros((len(error), width), error.dtype)
    for panel in placed:
        out[:, panel.rows] += error[:, panel.columns] @ weights[panel.name].T
    return out


def slopes(x: Array, error: Array, placed: Sequence[Panel]) -> dict[str, Array]:
    """The gradient of every panel: x transposed times the error of the product."""
    return {p.name: x[:, p.rows].T @ error[:, p.columns] for p in placed}


def _index(places: NDArray[Any]) -> Index:
    """The places as a slice where they follow each other: it selects without a copy."""
    if places.size and places[-1] - places[0] + 1 == places.size:
        return slice(int(places[0]), int(places[-1]) + 1)
    return places
