"""JSON Lines: one object a line, whose keys name the columns.

A key that an object lacks, null and NaN are missing values. Text stays text, except that a column whose
texts are all ISO 8601 dates is a date, for which JSON has no type of its own.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.json import read_json

from assay.data.arrow import columns_of
from assay.data.frames import table_of_records
from assay.data.kinds import RowError, cast, infer
from assay.data.table import Column, ContractError
from assay.data.textfile import check_encoding, check_text, open_text

_TYPES = {list: "an array", str: "a text", int: "a number", float: "a number", bool: "a truth value"}


def read_jsonl(path: Path) -> tuple[Column, ...]:
    """The columns of a JSON Lines file, gzip if it ends in .gz.

    Raises:
        ContractError: the file is empty or no UTF-8 text, a line is no JSON object, a column holds several
            kinds of values, or arrays or objects.
    """
    check_text(path)
    try:
        content = read_json(path)
        columns = tuple(columns_of(content))
    except UnicodeDecodeError:
        check_encoding(path)
        raise
    except (pa.ArrowInvalid, ContractError):
        # Slower, but it names the line, takes an object of any length, and 1 beside true as numbers.
        columns = _read_by_line(path)
    if not columns:
        raise ContractError("expected objects with keys, got none")
    return tuple(_with_dates(column) for column in columns)


def line_of(path: Path, row: int) -> int:
    """The line of the object at position `row`, as an editor counts."""
    return next(line for index, (line, _) in enumerate(_lines(path)) if index == row)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with open_text(path) as file:
        yield from ((line, text) for line, text in enumerate(file, start=1) if text.strip())


def _read_by_line(path: Path) -> tuple[Column, ...]:
    check_encoding(path)
    records = []
    for line, text in _lines(path):
        try:
            record = json.loads(text, object_pairs_hook=_distinct)
        except json.JSONDecodeError as error:
            raise ContractError(
                f"line {line}: expected a JSON object, got {_excerpt(text)} ({error.msg})"
            ) from None
        except ContractError as error:
            raise ContractError(f"line {line}: {error}") from None
        if not isinstance(record, dict):
            got = _TYPES.get(type(record), "null")
            raise ContractError(f"line {line}: expected a JSON object, got {got}, {_excerpt(text)}")
        records.append(record)
    try:
        return table_of_records(records).columns
    except RowError as error:
        raise ContractError(f"line {line_of(path, error.row)}, {error.what}") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ContractError(f"expected distinct keys, got {twice!r} twice")
    return record


def _excerpt(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _with_dates(column: Column) -> Column:
    if column.kind == "category" and infer(column.categories) == "date":
        return cast(column, "date")
    return column
