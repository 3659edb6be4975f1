"""Run: what a fit is given by its surroundings, and nothing that the method itself chooses."""

import contextlib
import dataclasses
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol, get_args

import numpy as np

from assay.core.budget import Budget
from assay.core.files import write_text

Scale = Literal["smoke", "default", "full"]
Precision = Literal["fp32", "bf16", "fp16"]

_AROUND: ContextVar[tuple[str, str]] = ContextVar("_AROUND", default=("cpu", "fp32"))


class Tracker(Protocol):
    """Where the scalars of a run go beside its own log."""

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Takes the scalars of one step."""
        ...

    def close(self) -> None:
        """Ends the run."""
        ...


@dataclass(kw_only=True)
class Run:
    """Seed, device, precision, budget, folder, threads, world, progress and log of one fit.

    Args:
        seed: fixes every random draw; two methods with one seed see the same split and start.
        device: where tensors live, "cpu" or "cuda[:i]"; as said by `within`, else "cpu".
        precision: name of the arithmetic, "fp32", "bf16" or "fp16"; as said by `within`, else "fp32".
        budget: what may be spent, or None for what the method itself asks for.
        scale: "smoke" (seconds), "default" (minutes on a laptop) or "full" (what the machine can bear).
        folder: where log and checkpoints go, or None to write nothing.
        checkpoint_every: steps between checkpoints in `folder`, from which a training that was cut off goes
            on to the same bits; None for no checkpoints.
        threads: CPU threads this fit may use.
        rank, world: this process among how many.
        sharded: divide weights and optimizer states among the ranks instead of copying them.
        trackers: told what `log` is told, on rank 0; one that raises is warned about and left out.
        progress: called with the fraction done in [0, 1] and a short text.

    Raises:
        ValueError: device, precision or `checkpoint_every` is not what it can be.
    """

    seed: int = 0
    device: str = field(default_factory=lambda: _AROUND.get()[0])
    precision: str = field(default_factory=lambda: _AROUND.get()[1])
    budget: Budget | None = None
    scale: Scale = "default"
    folder: Path | None = None
    checkpoint_every: int | None = None
    threads: int = 1
    rank: int = 0
    world: int = 1
    sharded: bool = False
    trackers: Sequence[Tracker] = ()
    progress: Callable[[float, str], None] = lambda fraction, text: None
    _started: float = field(default_factory=time.monotonic, init=False, repr=False)
    _shared: float = field(default=0.0, init=False, repr=False)
    _parts: "list[Run]" = field(default_factory=list, init=False, repr=False)
    _file: IO[str] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_surroundings(self.device, self.precision)
        if self.checkpoint_every is not None and self.checkpoint_every < 1:
            raise ValueError(f"expected checkpoint_every of at least 1 step, got {self.checkpoint_every}")

    def part(self, name: str, share: float) -> "Run":
        """The run of one of several trainings that make a fit, with a folder and a budget of its own.

        Args:
            name: of its folder, in `parts` of this run's.
            share: of the budget, in (0, 1]. Of seconds it gets what the parts until now have left of their
                shares and its own, so that work between the parts counts too.
        """
        budget, folder = self.budget, self.folder
        self._shared += share
        if budget is not None:
            amount = budget.amount * share
            if budget.unit == "seconds":
                amount = max(budget.amount * self._shared - (time.monotonic() - self._started), 1e-3)
            budget = dataclasses.replace(budget, amount=amount)
        if folder is not None:
            folder = folder / "parts" / name  # What else is in a run's folder has names of its own.
            folder.mkdir(parents=True, exist_ok=True)
        trackers = [_Named(tracker, name) for tracker in self.trackers]
        part = dataclasses.replace(self, budget=budget, folder=folder, trackers=trackers)
        self._parts.append(part)
        return part

    def rng(self, *stream: str | int) -> np.random.Generator:
        """A generator that depends on the seed and the name of the stream, and on nothing else."""
        words = [int.from_bytes(str(part).encode()[:16].ljust(16, b"\0"), "little") for part in stream]
        return np.random.default_rng([self.seed, *words])

    def log(self, step: int, **scalars: float) -> None:
        """Appends {"step", "seconds", name: value ...} to `folder/log.jsonl`, tells the trackers (rank 0)."""
        if self.rank != 0:
            return
        for tracker in self.trackers:
            try:
                tracker.log(step, scalars)
            except Exception as error:  # Somebody else's server must not end a training.
                warnings.warn(f"{type(tracker).__name__} failed and is left out: {error!r}", stacklevel=2)
                self.trackers = [other for other in self.trackers if other is not tracker]
        if self.folder is None:
            return
        if self._file is None:
            self._file = (self.folder / "log.jsonl").open("a", encoding="utf-8")
        seconds = round(time.monotonic() - self._started, 6)
        record = {"step": step, "seconds": seconds} | {name: float(value) for name, value in scalars.items()}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def rewind(self, step: int) -> None:
        """Takes the lines of later steps out of `folder/log.jsonl`, before they are written again."""
        path = self.folder and self.folder / "log.jsonl"
        if path is None or self.rank != 0 or not path.exists():
            return
        self._close_file()
        lines = path.read_text("utf-8").splitlines(keepends=True)  # The last one may have been cut off.
        whole = [line for line in lines if line.endswith("\n")]
        write_text(path, "".join(line for line in whole if json.loads(line)["step"] <= step))

    def start_clock(self, spent: float = 0.0) -> None:
        """Starts counting the seconds of the budget now, with so many `spent` before."""
        self._started = time.monotonic() - spent

    def spent(self, *, steps: float = 0, epochs: float = 0, examples: float = 0) -> float:
        """The fraction of the budget used up after so much work; 0 without a budget, 1 means stop."""
        if self.budget is None:
            return 0.0
        used = {"steps": steps, "epochs": epochs, "examples": examples}
        used["seconds"] = time.monotonic() - self._started
        return min(used[self.budget.unit] / self.budget.amount, 1.0)

    def close(self) -> None:
        """Closes the log and the trackers."""
        for tracker in self.trackers:
            with contextlib.suppress(Exception):
                tracker.close()
        for part in self._parts:
            part.close()
        self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass
class _Named:
    """A tracker that is told the scalars of a part of a fit, under the part's name."""

    tracker: Tracker
    name: str

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        self.tracker.log(step, {f"{self.name}/{key}": value for key, value in scalars.items()})

    def close(self) -> None:
        """Nothing: the whole run closes it."""


@contextlib.contextmanager
def within(run: Run) -> Iterator[None]:
    """In the block, runs that are not told otherwise have the device and the precision of `run`."""
    token = _AROUND.set((run.device, run.precision))
    try:
        yield
    finally:
        _AROUND.reset(token)


def check_surroundings(device: str, precision: str) -> None:
    """Refuses what no run can have.

    Raises:
        ValueError: the device is not "cpu" or "cuda[:i]", or the precision has another name.
    """
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ValueError(f"expected a device cpu, cuda or cuda:<number>, got {device!r}")
    if precision not in get_args(Precision):
        raise ValueError(f"expected a precision of {', '.join(get_args(Precision))}, got {precision!r}")


def torchrun() -> tuple[int, int, int]:
    """Rank of this process, number of ranks, rank on this machine; (0, 1, 0) without `torchrun`."""
    found = [os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    if None in found:
        return 0, 1, 0
    rank, world, local = (int(word or 0) for word in found)
    return rank, world, local
