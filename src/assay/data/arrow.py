"""Columns from Arrow arrays, and tables as Arrow IPC files.

Values pass between Arrow and NumPy as buffers: pyarrow's own conversions import pandas wherever it is
installed, which takes longer than reading a small file.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assay.data.kinds import seconds
from assay.data.table import Column, ContractError, Table

_KIND = b"assay.kind"  # In a field's metadata: truth values and dates are stored as the floats they are.
_NAME = b"assay.name"  # In the file's metadata.
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
        kind: Any = (field.metadata or {}).get(_KIND, column.kind.encode()).decode()
        yield replace(column, kind=kind)


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
    array = _whole(values.cast(pa.float64(), safe=False))
    return _filled(array, np.float64, np.nan)


def _seconds(values: pa.ChunkedArray) -> np.ndarray:
    width = pa.int32() if values.type.bit_width == 32 else pa.int64()
    array = _whole(values.cast(width).cast(pa.int64()))
    return seconds(_filled(array, np.int64, 0), _PER_SECOND[values.type.unit], _nulls(array))


def _whole(values: pa.ChunkedArray) -> pa.Array:
    return (
        values.chunk(0)
        if values.num_chunks == 1
        else pa.concat_arrays(values.chunks or [values.combine_chunks()])
    )


def _filled(array: pa.Array, dtype: type, null: float) -> np.ndarray:
    """The values of a primitive array, not copied where none is null, and else with `null` there."""
    buffer = array.buffers()[1]
    if buffer is None:
        return np.empty(0, dtype) if not len(array) else np.full(len(array), null, dtype)
    values = np.frombuffer(buffer, dtype, len(array), array.offset * np.dtype(dtype).itemsize)
    return np.where(_nulls(array), dtype(null), values) if array.null_count else values


def _nulls(array: pa.Array) -> np.ndarray:
    return np.frombuffer(array.is_null().cast(pa.uint8()).buffers()[1], np.bool_, len(array))


def _category(name: str, values: pa.ChunkedArray) -> Column:
    chunks = values.unify_dictionaries().chunks
    if not chunks:
        return Column(name, "category", np.empty(0, np.int32))
    codes = pa.chunked_array([chunk.indices for chunk in chunks]).cast(pa.int32())
    labels = [None if label is None else str(label) for label in chunks[0].dictionary.to_pylist()]
    return Column.from_labels(name, _filled(_whole(codes), np.int32, -1), labels)


def write_ipc(table: Table, path: str | PathLike[str]) -> None:
    """Writes `table` as an Arrow IPC file; the file is whole or not there."""
    fields, arrays = [], []
    for column in table.columns:
        if column.kind == "category":
            arrays.append(_dictionary(column))
        else:
            buffer = pa.py_buffer(np.ascontiguousarray(column.values))
            arrays.append(pa.Array.from_buffers(pa.float64(), len(column.values), [None, buffer]))
        fields.append(pa.field(column.name, arrays[-1].type, metadata={_KIND: column.kind.encode()}))
    path = Path(path)
    scratch = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        batch = pa.record_batch(arrays, pa.schema(fields, metadata={_NAME: table.name.encode()}))
        with pa.ipc.new_file(scratch, batch.schema) as file:
            file.write_batch(batch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _dictionary(column: Column) -> pa.Array:
    labels = [category.encode() for category in column.categories]
    ends = np.cumsum([0, *map(len, labels)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(labels))]
    dictionary = pa.Array.from_buffers(pa.large_string(), len(labels), buffers)
    present = pa.py_buffer(np.packbits(~column.missing, bitorder="little"))
    codes = pa.py_buffer(np.ascontiguousarray(column.values))
    indices = pa.Array.from_buffers(pa.int32(), len(column.values), [present, codes])
    return pa.DictionaryArray.from_arrays(indices, dictionary)


def open_ipc(path: str | PathLike[str]) -> Table:
    """The table in an Arrow IPC file, mapped into memory where it is not compressed."""
    content = read_ipc(path)
    name = (content.schema.metadata or {}).get(_NAME)
    return Table(tuple(columns_of(content)), name.decode() if name else Path(path).name)


def read_ipc(path: str | PathLike[str]) -> pa.Table:
    """The content of an Arrow IPC file or stream, mapped into memory where it is not compressed."""
    with pa.memory_map(os.fspath(path)) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        return (pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)).read_all()
