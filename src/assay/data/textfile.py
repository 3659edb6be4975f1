"""Text files: opened as UTF-8, plain or gzip, and told apart from what is not UTF-8 text."""

import gzip
import io
import re
from pathlib import Path
from typing import IO, cast

from assay.data.table import ContractError

_SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive (an Excel workbook? save the sheet as CSV)",
    b"\xd0\xcf\x11\xe0": "an Excel workbook (save the sheet as CSV)",
    b"PAR1": "a Parquet file (name it .parquet)",
    b"ARROW1": "an Arrow file (name it .arrow)",
    b"\x1f\x8b": "gzip data (name it .gz)",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_CONVERT = "save the file as UTF-8, for example with `iconv -f {} -t utf-8`"


def open_bytes(path: Path) -> IO[bytes]:
    """The content of `path`, decompressed if its name ends in .gz."""
    return cast(IO[bytes], gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def open_text(path: Path) -> IO[str]:
    """The text of `path` as UTF-8 without a byte order mark and with line ends as they are."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="")


def check_text(path: Path) -> None:
    """Looks at the first bytes.

    Raises:
        ContractError: the file is empty, or something else than text in UTF-8.
    """
    with open_bytes(path) as file:
        head = file.read(4096)
    if not head:
        raise ContractError("expected rows, got an empty file")
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            advice = f": {_CONVERT.format('utf-16')}" if what == "UTF-16" else ""
            raise ContractError(f"expected UTF-8 text, got {what}{advice}")
    if b"\0" in head:
        # Every other byte of Latin letters in UTF-16 is zero.
        if head.count(b"\0") > len(head) // 4:
            raise ContractError(f"expected UTF-8 text, got what may be UTF-16: {_CONVERT.format('utf-16le')}")
        raise ContractError(f"expected UTF-8 text, got a zero byte (byte {head.index(0) + 1} of the file)")


def check_encoding(path: Path) -> None:
    """Reads the whole file.

    Raises:
        ContractError: it is not UTF-8; the message names the first wrong byte and the likely encoding.
    """
    with open_bytes(path) as file:
        content = file.read()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        guess = _guess(content)
        raise ContractError(
            f"line {line}: expected UTF-8 text, got the byte 0x{content[error.start]:02x} (byte "
            f"{error.start + 1} of the file); it may be {guess}: {_CONVERT.format(guess)}"
        ) from None


def _guess(content: bytes) -> str:
    """The likely encoding of text that is not UTF-8.

    In the two-byte encodings of Chinese nearly all bytes beyond ASCII come in pairs, and words are of
    several pairs; in a Western text they are one or two letters between ASCII ones.
    """
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", content)]
    paired = sum(run % 2 == 0 for run in runs) > 0.9 * len(runs)
    if paired and sum(runs) > 2.5 * len(runs) and _decodes(content, "gb18030"):
        return "gb18030"
    return "cp1252" if _decodes(content, "cp1252") else "latin-1"


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
