"""The compiled kernel of the tabular wing: a plain C library behind ctypes, built at installation.

It needs no Python headers, so one build serves every version of Python, and ctypes releases the interpreter's
lock while it runs. Every function has a NumPy twin that computes the same, bit for bit, and that runs in its
place where there is no compiled library.

Only the standard library is imported here: the build hook loads this file where nothing else is installed.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "_kernel.so"
# No contraction to fused multiply-add, whose single rounding the twin does not have.
FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", "-fPIC", "-shared", "-pthread")
BASELINE = ("-msse4.2", "-mpopcnt")  # the oldest x86-64 served; wider vectors are chosen at run time


@functools.cache
def library() -> ctypes.CDLL | None:
    """The loaded library; None where none was built, or where ASSAY_NO_KERNEL=1 asks for the NumPy twins.

    Raises:
        ImportError: it was built from other sources than stand beside it, whose functions take other things.
    """
    if os.environ.get("ASSAY_NO_KERNEL") == "1" or not LIBRARY.exists():
        return None
    loaded, wanted = ctypes.CDLL(str(LIBRARY)), fingerprint(FOLDER)
    try:
        built_from = (ctypes.c_char * (len(wanted) + 1)).in_dll(loaded, "assay_sources").value.decode("ascii")
    except ValueError:
        built_from = "nobody said what"
    if built_from != wanted:
        raise ImportError(f"{LIBRARY} was built from other sources; build it again with `pip install -e .`")
    return loaded


def fingerprint(folder: Path) -> str:
    """A digest of the C sources of ``folder``."""
    digest = hashlib.sha256()
    for path in sorted((*folder.glob("*.c"), *folder.glob("*.h"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def address(array: Any) -> int:
    """Where the elements of a NumPy array are in memory.

    NumPy's own way takes ten times as long, and a tree has fifty arrays; it serves those that are read-only,
    empty or not contiguous.
    """
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):
        return array.__array_interface__["data"][0]


def compile_kernel(output: Path = LIBRARY, folder: Path = FOLDER) -> None:
    """Compile every C source of ``folder`` into one shared library, with the compiler that CC names, or cc.

    Raises:
        OSError: there is no such compiler.
        subprocess.CalledProcessError: it failed; ``stderr`` says why.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    baseline = BASELINE if os.uname().machine in ("x86_64", "amd64") else ()
    sources = sorted(map(str, folder.glob("*.c")))
    known_as = f'-DASSAY_SOURCES="{fingerprint(folder)}"'
    # Written beside and renamed, since a process may have the old library loaded.
    partial = output.with_name(f"{output.name}.{os.getpid()}")
    try:
        command = [*compiler, *FLAGS, *baseline, known_as, "-o", str(partial), *sources, "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
