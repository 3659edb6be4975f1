"""Tables from objects in memory: arrays, frames of other libraries, columns, records.

Libraries are recognised without importing them: an object can only be a pandas frame where pandas has been
imported already, and polars and Arrow objects export themselves through the Arrow C stream.
"""

import datetime
import decimal
import numbers
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from assay.data.kinds import WORDS, RowError, cast, moment, seconds
from assay.data.table import Column, ContractError, Kind, Schema, Table

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_WANTED = (
    "a Table, a 2-d NumPy array, a pandas, polars or Arrow frame, a dict of columns, a list of dicts "
    "or the path of a file"
)


def table_of(
    data: Any, *, schema: Schema | None, kinds: Mapping[str, Kind] | None, name: str | None
) -> Table:
    """The table in `data`; see `Table.of`."""
    for column, kind in (kinds or {}).items():
        if kind not in get_args(Kind):
            choice = ", ".join(get_args(Kind))
            raise ContractError(f"column {column!r}: expected a kind of {choice}, got {kind!r}")
    if isinstance(data, (str, os.PathLike)):
        from assay.data.readers import read

        wanted: dict[str, Kind] = {field.name: field.kind for field in schema or ()}
        # Knowing the schema while reading keeps "007" a text, and names the line of what does not fit.
        table = read(data, kinds={**wanted, **(kinds or {})})
    elif isinstance(data, Table):
        table = data
    elif isinstance(data, np.ndarray):
        table = Table(tuple(_columns_of_array(data, schema)))
    elif _is_pandas(data, "DataFrame") or isinstance(data, Mapping):
        table = Table(tuple(_column(str(key), values) for key, values in data.items()))
    elif hasattr(data, "__arrow_c_stream__"):
        table = Table(tuple(_columns_of_stream(data)))
    elif isinstance(data, list) and data and all(isinstance(record, Mapping) for record in data):
        table = table_of_records(data)
    else:
        raise ContractError(f"expected {_WANTED}, got {_shown(data)}")
    if name is not None:
        table = replace(table, name=name)
    if kinds:
        table = _with_kinds(table, kinds)
    return table if schema is None else table.align(schema)


def _with_kinds(table: Table, kinds: Mapping[str, Kind]) -> Table:
    for name in kinds:
        table[name]  # Raises where there is no such column.
    return replace(table, columns=tuple(cast(c, kinds.get(c.name, c.kind)) for c in table.columns))


def table_of_records(records: Sequence[Mapping[str, Any]]) -> Table:
    """The table with a row for each record; a key that a record lacks is missing there."""
    names = dict.fromkeys(key for record in records for key in record)
    return Table(tuple(_column(str(key), [record.get(key) for record in records]) for key in names))


def _is_pandas(data: Any, class_name: str) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, getattr(pandas, class_name))


def _shown(data: Any) -> str:
    kind = type(data)
    shape = getattr(data, "shape", None)
    size = f" of shape {shape}" if shape is not None else ""
    return f"{kind.__module__}.{kind.__qualname__}{size}".removeprefix("builtins.")


def _columns_of_array(data: np.ndarray, schema: Schema | None) -> Iterator[Column]:
    if data.ndim != 2:
        raise ContractError(f"expected a 2-d array (rows, columns), got {data.ndim}-d of shape {data.shape}")
    count = data.shape[1]
    if schema is not None and count != len(schema):
        raise ContractError(f"expected {len(schema)} columns as in the schema, got an array of {count}")
    names = [f"x{index}" for index in range(count)] if schema is None else schema.names
    for index, name in enumerate(names):
        yield _column_of_array(name, data[:, index])


def _columns_of_stream(data: Any) -> Iterator[Column]:
    import pyarrow as pa

    from assay.data.arrow import columns_of

    try:
        reader = pa.RecordBatchReader.from_stream(data)
    except pa.ArrowInvalid:  # A stream of values, not of rows.
        raise ContractError(f"expected {_WANTED}, got {_shown(data)}") from None
    yield from columns_of(reader.read_all())


def _column(name: str, values: Any) -> Column:
    """The column in a pandas or polars series, an Arrow or NumPy array, or any sequence."""
    if _is_pandas(values, "Series"):
        return _column_of_series(name, values)
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ContractError(f"column {name!r}: expected a 1-d array, got shape {values.shape}")
        return _column_of_array(name, values)
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__"):
        raise ContractError(f"column {name!r}: expected a sequence of values, got {_shown(values)}")
    if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        import pyarrow as pa

        from assay.data.arrow import column_of

        single = not hasattr(values, "__arrow_c_stream__")
        return column_of(name, pa.chunked_array([pa.array(values)] if single else values))
    return _column_of_objects(name, list(values))


