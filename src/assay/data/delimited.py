"""CSV and TSV files.

The first line names the columns. The separator of a .tsv or .tab file is a tab; of a .csv file it is the one
of comma, semicolon, tab and bar that parts the first line into the most names. Types are decided from all
rows of a column, after missing values are set aside: numbers, truth values and dates as `assay.data.kinds`
spells them, otherwise text. A column of times of day is text. These are missing values, with or without
quotes and spaces: an empty field, ?, NA, N/A, n/a, #N/A, NaN, nan, NaT, <NA>, null, NULL and None.
Empty lines are skipped.
"""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

from assay.data.arrow import column_of
from assay.data.kinds import cast, infer
from assay.data.table import Column, ContractError
from assay.data.textfile import check_encoding, check_text, open_text

MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NaT", "<NA>", "null", "NULL", "None")
_ABSENT = frozenset(MISSING)
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_BLOCK = 1 << 20  # bytes read at once, and so the longest row; larger blocks are slower


def read_delimited(path: Path, as_text: Collection[str]) -> tuple[Column, ...]:
    """The columns of a CSV or TSV file.

    Args:
        path: the file; gzip if it ends in .gz.
        as_text: the columns whose type is not inferred: all their values are text.

    Raises:
        ContractError: the file is empty, has no rows or names, a row has too many or too few values,
            or it is no UTF-8 text.
    """
    check_text(path)
    try:
        separator = _separator(path)
        names = _names(path, separator)
        content = _read(path, separator, [name for name in names if name in as_text])
        times = [field.name for field in content.schema if pa.types.is_time(field.type)]
        if times:
            content = _read(path, separator, [*as_text, *times])
        if any(pa.types.is_binary(field.type) for field in content.schema):
            check_encoding(path)
    except UnicodeDecodeError:
        check_encoding(path)
        raise
    except pa.ArrowInvalid as error:
        check_encoding(path)
        _check_rows(path, separator, len(names))
        longer = f"expected rows of at most {_BLOCK:,} bytes, got a longer one"
        raise ContractError(longer if "straddling" in str(error) else str(error).splitlines()[0]) from None
    if not content.num_rows:
        raise ContractError("expected rows after the header, got none")
    columns = (column_of(name, values) for name, values in zip(names, content.columns, strict=True))
    return tuple(_inferred(column, column.name in as_text) for column in columns)


def line_of(path: Path, row: int) -> int:
    """The line on which the row at position `row` begins, as an editor counts."""
    records = _records(path, _separator(path))
    next(records)
    return next(line for index, (line, _) in enumerate(records) if index == row)


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not empty, each with the line on which it begins."""
    with open_text(path) as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        line = 1
        try:
            for record in reader:
                if record:
                    yield line, record
                line = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise ContractError(f"line {line}: expected an end to the quoted text, got none") from None
            raise ContractError(f"line {line}: {error}") from None


def _separator(path: Path) -> str:
    if {".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes}:
        return "\t"
    return max(_SEPARATORS, key=lambda separator: _header_width(path, separator))


def _header_width(path: Path, separator: str) -> int:
    try:
        return len(next(_records(path, separator), (1, []))[1])
    except ContractError:  # Quotes that make no sense with this separator.
        return 0


def _names(path: Path, separator: str) -> list[str]:
    line, names = next(_records(path, separator), (1, []))
    if not names:
        raise ContractError("expected a header and rows, got an empty file")
    for position, name in enumerate(names):
        if not name.strip():
            raise ContractError(
                f"line {line}: expected a name for column {position + 1} of {len(names)}, got none "
                "(is it a row index, or is there a separator too many at the end?)"
            )
        if name in names[:position]:
            raise ContractError(
                f"line {line}: expected distinct column names, got {name!r} as columns "
                f"{names.index(name) + 1} and {position + 1}"
            )
    return names


def _read(path: Path, separator: str, as_text: Collection[str]) -> pa.Table:
    return read_csv(
        path,
        read_options=ReadOptions(block_size=_BLOCK),
        parse_options=ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=ConvertOptions(
            column_types=dict.fromkeys(as_text, pa.string()),
            null_values=MISSING,
            strings_can_be_null=True,
            true_values=["true", "True", "TRUE"],  # Not Arrow's default, where 0 and 1 are truth values too.
            false_values=["false", "False", "FALSE"],
        ),
    )


def _check_rows(path: Path, separator: str, width: int) -> None:
    for line, record in _records(path, separator):
        if len(record) != width:
            raise ContractError(
                f"line {line}: expected {width} values as in the header (separated by "
                f"{_SEPARATORS[separator]}), got {len(record)}"
            )


def _inferred(column: Column, stays_text: bool) -> Column:
    """The column with the kind that its texts spell; Arrow has found the numbers, and most dates, before."""
    if column.kind != "category":
        return column
    absent = [category.strip() in _ABSENT for category in column.categories]
    if any(absent):
        labels = [None if gone else text for text, gone in zip(column.categories, absent, strict=True)]
        column = Column.from_labels(column.name, column.values, labels)
    if stays_text:
        return column
    return cast(column, infer(column.categories) if column.categories else "numeric")
