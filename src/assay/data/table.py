"""Tables: named columns of four kinds, with missing values, as NumPy arrays.

Every number, truth value and moment is a float64 and NaN is its missing value; text is an int32 code into
sorted categories and -1 is its missing value. Nothing else about where a table came from is kept, so the
same content read from a CSV file, a pandas frame or a Parquet file is the same table.
"""

import hashlib
import json
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    import pandas

    from assay.data.summary import Summary

Kind = Literal["numeric", "boolean", "date", "category"]


class ContractError(ValueError):
    """A user's mistake about data: the message names file, row, column, what was expected and what came."""


@dataclass(frozen=True)
class Field:
    """A column's name, kind and (for kind "category") sorted categories."""

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()


class Schema(tuple[Field, ...]):
    """The fields of a table in order: a tuple of `Field` that can be written as JSON."""

    __slots__ = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(field.name for field in self)

    def to_json(self) -> list[dict[str, Any]]:
        """The fields as JSON values; `from_json` reads them back."""
        return [{"name": f.name, "kind": f.kind, "categories": list(f.categories)} for f in self]

    @classmethod
    def from_json(cls, fields: Iterable[Mapping[str, Any]]) -> "Schema":
        """The schema that `to_json` wrote."""
        return cls(Field(f["name"], f["kind"], tuple(f["categories"])) for f in fields)


