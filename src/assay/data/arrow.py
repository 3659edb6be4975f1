"""Columns from Arrow arrays, and tables as Arrow IPC files."""

import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assay.data.kinds import seconds
from assay.data.table import Column, ContractError, Table

_KIND = b"assay.kind"  # In a field's metadata: truth values and dates are stored as the floats they are.
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def columns_of(table: pa.Table) -> Iterator[Column]:
    """The columns of an Arrow table, one after the other, without the row index that pandas may have added.

    Raises:
        ContractError: a column is nested (a list, a struct), of an extension type, or of bytes that
            are not UTF-8 text.
    """
    for field, values in zip(table.schema, table.columns, strict=True):
        if field.name.startswith("__index_level_"):
            continue
        column = column_of(field.name, values)
        kind: Any = (field.metadata or {}).get(_KIND, b"").decode()
        yield Column(column.name, kind, column.values) if kind else column


def column_of(name: str, values: pa.ChunkedArray) -> Column:
    """The column in an Arrow array, without a copy for float64 in one chunk without nulls.

    Raises:
        ContractError: the type is nested or an extension type, or bytes are not UTF-8 text.
    """
    kind, type_ = values.type, pa.types
    if type_.is_binary(kind) or type_.is_large_binary(kind):
        values, kind = _decoded(name, values), pa.string()
    if type_.is_dictionary(kind):
        return _category(name, values)
    if type_.is_string(kind) or type_.is_large_string(kind) or type_.is_string_view(kind):
        return _category(name, values.dictionary_encode())
    if type_.is_boolean(kind):
        return Column(name, "boolean", _floats(values))
    if type_.is_integer(kind) or type_.is_floating(kind) or type_.is_decimal(kind) or type_.is_null(kind):
        return Column(name, "numeric", _floats(values))
    if type_.is_date(kind):
        return Column(name, "date", _seconds(values.cast(pa.timestamp("s" if kind == pa.date32() else "ms"))))
    if type_.is_timestamp(kind):
        return Column(name, "date", _seconds(values))
    if type_.is_duration(kind) or type_.is_time(kind):
        return Column(name, "numeric", _seconds(values))
    raise ContractError(
        f"column {name!r}: expected numbers, truth values, dates or text, got the Arrow type {kind}"
    )


def _decoded(name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    # Some programs write the text of a Parquet file without saying that it is text.
    try:
        return values.cast(pa.string() if values.type == pa.binary() else pa.large_string())
    except pa.ArrowInvalid:
        raise ContractError(f"column {name!r}: expected UTF-8 text, got other bytes") from None


def _floats(values: pa.ChunkedArray) -> np.ndarray:
    # Beyond 2**53 an integer is rounded to the nearest float64, as everywhere in NumPy.
    return values.cast(pa.float64(), safe=False).to_numpy()


def _seconds(values: pa.ChunkedArray) -> np.ndarray:
    width = pa.int32() if values.type.bit_width == 32 else pa.int64()
    ticks = values.cast(width).cast(pa.int64())
    return seconds(ticks.fill_null(0).to_numpy(), _PER_SECOND[values.type.unit], ticks.is_null().to_numpy())


def _category(name: str, values: pa.ChunkedArray) -> Column:
    chunks = values.unify_dictionaries().chunks
    if not chunks:
        return Column(name, "category", np.empty(0, np.int32))
    codes = pa.chunked_array([chunk.indices for chunk in chunks]).cast(pa.int32()).fill_null(-1).to_numpy()
    labels = [None if label is None else str(label) for label in chunks[0].dictionary.to_pylist()]
    return Column.from_labels(name, codes, labels)


def write_ipc(table: Table, path: str | PathLike[str]) -> None:
    """Writes `table` as an Arrow IPC file; the file is whole or not there."""
    fields, arrays = [], []
    for column in table.columns:
        kind: dict[bytes, bytes] = {}
        if column.kind == "category":
            codes = pa.array(column.values, mask=column.missing)
            arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(column.categories, pa.string())))
        else:
            kind = {_KIND: column.kind.encode()}
            arrays.append(pa.array(column.values))
        fields.append(pa.field(column.name, arrays[-1].type, metadata=kind))
    path = Path(path)
    scratch = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        batch = pa.record_batch(arrays, pa.schema(fields, metadata={b"assay.name": table.name.encode()}))
        with pa.ipc.new_file(scratch, batch.schema) as file:
            file.write_batch(batch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def open_ipc(path: str | PathLike[str]) -> Table:
    """The table in an Arrow IPC file, mapped into memory where it is not compressed."""
    content = read_ipc(path)
    name = (content.schema.metadata or {}).get(b"assay.name")
    return Table(tuple(columns_of(content)), name.decode() if name else Path(path).name)


def read_ipc(path: str | PathLike[str]) -> pa.Table:
    """The content of an Arrow IPC file or stream, mapped into memory where it is not compressed."""
    with pa.memory_map(os.fspath(path)) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        return (pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)).read_all()
