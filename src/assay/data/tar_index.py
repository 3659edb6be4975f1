"""Where the files of a tar archive begin: read from the headers, which are checked one by one.

Python's `tarfile` takes a damaged header for the end of the archive, and loses what follows without a word.
The format: a header of 512 bytes, then the content, filled up to a multiple of 512; at the end a block of
zeros. Reference: POSIX.1-2001, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

Kind = Literal["file", "folder", "other"]

_BLOCK = 512
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_KINDS: dict[bytes, Kind] = {b"\0": "file", b"0": "file", b"7": "file", b"5": "folder"}
_MAX_HEADER = 1 << 20  # bytes of a long name or of pax records; more is damage or malice


class TarDamage(ValueError):
    """An archive that cannot be read on; the message says where."""


@dataclass(frozen=True)
class Entry:
    """A member of an archive.

    Args:
        name: its path.
        offset: where its content begins, in bytes.
        size: the length of its content in bytes.
        kind: "file", "folder", or "other" for links and devices.
    """

    name: str
    offset: int
    size: int
    kind: Kind


def entries(file: IO[bytes]) -> Iterator[Entry]:
    """The members of an uncompressed tar archive in their order; contents are passed over, not read.

    Raises:
        TarDamage: a header is damaged, or the archive ends in the middle of a file.
    """
    length = file.seek(0, 2)
    position, name, size = 0, None, None  # What a header before says of the next one.
    while True:
        if position + _BLOCK > length:
            raise TarDamage(f"expected a tar header or a block of zeros at byte {position:,}, got the end")
        file.seek(position)
        header = file.read(_BLOCK)
        if not header.strip(b"\0"):
            return
        own_name, own_size, kind = _parse(header, position)
        begin = position + _BLOCK
        own_size = own_size if size is None else size
        if begin + own_size > length:
            missing = begin + own_size - length
            raise TarDamage(f"expected {own_size:,} bytes of {name or own_name!r}, got {missing:,} fewer")
        position = begin + -(-own_size // _BLOCK) * _BLOCK
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            if own_size > _MAX_HEADER:
                raise TarDamage(f"expected a header of at most {_MAX_HEADER:,} bytes, got {own_size:,}")
            content = file.read(own_size)
            if kind == _LONG_NAME:
                name = content.rstrip(b"\0").decode("utf-8", "replace")
            elif kind == _PAX:
                records = _pax(content, begin)
                name, size = records.get("path", name), int(records["size"]) if "size" in records else size
            continue
        yield Entry(name or own_name, begin, own_size, _KINDS.get(kind, "other"))
        name = size = None


def _parse(header: bytes, position: int) -> tuple[str, int, bytes]:
    """Name, size and kind in a header."""
    try:
        checksum = _number(header[148:156])
        size = _number(header[124:136])
    except ValueError:
        raise TarDamage(f"expected a tar header at byte {position:,}, got something else") from None
    # The sum of all bytes, with spaces in place of the sum itself.
    if checksum != sum(header) - sum(header[148:156]) + 8 * 32 or size < 0:
        raise TarDamage(f"expected a tar header at byte {position:,}, got a damaged one")
    name = _text(header[:100])
    if header[257:262] == b"ustar" and header[257:265] != b"ustar  \0" and (prefix := _text(header[345:500])):
        name = f"{prefix}/{name}"
    return name, size, header[156:157]


def _number(field: bytes) -> int:
    """An octal number as text, or, from GNU tar for large ones, bytes after a set high bit."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return int(field.strip(b" \0") or b"0", 8)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _pax(content: bytes, position: int) -> dict[str, str]:
    """The records "LENGTH KEY=VALUE\\n"."""
    records: dict[str, str] = {}
    while content:
        try:
            length = int(content[: content.index(b" ")])
            key, value = content[content.index(b" ") + 1 : length].decode("utf-8", "replace").split("=", 1)
        except ValueError:
            raise TarDamage(f"expected pax records at byte {position:,}, got something else") from None
        if length <= 0:
            raise TarDamage(f"expected pax records at byte {position:,}, got something else")
        records[key] = value.rstrip("\n")
        content = content[length:]
    return records