@dataclass(frozen=True, eq=False)
class Column:
    """A named column.

    Args:
        name: as the user knows it.
        kind: "numeric", "boolean", "date" or "category".
        values: one value per row. numeric: float64; boolean: float64 0 or 1; date: float64 seconds since
            1970-01-01 UTC; NaN is missing in these three. category: int32 codes into `categories`,
            -1 is missing.
        categories: sorted and unique, only for kind "category"; some may be unused.

    Raises:
        ValueError: kind, shape or dtype are not as said above.
    """

    name: str
    kind: Kind
    values: np.ndarray
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"column {self.name!r}: expected a kind of {get_args(Kind)}, got {self.kind!r}")
        dtype = np.int32 if self.kind == "category" else np.float64
        if self.values.ndim != 1 or self.values.dtype != dtype:
            raise ValueError(
                f"column {self.name!r} of kind {self.kind!r}: expected a 1-d array of {np.dtype(dtype)}, "
                f"got {self.values.ndim}-d of {self.values.dtype}"
            )

    @classmethod
    def from_labels(cls, name: str, codes: np.ndarray, labels: Sequence[str | None]) -> "Column":
        """A category column from codes into `labels`, which may be unsorted, repeated or None (missing).

        Args:
            name: the column's name.
            codes: integers in [-1, len(labels)), -1 is missing.
            labels: the text of each code; labels that no code uses stay categories.
        """
        present = [label for label in labels if label is not None]
        ascending = len(present) == len(labels) and all(map(operator.lt, present, present[1:]))
        if ascending:  # As in a saved table.
            return cls(name, "category", codes.astype(np.int32, copy=False), tuple(present))
        categories = tuple(sorted(set(present)))
        rank = {category: code for code, category in enumerate(categories)}
        translation = np.array([-1 if label is None else rank[label] for label in labels] + [-1], np.int32)
        return cls(name, "category", translation[codes], categories)

    @property
    def missing(self) -> np.ndarray:
        """True for every row without a value."""
        return self.values < 0 if self.kind == "category" else np.isnan(self.values)

    @property
    def field(self) -> Field:
        """Name, kind and categories."""
        return Field(self.name, self.kind, self.categories)

    def take(self, rows: np.ndarray) -> "Column":
        """The column with only `rows` (positions, a boolean mask or a slice); all categories stay."""
        return replace(self, values=self.values[rows])

    def align(self, field: Field) -> "Column":
        """The column under the kind and the categories of `field`; a category it lacks becomes missing.

        Raises:
            ContractError: a value cannot be read as that kind.
        """
        from assay.data.kinds import cast

        column = cast(self, field.kind)
        if field.kind != "category" or column.categories == field.categories:
            return column
        known = {category: code for code, category in enumerate(field.categories)}
        translation = np.array([known.get(category, -1) for category in column.categories] + [-1], np.int32)
        return Column(self.name, "category", translation[column.values], field.categories)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length with distinct names.

    Args:
        columns: in order.
        name: for messages and reports, such as the file's name; it is not part of the content.

    Raises:
        ContractError: two columns have one name, or their lengths differ.
    """

    columns: tuple[Column, ...]
    name: str = "table"

    def __post_init__(self) -> None:
        names: set[str] = set()
        for column in self.columns:
            if column.name in names:
                raise ContractError(f"{self.name}: expected distinct column names, got {column.name!r} twice")
            names.add(column.name)
            if len(column.values) != self.num_rows:
                raise ContractError(
                    f"{self.name}: expected {self.num_rows} rows in column {column.name!r} as in "
                    f"{self.columns[0].name!r}, got {len(column.values)}"
                )

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.columns[0].values) if self.columns else 0

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def schema(self) -> Schema:
        """Names, kinds and categories in order."""
        return Schema(column.field for column in self.columns)

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return any(column.name == name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise ContractError(f"{self.name}: no column {name!r}{nearest(name, self.names)}")

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {self.num_rows} rows, {len(self.columns)} columns)"

    def take(self, rows: np.ndarray) -> "Table":
        """The table with only `rows` (positions, a boolean mask or a slice)."""
        return replace(self, columns=tuple(column.take(rows) for column in self.columns))

    def select(self, names: Sequence[str]) -> "Table":
        """The table with only the columns `names`, in that order."""
        return replace(self, columns=tuple(self[name] for name in names))

    def drop(self, names: Sequence[str]) -> "Table":
        """The table without the columns `names`, all of which must exist."""
        gone = {self[name].name for name in names}
        return replace(self, columns=tuple(column for column in self.columns if column.name not in gone))

    @classmethod
    def of(
        cls,
        data: Any,
        *,
        schema: Schema | None = None,
        kinds: Mapping[str, Kind] | None = None,
        name: str | None = None,
    ) -> "Table":
        """The table in `data`, whatever holds it.

        Args:
            data: a Table; a 2-d NumPy array (columns "x0", "x1", ...; shares memory where it can); a pandas,
                polars or Arrow frame; a dict of columns; a list of dicts; or the path of a file
                (see `assay.data.readers`). Numbers and durations (seconds) become numeric, truth values
                boolean, dates and datetimes date, text category; categorical columns keep their categories.
            schema: what the table must be aligned to (see `align`). An array without names takes the
                schema's by position.
            kinds: the kinds of some columns where what is inferred is not what they mean, such as a
                postal code that is a category.
            name: the table's name; the file's name or "table" if not given.

        Raises:
            ContractError: the data is no table, or not the table that `schema` describes.
        """
        from assay.data.frames import table_of

        return table_of(data, schema=schema, kinds=kinds, name=name)

    def align(self, schema: Schema) -> "Table":
        """The columns of `schema`, in its order and with its kinds and category codes.

        Other columns are left out, and a category that `schema` does not know becomes missing. Kinds are
        changed where no value changes its meaning: truth values are 0 and 1 as numbers, numbers have a text,
        and text may spell a number or a date.

        Raises:
            ContractError: a column is missing, or a value cannot be read as the schema's kind.
        """
        absent = [field.name for field in schema if field.name not in self]
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            hint = nearest(absent[0], self.names)
            raise ContractError(f"{self.name}: expected a column {absent[0]!r}{more}, got none{hint}")
        try:
            return replace(self, columns=tuple(self[field.name].align(field) for field in schema))
        except ContractError as error:
            raise ContractError(f"{self.name}: {error}") from None

    def to_numpy(self) -> np.ndarray:
        """The values as float64 of shape (rows, columns): categories as their codes, missing as NaN."""
        matrix = np.empty((self.num_rows, len(self.columns)))
        for index, column in enumerate(self.columns):
            matrix[:, index] = column.values
            if column.kind == "category":
                matrix[column.missing, index] = np.nan
        return matrix

    def to_pandas(self) -> "pandas.DataFrame":
        """The table as a pandas frame: float64, boolean, datetime64[us] and category columns."""
        from assay.data.frames import pandas_of

        return pandas_of(self)

    def describe(self) -> "tuple[Summary, ...]":
        """A line about each column: kind, missing and distinct values, range, and what is remarkable."""
        from assay.data.summary import summary_of

        return tuple(summary_of(column) for column in self.columns)

    def fingerprint(self) -> str:
        """SHA-256 of schema and values as 64 hexadecimal digits, wherever they came from."""
        digest = hashlib.sha256(json.dumps(self.schema.to_json()).encode())
        for column in self.columns:
            values = column.values
            if column.kind != "category" and (missing := np.isnan(values)).any():
                values = np.where(missing, np.nan, values)  # One NaN: its sign and payload mean nothing.
            little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False)
            digest.update(np.ascontiguousarray(little_endian).data)
        return digest.hexdigest()

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the table as an Arrow IPC file, whole or not at all; other programs can read it too."""
        from assay.data.arrow import write_ipc

        write_ipc(self, path)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> "Table":
        """The table that `save` wrote, mapped into memory: numbers are read when they are used."""
        from assay.data.arrow import open_ipc

        return open_ipc(path)


def nearest(name: str, names: Sequence[str]) -> str:
    """`; did you mean ...?` or what there is, for a name that is not among `names`."""
    import difflib

    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    return f"; the columns are {shown}" if names else ""
