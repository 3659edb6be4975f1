"""Tables from files: CSV and TSV, JSON Lines, Parquet, Arrow and Feather.

| files | format |
|---|---|
| .csv .tsv .tab, also with .gz | `assay.data.delimited` |
| .jsonl .ndjson, also with .gz | `assay.data.jsonl` |
| .parquet .pq, also followed by a compression (.parquet.brotli) | Parquet with any compression |
| .arrow .feather .ipc .arrows | Arrow IPC file (mapped into memory) or stream, Feather |

Parquet and Arrow files bring their types, and only null and NaN are missing in them.
"""

import difflib
import os
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path

import pyarrow as pa

from assay.data.arrow import columns_of, read_ipc
from assay.data.kinds import RowError, cast
from assay.data.table import Column, ContractError, Kind, Table

_TEXT = {".csv": "CSV", ".tsv": "CSV", ".tab": "CSV", ".jsonl": "JSON Lines", ".ndjson": "JSON Lines"}
_BINARY = {".parquet": "Parquet", ".pq": "Parquet"} | dict.fromkeys(
    (".arrow", ".feather", ".ipc", ".arrows"), "Arrow"
)


def read(path: str | PathLike[str], *, kinds: Mapping[str, Kind] | None = None) -> Table:
    """The table in a file, with the format that its name says.

    Args:
        path: the file.
        kinds: the kinds of some columns; names that the file lacks are passed over. In a text file a
            category keeps its text as written, such as a postal code with its leading zeros.

    Raises:
        ContractError: there is no such file, its format is unknown, it is damaged, or its content is
            no table; the message names the file and, where one is to blame, line and column.
    """
    path, kinds = Path(path), kinds or {}
    try:
        format_ = _format(path)
        columns = _columns(path, format_, kinds)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from None
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ContractError(f"{path}: cannot be read: {os.strerror(error.errno)}") from None
        reason = str(error).splitlines()[0].rstrip(".")
        raise ContractError(
            f"{path}: expected a whole {format_} file, got a damaged one ({reason})"
        ) from None
    table = Table(columns, name=str(path))
    if not table.num_rows:
        raise ContractError(f"{path}: expected rows, got none")
    return replace(table, name=path.name)


def _format(path: Path) -> str:
    if not path.exists():
        bare = not path.suffix and len(path.parts) == 1  # It may have been meant as the name of a data set.
        raise ContractError(f"no such file{' or data set' if bare else ''}{_near(path, bare)}")
    if path.is_dir():
        raise ContractError("expected a file, got a folder")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    for suffix in reversed([suffix for suffix in suffixes if suffix != ".gz"]):
        if suffix in _TEXT:
            return _TEXT[suffix]
        if suffix in _BINARY:
            return _BINARY[suffix]
    known = " ".join([*_TEXT, *_BINARY])
    raise ContractError(
        f"expected a file named {known} (text also with .gz), got {path.suffix or 'no ending'}"
    )


def _near(path: Path, bare: bool) -> str:
    if not path.parent.is_dir():
        return f", nor a folder {str(path.parent)!r}"
    known = os.listdir(path.parent)
    if bare:
        from assay.data.datasets import DATASETS  # Only this message needs it.

        known += DATASETS
    near = difflib.get_close_matches(path.name, known, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _columns(path: Path, format_: str, kinds: Mapping[str, Kind]) -> tuple[Column, ...]:
    if path.stat().st_size == 0:
        raise ContractError("expected rows, got an empty file")
    columns, line_of = _read_format(
        path, format_, {name for name, kind in kinds.items() if kind == "category"}
    )
    try:
        return tuple(cast(column, kinds.get(column.name, column.kind)) for column in columns)
    except RowError as error:
        if line_of is None:
            raise
        raise ContractError(f"line {line_of(path, error.row)}, {error.what}") from None


def _read_format(
    path: Path, format_: str, as_text: Collection[str]
) -> tuple[tuple[Column, ...], Callable[[Path, int], int] | None]:
    """The columns, and for a text file how to find the line of a row."""
    if format_ == "CSV":
        from assay.data import delimited

        return delimited.read_delimited(path, as_text), delimited.line_of
    if format_ == "JSON Lines":
        from assay.data import jsonl

        return jsonl.read_jsonl(path), jsonl.line_of
    return tuple(columns_of(_read_parquet(path) if format_ == "Parquet" else read_ipc(path))), None


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet

    # Not read_table, which makes a column of a folder named "year=2013".
    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read()
