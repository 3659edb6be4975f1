"""What a table must be to be learned from: features and target, checked, with the roles of some columns."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from assay.core.files import write_json
from assay.data.table import Column, ContractError, Table

Problem = Literal["classification", "regression"]

_FEW = 10  # A whole-numbered target with at most so many values is taken as classes.
_ROLE = "\0assay "  # No file has a column whose name starts so.


@dataclass(frozen=True, eq=False)
class TabularData:
    """Features and target of one table.

    Args:
        features: without target, weight, group and time columns.
        target: class codes, or numbers.
        classes: the labels of the codes, sorted; empty for regression.
        weight, group, time: of each row, or None.
        target_name: the target's column.
    """

    features: Table
    target: NDArray[Any]
    classes: NDArray[Any]
    weight: NDArray[np.float64] | None
    group: NDArray[np.int64] | None
    time: NDArray[np.float64] | None
    target_name: str
    note: str = ""

    @property
    def name(self) -> str:
        """The table's name."""
        return self.features.name

    @property
    def problem(self) -> Problem:
        """What kind of target it is."""
        return "classification" if len(self.classes) else "regression"

    @property
    def labels(self) -> NDArray[Any]:
        """The target as the user wrote it: labels, or numbers."""
        return self.classes[self.target] if len(self.classes) else self.target

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[np.integer]) -> "TabularData":
        """Only these rows."""
        parts = {
            name: None if value is None else value[rows]
            for name, value in (("weight", self.weight), ("group", self.group), ("time", self.time))
        }
        return replace(self, features=self.features.take(rows), target=self.target[rows], **parts)

    def fingerprint(self) -> str:
        """SHA-256 of everything but the name."""
        classes = json.dumps(self.classes.tolist())
        return hashlib.sha256(f"{self._table().fingerprint()} {classes}".encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Sizes, target, inferred types."""
        return {
            "rows": len(self),
            "problem": self.problem,
            "target": self.target_name,
            "classes": [str(label) for label in self.classes[:20]],
            "note": self.note,
            "columns": [dict(vars(summary)) for summary in self.features.describe()],
        }

    def save(self, folder: Path) -> None:
        """Writes the data; `open` reads it back."""
        self._table().save(folder / "table.arrow")
        facts = {"name": self.name, "target": self.target_name, "note": self.note}
        write_json(folder / "data.json", facts | {"classes": self.classes.tolist()})

    @classmethod
    def open(cls, folder: Path) -> "TabularData":
        """The data that `save` wrote."""
        facts = json.loads((folder / "data.json").read_text("utf-8"))
        table = Table.open(folder / "table.arrow")
        classes = np.array(facts["classes"])
        roles = {column.name.removeprefix(_ROLE): column.values for column in table if _ROLE in column.name}
        features = table.drop([name for name in table.names if name.startswith(_ROLE)])
        target = roles["target"].astype(np.int64) if len(classes) else np.array(roles["target"])
        group = roles["group"].astype(np.int64) if "group" in roles else None
        return cls(
            replace(features, name=facts["name"]),
            target,
            classes,
            roles.get("weight"),
            group,
            roles.get("time"),
            facts["target"],
            facts["note"],
        )

    def _table(self) -> Table:
        roles = {"target": self.target, "weight": self.weight, "group": self.group, "time": self.time}
        columns = [
            Column(_ROLE + name, "numeric", np.asarray(values, np.float64))
            for name, values in roles.items()
            if values is not None
        ]
        return replace(self.features, columns=(*self.features.columns, *columns))


def read_contract(
    table: Table,
    *,
    target: str | None,
    weight: str | None = None,
    group: str | None = None,
    time: str | None = None,
    drop: Sequence[str] = (),
    problem: Problem | None = None,
) -> TabularData:
    """The table as features and target; see `Tabular.load` for the arguments.

    Raises:
        ContractError: the table breaks the contract; the message names row and column, rows counted from 1.
    """
    name = table.name
    if target is None:
        raise ContractError(f"{name}: which column is the target? There are {', '.join(table.names[:20])}")
    if problem is not None and problem not in get_args(Problem):
        raise ContractError(f"problem must be classification or regression, got {problem!r}")
    roles = {"target": target, "weight": weight, "group": group, "time": time}
    used = [column for column in roles.values() if column is not None]
    if len(set(used)) < len(used) or set(used) & set(drop):
        raise ContractError(f"{name}: target, weight, group, time and dropped columns must differ")
    column, features = table[target], table.drop([*used, *drop])
    if not features.columns:
        raise ContractError(f"{name}: expected at least one column beside the target {target!r}, got none")
    if table.num_rows < 2:
        raise ContractError(f"{name}: expected at least two rows, got {table.num_rows}")
    for other in (column, *features.columns):
        if other.kind != "category" and np.isinf(other.values).any():
            row = int(np.flatnonzero(np.isinf(other.values))[0]) + 1
            raise ContractError(f"{name}: column {other.name!r} is infinite in row {row}; expected a number")
    if column.missing.any():
        row, count = int(np.flatnonzero(column.missing)[0]) + 1, int(column.missing.sum())
        raise ContractError(
            f"{name}: the target {target!r} is missing in {count} of {table.num_rows} rows, "
            f"first in row {row}; expected a value in every row"
        )
    if all(other.missing.all() for other in features.columns):
        raise ContractError(f"{name}: every value beside the target {target!r} is missing")
    values, classes, note = _target(name, column, problem)
    return TabularData(
        features,
        values,
        classes,
        None if weight is None else _weights(name, table[weight]),
        None if group is None else _groups(table[group]),
        None if time is None else _times(name, table[time]),
        target,
        note,
    )


def _target(name: str, column: Column, problem: Problem | None) -> tuple[NDArray[Any], NDArray[Any], str]:
    """The target's values, its classes, and a word on what was inferred."""
    distinct, codes = np.unique(column.values, return_inverse=True)
    note = ""
    if column.kind == "category":
        if problem == "regression":
            example = column.categories[int(column.values[0])]
            raise ContractError(
                f"{name}: regression needs numbers in {column.name!r}, got text such as {example!r}"
            )
        classes = np.array([column.categories[int(code)] for code in distinct])
        numbers = [text for text in classes.tolist() if _is_number(text)]
        if numbers and len(numbers) > len(classes) / 2:
            odd = next(text for text in classes.tolist() if not _is_number(text))
            row = int(np.flatnonzero(column.values == column.categories.index(odd))[0]) + 1
            raise ContractError(
                f"{name}: the target {column.name!r} mixes numbers and text: "
                f"expected a number in row {row}, got {odd!r}"
            )
    elif column.kind == "boolean":
        classes = distinct.astype(bool)
    else:
        whole = bool((distinct == np.floor(distinct)).all())
        few = len(distinct) == 2 or (
            whole and len(distinct) <= _FEW and len(column.values) >= 5 * len(distinct)
        )
        chosen = problem or ("classification" if few and column.kind == "numeric" else "regression")
        if chosen == "regression":
            if len(distinct) == 1:
                raise ContractError(f"{name}: the target {column.name!r} is {distinct[0]:g} in every row")
            return column.values, np.array([]), note
        if problem is None:
            note = (
                f"{column.name} has {len(distinct)} values and is taken as classes; problem=regression if not"
            )
        classes = distinct.astype(np.int64) if whole else distinct
    sizes = np.bincount(codes)
    if len(classes) < 2:
        raise ContractError(
            f"{name}: expected two classes or more in {column.name!r}, got only {str(classes[0])!r}"
        )
    if len(classes) > max(_FEW, len(codes) / 2):
        raise ContractError(
            f"{name}: {column.name!r} has {len(classes)} classes in {len(codes)} rows; is it an identifier?"
        )
    if sizes.min() < 2:
        rare = classes[int(sizes.argmin())]
        raise ContractError(
            f"{name}: class {str(rare)!r} of {column.name!r} has one row; "
            "expected two or more, one to learn from and one to test on"
        )
    return codes.astype(np.int64), classes, note


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _weights(name: str, column: Column) -> NDArray[np.float64]:
    bad = ~np.isfinite(column.values) | (column.values < 0)
    if column.kind == "category" or bad.any():
        row = int(np.flatnonzero(bad)[0]) + 1 if bad.any() else 1
        raise ContractError(
            f"{name}: expected numbers of at least 0 in weight {column.name!r}; see row {row}"
        )
    return column.values


def _groups(column: Column) -> NDArray[np.int64]:
    values = np.where(column.missing, np.inf, column.values)  # Missing is one group.
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _times(name: str, column: Column) -> NDArray[np.float64]:
    if column.kind == "category" or column.missing.any():
        row = int(np.flatnonzero(column.missing)[0]) + 1 if column.missing.any() else 1
        raise ContractError(f"{name}: expected a date or a number in time {column.name!r}; see row {row}")
    return column.values
