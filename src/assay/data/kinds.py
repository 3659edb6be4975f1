"""What a value of one kind means in another: which texts spell a number, a truth value or a date.

A text spells a number as in "12", "-1.5", "+2e-3", ".5" or "inf" (no thousands separators, no decimal comma);
a truth value as "true" or "false" in any case; a date in ISO 8601 as "2013-01-31" or "2013-01-31 05:00",
with "T" or a space between, optional seconds and fraction, and an optional zone ("Z", "+01:00"); without
a zone it is UTC. Spaces around are ignored. Everything else, such as "yes", "1,000" or "31.1.2013", is text.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import numpy as np

from assay.data.table import Column, ContractError, Kind

_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?)", re.ASCII | re.IGNORECASE)
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
WORDS: dict[str | None, str] = {
    "numeric": "a number",
    "boolean": "true or false",
    "date": "an ISO 8601 date",
    "category": "text",
}


class RowError(ContractError):
    """A mistake in one row; a reader of text files turns the row into a line.

    Args:
        row: the position of the row, from 0.
        what: the column, what was expected and what came.
    """

    def __init__(self, row: int, what: str) -> None:
        self.row, self.what = row, what
        super().__init__(f"row {row + 1}, {what}")


def number(text: str) -> float | None:
    """The number that `text` spells, or None."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def truth(text: str) -> float | None:
    """1.0 for "true", 0.0 for "false" in any case, or None."""
    return {"true": 1.0, "false": 0.0}.get(text.strip().lower())


def date(text: str) -> float | None:
    """The seconds since 1970-01-01 UTC of the ISO 8601 date in `text`, or None."""
    text = text.strip()
    if not _DATE.fullmatch(text):
        return None
    try:
        return moment(datetime.fromisoformat(text))
    except ValueError:  # The thirteenth month.
        return None


def moment(time: datetime) -> float:
    """The seconds since 1970-01-01 UTC of `time`; without a zone it is UTC."""
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    elapsed = time - datetime(1970, 1, 1, tzinfo=UTC)
    # Rounded as in `seconds`, so that a date is the same number from every kind of file.
    return elapsed.days * 86400 + elapsed.seconds + elapsed.microseconds / 1e6


def seconds(ticks: np.ndarray, per_second: int, missing: np.ndarray) -> np.ndarray:
    """int64 ticks as float64 seconds, NaN where `missing`."""
    whole, rest = np.divmod(ticks, per_second)
    values = whole + rest / per_second
    values[missing] = np.nan
    return values


_SPELLINGS: dict[Kind, Callable[[str], float | None]] = {"numeric": number, "boolean": truth, "date": date}


def infer(texts: Iterable[str]) -> Kind:
    """The kind that all `texts` spell, which is "category" if they do not agree or there are none."""
    texts = list(texts)
    for kind, spelling in _SPELLINGS.items():
        if texts and all(spelling(text) is not None for text in texts):
            return kind
    return "category"


def cast(column: Column, kind: Kind) -> Column:
    """The column under another kind, where no value changes its meaning.

    Truth values are the numbers 0 and 1 and the other way round; text becomes what it spells; everything
    has a text: 3 is "3", 0.5 is "0.5", truth values are "True" and "False", dates are ISO 8601.

    Raises:
        RowError: a value has no such meaning.
    """
    if column.kind == kind:
        return column
    if column.missing.all():
        return _all_missing(column, kind)
    if kind == "category":
        return _as_text(column)
    if column.kind == "category":
        return _from_text(column, kind)
    wrong = ~column.missing
    if {column.kind, kind} == {"numeric", "boolean"}:
        wrong &= (column.values != 0) & (column.values != 1) if kind == "boolean" else False
    if wrong.any():
        row = int(np.argmax(wrong))
        got = f"{WORDS[column.kind]}, {text(column.values[row], column.kind)}"
        raise RowError(row, f"column {column.name!r}: expected {WORDS[kind]}, got {got}")
    return Column(column.name, kind, column.values)


def _all_missing(column: Column, kind: Kind) -> Column:
    dtype, absent = (np.int32, -1) if kind == "category" else (np.float64, np.nan)
    return Column(column.name, kind, np.full(len(column.values), absent, dtype))


def _from_text(column: Column, kind: Kind) -> Column:
    used = np.zeros(len(column.categories) + 1, bool)
    used[column.values] = True  # A missing value's -1 marks the additional last place.
    spelled = [
        _SPELLINGS[kind](label) if on else None for label, on in zip(column.categories, used, strict=False)
    ]
    values = np.array([np.nan if value is None else value for value in spelled] + [np.nan])[column.values]
    wrong = np.isnan(values) & ~column.missing
    if wrong.any():
        row = int(np.argmax(wrong))
        got = repr(column.categories[column.values[row]])
        raise RowError(row, f"column {column.name!r}: expected {WORDS[kind]}, got {got}")
    return Column(column.name, kind, values)


def _as_text(column: Column) -> Column:
    distinct, codes = np.unique(column.values, return_inverse=True)
    labels = [None if np.isnan(value) else text(value, column.kind) for value in distinct]
    return Column.from_labels(column.name, codes, labels)


def text(value: float, kind: Kind) -> str:
    """The text of a present value of a kind other than "category"."""
    if kind == "boolean":
        return str(bool(value))
    if kind == "date":
        time = datetime.fromtimestamp(value, UTC).replace(tzinfo=None)
        return time.date().isoformat() if value % 86400 == 0 else time.isoformat()
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(value))
