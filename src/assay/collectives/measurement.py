"""Measuring an all-reduce: real ranks, repeated calls, the bytes that left, and whether the sum is right."""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from assay.collectives.cost_model import Network, fit_line
from assay.collectives.link import link_of
from assay.collectives.metrics import numeric_error
from assay.collectives.outcome import Outcome
from assay.collectives.overlap import Overlap, Workload, measure_overlap, overlap_of
from assay.collectives.problem import Problem
from assay.collectives.ranks import run_ranks
from assay.core.files import write_json
from assay.core.run import Run, Scale

_SECONDS: dict[Scale, float] = {"smoke": 0.05, "default": 1.0, "full": 5.0}
_FEWEST, _MOST = 3, 200  # repetitions
_SWEEP_FROM = 2**10
_SWEEP_FACTOR = 8
_SMALL = Workload(layers=3, width=64, batch=32, bucket_bytes=2**14, steps=1)
_PROBES = (2**3, 2**10, 2**13, 2**16, 2**18, 2**20, 2**22)  # bytes of the messages that fit alpha and beta


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured of one method.

    Args:
        problem: what was summed.
        outcome: of the array asked for.
        sweep: (bytes, seconds) for sizes up to that, medians.
        network: alpha, beta and their crowding on this machine, as measured beside the method.
        overlap: of a training step whose gradients the method sums; None for one that cannot be begun.
    """

    problem: Problem
    outcome: Outcome
    sweep: tuple[tuple[int, float], ...] = ()
    network: Network | None = None
    overlap: Overlap | None = None

    def save(self, folder: Path) -> None:
        """Writes measurement.json."""
        write_json(folder / "measurement.json", dataclasses.asdict(self))

    @classmethod
    def load(cls, folder: Path) -> "Measurement":
        """The measurement that `save` wrote.

        Raises:
            ValueError: there is none.
        """
        path = folder / "measurement.json"
        try:
            found = json.loads(path.read_text("utf-8"))
            return cls(
                Problem(**found["problem"]),
                Outcome(**found["outcome"]),
                tuple((size, seconds) for size, seconds in found["sweep"]),
                found["network"] and Network(**found["network"]),
                found["overlap"] and overlap_of([found["overlap"]]),
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected a measurement, got {error!r}") from None


def measure(method: Any, problem: Problem, run: Run) -> Measurement:
    """The measurement of a method on ranks of this machine, while no other is made.

    Args:
        method: has `sum(tensor)`, which sums in place over all ranks of the default process group.
        problem: what is summed.
        run: its seed draws the values; its budget, in seconds or steps (repetitions), or else its scale says
            how often.

    Raises:
        ValueError: the budget is in another unit.
        RuntimeError: a rank failed.
    """
    if run.budget is not None and run.budget.unit not in ("seconds", "steps"):
        raise ValueError(f"a budget of collectives is in seconds or steps (repetitions), got {run.budget}")
    with alone():
        told = run_ranks(problem.ranks, _on_rank, method, problem, run)
    first = told[0]
    outcome = Outcome(
        digest=first["digest"],
        error=max(rank["error"] for rank in told),
        identical=len({rank["digest"] for rank in told}) == 1,
        seconds=_slowest(told, "seconds"),
        bytes_sent=max(rank["bytes_sent"] for rank in told),
    )
    sizes = [size for size, _ in first["sweep"]]
    sweep = [
        (size, _slowest([{"seconds": rank["sweep"][at][1]} for rank in told], "seconds"))
        for at, size in enumerate(sizes)
    ]
    overlap = overlap_of([rank["overlap"] for rank in told]) if first["overlap"] else None
    network = Network(**first["network"])
    return Measurement(problem, outcome, (*sweep, (problem.bytes, outcome.seconds)), network, overlap)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Waits until no other process of this user measures: two at once would measure each other."""
    path = Path(tempfile.gettempdir()) / f"assay-measuring-{os.getuid()}.lock"
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def filled(problem: Problem, rank: int, seed: int) -> Tensor:
    """The array of a rank."""
    block = torch.from_numpy(problem.block(rank, seed)).to(getattr(torch, problem.dtype))
    return block.repeat(-(-problem.length // len(block)))[: problem.length]


def exact_sum(problem: Problem, seed: int) -> np.ndarray:
    """The first block of the sum over all ranks in float64, of the values as the dtype has them."""
    dtype = getattr(torch, problem.dtype)
    blocks = [torch.from_numpy(problem.block(rank, seed)).to(dtype) for rank in range(problem.ranks)]
    return sum((block.to(torch.float64) for block in blocks), torch.zeros(len(blocks[0]))).numpy()


def timed(call: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> float:
    """Seconds of a call that all ranks begin together."""
    before()
    dist.barrier()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def probe(sizes: Sequence[int] = _PROBES, repetitions: int = 5) -> Network:
    """alpha and beta of this group's links, and how both grow when all ranks send at once; on every rank.

    A rank sends to its right neighbour and receives from its left one, alone with rank 0 and 1 and then with
    all; the time is the slowest rank's.
    """
    rank, ranks = dist.get_rank(), dist.get_world_size()
    pair, all_ = [], []
    for size in sizes:
        out, into = torch.zeros(size, dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8)
        add = torch.zeros(size // 4)

        def ping(out: Tensor = out, into: Tensor = into) -> None:
            """There and back: two messages."""
            if rank == 0:
                dist.send(out, 1)
                dist.recv(into, 1)
            elif rank == 1:
                dist.recv(into, 0)
                dist.send(out, 0)

        def ring(out: Tensor = out, into: Tensor = into) -> None:
            work = dist.irecv(into, (rank - 1) % ranks)
            assert work is not None
            dist.send(out, (rank + 1) % ranks)
            work.wait()

        pair.append(_group_median([timed(ping) / 2 for _ in range(repetitions + 1)][1:]))
        all_.append(_group_median([timed(ring) for _ in range(repetitions + 1)][1:]))
        adding = [timed(lambda a=add: torch.add(a, a, out=a)) for _ in range(repetitions + 1)][1:]
    gamma = _group_median(adding) / sizes[-1]
    one, crowd = fit_line(sizes, pair), fit_line(sizes, all_)

    def growth(single: float, many: float) -> float:
        return max(0.0, (many / single - 1) / (ranks - 1)) if single > 0 else 0.0

    return Network(
        alpha=one.alpha,
        beta=one.beta,
        gamma=gamma,
        crowd_alpha=growth(one.alpha, crowd.alpha),
        crowd_beta=growth(one.beta, crowd.beta),
    )


def _on_rank(method: Any, problem: Problem, run: Run) -> dict[str, Any]:
    rank = dist.get_rank()
    link = link_of()
    source = filled(problem, rank, run.seed)
    tensor = source.clone()
    method.sum(tensor)
    result = tensor[: min(len(tensor), len(problem.block(0, 0)))].to(torch.float64).numpy()
    told: dict[str, Any] = {
        "digest": hashlib.sha256(tensor.view(torch.uint8).numpy().data).hexdigest(),
        "error": numeric_error(result, exact_sum(problem, run.seed)),
    }
    calls, wire = len(link.records), bytes_written()
    tensor.copy_(source)
    method.sum(tensor)
    records = list(link.records)[calls:]
    told["bytes_sent"] = sum(r.bytes_sent for r in records) if records else bytes_written() - wire
    told["seconds"] = _repeated(lambda: method.sum(tensor), lambda: tensor.copy_(source), run)
    told["sweep"] = []
    size = _SWEEP_FROM
    while size < problem.bytes:
        part = tensor[: size // tensor.element_size()]
        of_size = _repeated(lambda p=part: method.sum(p), lambda p=part: p.zero_(), run, share=0.1)
        told["sweep"].append((size, of_size))
        size *= _SWEEP_FACTOR
    small = run.scale == "smoke"
    told["network"] = dataclasses.asdict(probe(_PROBES[:-1], 3) if small else probe())
    launch = getattr(method, "launch", None)
    told["overlap"] = measure_overlap(_SMALL if small else Workload(), launch) if launch else None
    return told


def _repeated(
    call: Callable[[], Any], before: Callable[[], Any], run: Run, share: float = 1.0
) -> list[float]:
    """Seconds of as many calls as there is time for; the same number on all ranks."""
    budget = run.budget
    if budget is not None and budget.unit == "steps":
        count = int(budget.amount)
    else:
        seconds = (budget.amount if budget is not None else _SECONDS[run.scale]) * share
        once = torch.tensor([timed(call, before)])
        dist.all_reduce(once, op=dist.ReduceOp.MAX)
        count = int(min(max(seconds / float(once), _FEWEST), _MOST))
    return [timed(call, before) for _ in range(count)]


def _slowest(told: Sequence[dict[str, Any]], key: str) -> float:
    """The median over repetitions of the slowest rank's seconds."""
    return median(max(times) for times in zip(*(rank[key] for rank in told), strict=True))


def _group_median(times: Sequence[float]) -> float:
    slowest = torch.tensor(times)
    dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
    return float(slowest.median())


def bytes_written() -> int:
    """Bytes that this process has written, sockets included, as the kernel counts them."""
    try:
        with open("/proc/self/io") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("wchar"))
    except OSError:
        return 0
