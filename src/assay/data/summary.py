"""A line about a column, so that a user sees what was understood of the data and can correct it."""

import re
from dataclasses import dataclass

import numpy as np

from assay.data.kinds import infer, number, text
from assay.data.table import Column, Kind

_MANY_ROWS = 1000  # Below, every value may differ by chance.
_SPELT = {"numeric": "numbers", "boolean": "truth values", "date": "dates"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d[\d.]*,\d+")


@dataclass(frozen=True)
class Summary:
    """What a column holds.

    Args:
        name: the column's name.
        kind: its kind.
        missing: rows without a value.
        distinct: different values among the others.
        values: "smallest to largest", or for a category its most frequent values.
        note: what is remarkable, or empty.
    """

    name: str
    kind: Kind
    missing: int
    distinct: int
    values: str
    note: str


def summary_of(column: Column) -> Summary:
    """The summary of `column`."""
    present = column.values[~column.missing]
    if column.kind == "category":
        counts = np.bincount(present, minlength=len(column.categories))
        distinct = int(np.count_nonzero(counts))
        frequent = np.argsort(-counts, kind="stable")[: min(3, distinct)]
        values = ", ".join(_shortened(column.categories[code]) for code in frequent)
        values += ", ..." if distinct > 3 else ""
    else:
        distinct = len(np.unique(present))
        ends = [text(end, column.kind) for end in (present.min(), present.max())] if len(present) else []
        values = " to ".join(dict.fromkeys(ends))
    return Summary(
        name=column.name,
        kind=column.kind,
        missing=len(column.values) - len(present),
        distinct=distinct,
        values=values,
        note=_note(column, present, distinct),
    )


def _note(column: Column, present: np.ndarray, distinct: int) -> str:
    if distinct == 0:
        return "all missing"
    if distinct == 1:
        return "one value only"
    if len(present) > _MANY_ROWS:
        if column.kind == "category" and distinct > len(present) / 2:
            return "mostly different texts: an identifier or free text?"
        if column.kind == "numeric" and distinct == len(present) and (present == np.rint(present)).all():
            return "whole numbers, all different: an identifier?"
    if column.kind == "category":
        return _nearly_numbers(column, present)
    if column.kind == "numeric" and np.isinf(present).any():
        return "infinite values"
    return ""


def _nearly_numbers(column: Column, present: np.ndarray) -> str:
    used = [column.categories[code] for code in np.unique(present)]
    if (spelt := infer(used)) != "category":  # Of a typed file or a frame: those keep their texts.
        return f"texts that spell {_SPELT[spelt]}; as the kind {spelt} they would be such"
    if all(_DECIMAL_COMMA.fullmatch(label.strip()) for label in used):
        return "numbers with a decimal comma, so categories; with a point they would be numbers"
    spelled = np.array([number(category) is not None for category in column.categories])[present]
    if 0.9 * len(present) < spelled.sum() < len(present):
        row = int(np.argmin(spelled))
        label = column.categories[present[row]]
        others = len(present) - spelled.sum()
        return f"numbers, but for {others} text{'s' if others > 1 else ''} such as {_shortened(label)!r}"
    return ""


def _shortened(label: str) -> str:
    label = " ".join(label.split())
    return label if len(label) <= 24 else label[:23] + "…"
