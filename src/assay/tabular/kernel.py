"""The compiled kernel of the tabular wing: a plain C library behind ctypes, built at installation.

It needs no Python headers, so one build serves every version of Python, and ctypes releases the interpreter's
lock while it runs. Every function has a NumPy twin that computes the same, bit for bit, and that runs in its
place where there is no compiled library.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "_kernel.so"
# No contraction to fused multiply-add: the twin rounds twice as well.
FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", "-fPIC", "-shared", "-pthread")


@functools.cache
def library() -> ctypes.CDLL | None:
    """The loaded library; None where none was built, or where ASSAY_NO_KERNEL=1 asks for the NumPy twins."""
    if os.environ.get("ASSAY_NO_KERNEL") == "1" or not LIBRARY.exists():
        return None
    return ctypes.CDLL(str(LIBRARY))


def compile_kernel(folder: Path, output: Path, *, compiler: Sequence[str] = ("cc",)) -> None:
    """Compile every C source of ``folder`` into the shared library ``output``.

    Raises:
        OSError: there is no compiler.
        subprocess.CalledProcessError: it failed; ``stderr`` says why.
    """
    sources = sorted(map(str, folder.glob("*.c")))
    # Built beside and renamed: a process that has the old library loaded keeps it.
    partial = output.with_name(f"{output.name}.{os.getpid()}")
    try:
        command = [*compiler, *FLAGS, *_baseline(), "-o", str(partial), *sources, "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def _baseline() -> tuple[str, ...]:
    """The oldest processors served; wider vectors are chosen at run time."""
    return ("-march=x86-64-v2",) if os.uname().machine in ("x86_64", "amd64") else ()