def _column_of_series(name: str, series: Any) -> Column:
    if isinstance(series.dtype, np.dtype):
        return _column_of_array(name, series.to_numpy())
    if hasattr(series, "cat"):
        labels = [str(label) for label in series.cat.categories]
        return Column.from_labels(name, series.cat.codes.to_numpy(), labels)
    if hasattr(series, "sparse"):
        return _column_of_array(name, series.to_numpy())
    import pyarrow as pa

    from assay.data.arrow import column_of

    values = pa.array(series, from_pandas=True)
    return column_of(name, values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values]))


def _column_of_array(name: str, values: np.ndarray) -> Column:
    kind = values.dtype.kind
    if kind in "iuf":
        return Column(name, "numeric", values.astype(np.float64, copy=False))
    if kind == "b":
        return Column(name, "boolean", values.astype(np.float64))
    if kind in "mM":
        unit, step = np.datetime_data(values.dtype)
        if step != 1 or unit not in _PER_SECOND:  # Days, weeks, minutes: whole seconds.
            values, unit = values.astype(f"{kind}8[s]"), "s"
        absent = np.isnat(values)
        ticks = np.where(absent, 0, values.astype(np.int64))
        return Column(name, "date" if kind == "M" else "numeric", seconds(ticks, _PER_SECOND[unit], absent))
    if kind in "OUT":
        return _column_of_objects(name, values.tolist())
    raise ContractError(f"column {name!r}: expected numbers, truth values, dates or text, got {values.dtype}")


def _column_of_objects(name: str, values: list[Any]) -> Column:
    kind_of = {type_: _kind_of(type_) for type_ in set(map(type, values))}  # Few types, many values.
    # NaN is also the missing value of text and dates in pandas; like NaT it differs from itself.
    missing = [
        (kind := kind_of[type(value)]) == "missing" or (kind in ("numeric", "date") and bool(value != value))
        for value in values
    ]
    found: set[Any] = {
        kind_of[type(value)] for value, absent in zip(values, missing, strict=True) if not absent
    }
    if found == {"numeric", "boolean"}:
        found = {"numeric"}
    if len(found) > 1 or None in found:
        raise _mixture(name, values, [kind_of[type(value)] for value in values], missing)
    kind = found.pop() if found else "numeric"
    if kind == "category":
        codes: dict[str, int] = {}
        rows = (
            -1 if absent else codes.setdefault(str(value), len(codes))
            for value, absent in zip(values, missing, strict=True)
        )
        return Column.from_labels(name, np.fromiter(rows, np.int32, len(values)), list(codes))
    read = _seconds_of if kind == "date" else float
    floats = (np.nan if absent else read(value) for value, absent in zip(values, missing, strict=True))
    return Column(name, kind, np.fromiter(floats, np.float64, len(values)))


def _mixture(name: str, values: list[Any], kinds: list[str | None], missing: list[bool]) -> RowError:
    """The error for the first value that is of no kind, or of another one than the first value."""
    present = [row for row, absent in enumerate(missing) if not absent]
    first = kinds[present[0]]
    same = {"numeric", "boolean"} if first in ("numeric", "boolean") else {first} - {None}
    row = next(row for row in present if kinds[row] not in same)
    value, kind = values[row], kinds[row]
    if kind is None:
        got = f"{type(value).__qualname__} {str(value)[:40]!r}"
        return RowError(row, f"column {name!r}: expected a number, a truth value, a date or text, got {got}")
    wanted = f"{WORDS[first]} as in the rows before"
    return RowError(row, f"column {name!r}: expected {wanted}, got {WORDS[kind]}, {value!r}")


def _kind_of(type_: type) -> Kind | Literal["missing"] | None:
    if type_ is type(None) or type_.__name__ in ("NAType", "NaTType"):
        return "missing"
    if issubclass(type_, (bool, np.bool_)):
        return "boolean"
    if issubclass(type_, (numbers.Real, decimal.Decimal)):
        return "numeric"
    if issubclass(type_, (datetime.date, np.datetime64)):
        return "date"
    return "category" if issubclass(type_, str) else None


def _seconds_of(value: Any) -> float:
    if isinstance(value, np.datetime64):
        return _column_of_array("", np.array([value])).values[0]
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    return moment(value)


def pandas_of(table: Table) -> Any:
    """The table as a pandas frame; see `Table.to_pandas`."""
    import pandas

    series = {}
    for column in table.columns:
        values: Any = column.values
        if column.kind == "category":
            values = pandas.Categorical.from_codes(values, categories=list(column.categories))
        elif column.kind == "boolean":
            filled = np.where(column.missing, 0, values).astype(bool)
            values = pandas.array(filled, dtype="boolean")
            values[column.missing] = pandas.NA
        elif column.kind == "date":
            ticks = np.where(column.missing, 0, np.rint(values * 1e6)).astype("M8[us]")
            values = np.where(column.missing, np.datetime64("NaT", "us"), ticks)
        series[column.name] = values
    return pandas.DataFrame(series)
