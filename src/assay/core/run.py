"""Run: what a fit is given by its surroundings, and nothing that the method itself chooses."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import numpy as np

from assay.core.budget import Budget

Scale = Literal["smoke", "default", "full"]


@dataclass(kw_only=True)
class Run:
    """Seed, device, precision, budget, folder, threads, world, progress and log of one fit.

    Args:
        seed: fixes every random draw; two methods with one seed see the same split and start.
        device: where tensors live, "cpu" or "cuda[:i]".
        precision: name of the arithmetic, "fp32", "bf16" or "fp16".
        budget: what may be spent, or None for what the method itself asks for.
        scale: "smoke" (seconds), "default" (minutes on a laptop) or "full" (what the machine can bear).
        folder: where log and checkpoints go, or None to write nothing.
        threads: CPU threads this fit may use.
        rank, world: this process among how many.
        progress: called with the fraction done in [0, 1] and a short text.
    """

    seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    budget: Budget | None = None
    scale: Scale = "default"
    folder: Path | None = None
    threads: int = 1
    rank: int = 0
    world: int = 1
    progress: Callable[[float, str], None] = lambda fraction, text: None
    _started: float = field(default_factory=time.monotonic, init=False, repr=False)
    _file: IO[str] | None = field(default=None, init=False, repr=False)

    def rng(self, *stream: str | int) -> np.random.Generator:
        """A generator that depends on the seed and the name of the stream, and on nothing else."""
        words = [int.from_bytes(str(part).encode()[:16].ljust(16, b"\0"), "little") for part in stream]
        return np.random.default_rng([self.seed, *words])

    def log(self, step: int, **scalars: float) -> None:
        """Appends one line {"step", "seconds", name: value ...} to `folder/log.jsonl` (rank 0 only)."""
        if self.folder is None or self.rank != 0:
            return
        if self._file is None:
            self._file = (self.folder / "log.jsonl").open("a", encoding="utf-8")
        seconds = round(time.monotonic() - self._started, 6)
        record = {"step": step, "seconds": seconds} | {name: float(value) for name, value in scalars.items()}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def start_clock(self) -> None:
        """Starts counting the seconds of the budget now."""
        self._started = time.monotonic()

    def spent(self, *, steps: float = 0, epochs: float = 0, examples: float = 0) -> float:
        """The fraction of the budget used up after so much work; 0 without a budget, 1 means stop."""
        if self.budget is None:
            return 0.0
        used = {"steps": steps, "epochs": epochs, "examples": examples}
        used["seconds"] = time.monotonic() - self._started
        return min(used[self.budget.unit] / self.budget.amount, 1.0)

    def close(self) -> None:
        """Closes the log."""
        if self._file is not None:
            self._file.close()
            self._file = None
