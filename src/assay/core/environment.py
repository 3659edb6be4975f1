"""What a result depends on beside code and data: machine, interpreter, library versions."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from typing import Any

from assay import __version__

_ALWAYS = ("numpy", "scipy", "pyarrow")


def environment(libraries: Iterable[str] = ()) -> dict[str, Any]:
    """Versions of assay, Python and the named distributions that are installed; processor, cores, memory."""
    versions = {}
    for name in sorted({*_ALWAYS, *libraries}):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "assay": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores(),
        "memory": physical_memory(),
        "libraries": versions,
    }


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_memory() -> int:
    """Bytes of memory of this machine, or of the control group this process is confined to."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max") as file:
            return min(total, int(file.read()))
    except (OSError, ValueError):  # No control group, or "max".
        return total


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
