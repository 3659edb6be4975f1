"""All-reduce beside gloo's own, 1 KB to 256 MB on 2 and 4 ranks; the ratios that have a target come last.

    python benchmarks/collectives.py            up to 64 MB, a few minutes
    python benchmarks/collectives.py --full     up to 256 MB
    python benchmarks/collectives.py --segments the pipelined ring by the size of its segments

Seconds are those of the slowest rank, median [least, largest] of several turns; the contestants take turns,
so that whatever else the machine does meets all of them, and ratios are of the same turn, with quartiles. Bus
bandwidth is as nccl-tests defines it. CPU seconds are of all ranks together, system calls included: where
ranks share cores they decide.
"""

import argparse
import random
import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from rich.table import Table

from assay.collectives.gloo import Gloo
from assay.collectives.halving_doubling import HalvingDoubling
from assay.collectives.measurement import alone, timed
from assay.collectives.metrics import bus_bandwidth
from assay.collectives.ranks import run_ranks
from assay.collectives.ring import Ring
from assay.collectives.ring_pipelined import RingPipelined
from assay.collectives.tree import Tree

RANKS = (2, 4)
SIZES = (2**10, 2**14, 2**18, 2**20, 2**22, 2**24, 2**26)
FULL = (*SIZES, 2**28)
TARGET, FROM = 1.1, 2**24
METHODS: dict[str, Any] = {
    "ring-pipelined": RingPipelined(),
    "ring": Ring(),
    "halving-doubling": HalvingDoubling(),
    "tree": Tree(),
    "gloo": Gloo(),
}
SEGMENTS: dict[str, Any] = {
    f"segments of {2**k // 2**10} KiB": RingPipelined(segment_bytes=2**k) for k in range(17, 24)
} | {"gloo": Gloo()}
Ratios = dict[int, tuple[list[float], float]]
console = Console(width=110)


def turns_for(size: int) -> int:
    """More for short arrays, whose times spread more."""
    return 60 if size <= 2**24 else 15


def on_rank(methods: Mapping[str, Any], size: int, turns: int) -> dict[str, list[list[float]]]:
    """[seconds, CPU seconds] of every method, turn by turn, after one turn that does not count."""
    source = torch.randn(size // 4, generator=torch.Generator().manual_seed(dist.get_rank()))
    tensor = torch.empty_like(source)
    found: dict[str, list[list[float]]] = {name: [] for name in methods}
    names, order = list(methods), random.Random(0)  # the same on all ranks
    for turn in range(turns + 1):
        order.shuffle(names)  # In a fixed order each would always find what the same one left in the cache.
        for name in names:
            tensor.copy_(source)
            cpu = time.process_time()
            seconds = timed(lambda m=methods[name]: m.sum(tensor))
            if turn:
                found[name].append([seconds, time.process_time() - cpu])
    return found


def measured(methods: Mapping[str, Any], ranks: int, size: int) -> dict[str, tuple[list[float], float]]:
    """Seconds of the slowest rank by turn, and the median CPU seconds of all ranks together."""
    with alone():
        told = run_ranks(ranks, on_rank, methods, size, turns_for(size), timeout=1200.0)
    found = {}
    for name in methods:
        by_turn = list(zip(*(rank[name] for rank in told), strict=True))
        slowest = [max(seconds for seconds, _ in turn) for turn in by_turn]
        found[name] = (slowest, statistics.median(sum(cpu for _, cpu in turn) for turn in by_turn))
    return found


def compare(methods: Mapping[str, Any], ranks: int, sizes: tuple[int, ...]) -> Ratios:
    """Prints a table; the first method's ratios to gloo by size: quartiles of time, CPU time."""
    ratios: Ratios = {}
    first = next(iter(methods))
    sheet = Table(title=f"{ranks} ranks", title_justify="left")
    for heading in ("bytes", "method", "ms", "busbw GB/s", "CPU ms", "time / gloo", "CPU / gloo"):
        sheet.add_column(heading, justify="left" if heading == "method" else "right")
    for size in sizes:
        found = measured(methods, ranks, size)
        medians = {name: statistics.median(seconds) for name, (seconds, _) in found.items()}
        # Paired by turn: neighbours in time meet the same machine.
        paired = {
            name: statistics.quantiles([a / b for a, b in zip(seconds, found["gloo"][0], strict=True)], n=4)
            for name, (seconds, _) in found.items()
        }
        for name, (seconds, cpu) in found.items():
            spread = f"{1e3 * medians[name]:.2f} [{1e3 * min(seconds):.2f}, {1e3 * max(seconds):.2f}]"
            busbw = bus_bandwidth("all_reduce", size, medians[name], ranks) / 1e9
            sheet.add_row(
                f"{size:,}" if name == next(iter(found)) else "",
                name,
                spread,
                f"{busbw:.3f}",
                f"{1e3 * cpu:.2f}",
                "{1:.2f} [{0:.2f}, {2:.2f}]".format(*paired[name]),
                f"{cpu / found['gloo'][1]:.2f}",
            )
        sheet.add_section()
        ratios[size] = (paired[first], found[first][1] / found["gloo"][1])
    console.print(sheet)
    return ratios


def main() -> None:
    """The comparison, and the verdict on the target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="up to 256 MB")
    parser.add_argument("--segments", action="store_true", help="the pipelined ring by its segments")
    asked = parser.parse_args()
    if asked.segments:
        for ranks in RANKS:
            compare(SEGMENTS, ranks, (2**22, 2**24, 2**26))
        return
    ratios = {ranks: compare(METHODS, ranks, FULL if asked.full else SIZES) for ranks in RANKS}
    console.print(f"target: ring-pipelined at most {TARGET} of gloo's time from {FROM:,} bytes up")
    for ranks, by_size in ratios.items():
        for size, ((low, middle, high), cpu) in by_size.items():
            if size >= FROM:
                met = "met" if middle <= TARGET else "missed"
                console.print(
                    f"{ranks} ranks, {size:>11,} bytes: {middle:.2f} [{low:.2f}, {high:.2f}]  {met}; "
                    f"CPU {cpu:.2f}"
                )


if __name__ == "__main__":
    main()
