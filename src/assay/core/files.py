"""Files that are either whole or not there: written under a temporary name, renamed when complete."""

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder that becomes `target` when the block ends well, and vanishes otherwise.

    A folder that is already at `target` is replaced. If another process puts one there first, while
    both were writing the same content, that one stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield scratch
        publish(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Renames `folder` to `target`, replacing what is there.

    Raises:
        OSError: it cannot be renamed, or others kept putting a folder there in between.
    """
    for _ in range(100):
        old = target.with_name(f".{target.name}-{secrets.token_hex(8)}")
        with contextlib.suppress(FileNotFoundError):
            os.replace(target, old)
        try:
            os.replace(folder, target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)
    raise OSError(f"could not publish {target}: other processes keep writing it")


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` atomically.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    scratch = None
    try:
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(scratch, 0o666 & ~_umask())
        os.replace(scratch, path)
    except OSError as error:  # It would name the scratch file, or none.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if scratch is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(scratch)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` atomically, in UTF-8; raises as `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as JSON (NaN and infinity are refused) to `path` atomically."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
