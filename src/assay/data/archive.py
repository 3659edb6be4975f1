"""Members of zip, tar and Debian archives, read into memory; nothing is extracted to disk."""

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60


def read_member(archive: Path, *members: str) -> bytes:
    """The content of a file in `archive`.

    Args:
        archive: a zip file or wheel, a tar file with any compression, or a Debian package.
        members: the path inside, and when that is an archive too, the path inside that one, and so on.

    Raises:
        FileNotFoundError: there is no such member.
        ValueError: one of them is no archive.
    """
    content, where = archive.read_bytes(), archive.name
    for member in members:
        content = _read(content, member, where)
        where = f"{where}/{member}"
    return content


def read_members(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The content of all files in a tar archive whose path is `wanted`, read in one pass.

    Raises:
        ValueError: it is no tar archive.
    """
    try:
        with tarfile.open(archive) as tarred:
            found = ((entry.name, tarred.extractfile(entry)) for entry in tarred if wanted(entry.name))
            return {name: content.read() for name, content in found if content is not None}
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{archive.name}: expected a tar archive ({error})") from None


def _read(archive: bytes, member: str, where: str) -> bytes:
    try:
        file = io.BytesIO(_debian_data(archive) if archive.startswith(_AR_MAGIC) else archive)
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as zipped:
                return zipped.read(member)
        file.seek(0)
        with tarfile.open(fileobj=file) as tarred:
            names = [name for name in (member, f"./{member}") if name in tarred.getnames()]
            content = tarred.extractfile(names[0]) if names else None
            if content is None:
                raise KeyError(member)
            return content.read()
    except KeyError:
        raise FileNotFoundError(f"{where} holds no file {member!r}") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{where}: expected a zip, tar or Debian archive ({error})") from None


def _debian_data(archive: bytes) -> bytes:
    """The data.tar of a Debian package, which is an ar archive: 60 bytes of header before every member."""
    offset = len(_AR_MAGIC)
    while offset + _AR_HEADER <= len(archive):
        header = archive[offset : offset + _AR_HEADER]
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        offset += _AR_HEADER
        if name.startswith("data.tar"):
            return archive[offset : offset + size]
        offset += size + size % 2  # Members begin at even offsets.
    raise tarfile.ReadError("a Debian package without data.tar")
