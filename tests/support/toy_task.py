"""A small real task for the tests of core and app: predict a number by the centre of a sample.

It has methods that work and methods that go wrong in every way a trial can go wrong.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.run import Run, Scale
from assay.core.task import Metric, Task


@dataclass(frozen=True)
class Numbers:
    values: np.ndarray
    name: str = "numbers"

    def fingerprint(self) -> str:
        return sha256(self.values.tobytes()).hexdigest()

    def describe(self) -> Mapping[str, Any]:
        return {"rows": len(self.values)}

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Centre:
    value: float

    def save(self, folder: Path) -> None:
        (folder / "centre.json").write_text(json.dumps(self.value))


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The arithmetic mean, plus a constant error."""

    bias: float = 0.0

    def fit(self, train: Numbers, *, run: Run) -> Centre:
        run.log(1, mean=float(train.values.mean()))
        return Centre(float(train.values.mean()) + self.bias)


@dataclass(frozen=True, kw_only=True)
class Median:
    """The middle value; burns CPU for a while first."""

    seconds: float = 0.0

    def fit(self, train: Numbers, *, run: Run) -> Centre:
        end = time.process_time() + self.seconds
        while time.process_time() < end:
            run.progress(0.5, "burning")
        return Centre(float(np.median(train.values)))


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Goes wrong in the way it is told."""

    how: str = "raise"
    flag: str = ""

    def fit(self, train: Numbers, *, run: Run) -> Centre:
        if self.how == "raise":
            raise ValueError("the centre cannot hold")
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "exit":
            os._exit(3)
        if self.how == "memory":
            hoard = []
            while True:
                hoard.append(np.ones(4 << 20))
        if self.how == "memory-error":
            raise MemoryError
        if self.how == "sleep":
            time.sleep(3600)
        if self.how == "print":
            sys.stdout.write("x" * (1 << 20))
            os.write(2, b"y" * (1 << 20))
        if self.how == "nan":
            return Centre(float("nan"))
        if self.how == "count":  # Leaves a mark each time it really runs.
            with open(self.flag, "a") as file:
                file.write(f"{run.seed}\n")
        return Centre(float(train.values.mean()))


class Toy(Task):
    name = "toy"
    question = "Where is the centre?"
    default_data = "numbers"
    methods: Mapping[str, Any] = {"mean": Mean, "median": Median}  # type: ignore[misc]
    peers: Mapping[str, Any] = {"peer-mean": Mean, "missing-peer": Mean}  # type: ignore[misc]

    def load(self, source: Any = None, *, scale: Scale = "default", **options: Any) -> Numbers:
        if source is None:
            source = np.random.default_rng(0).normal(3, 1, {"smoke": 50}.get(scale, 500))
        return Numbers(np.asarray(source, float))

    def save_data(self, data: Numbers, folder: Path) -> None:
        np.save(folder / "numbers.npy", data.values)

    def open_data(self, folder: Path) -> Numbers:
        return Numbers(np.load(folder / "numbers.npy"))

    def metrics(self, data: Numbers) -> Sequence[Metric]:
        return (Metric("squared error", "lower"), Metric("absolute error", "lower"))

    def method(self, name: str, data: Any, settings: Mapping[str, Any], scale: Scale = "default") -> Any:
        cls = {**self.methods, **self.peers}[name]
        for key in settings:
            if key not in cls.__dataclass_fields__:
                raise ValueError(f"{name} has no setting {key!r}")
        return cls(**settings)

    def available(self, name: str) -> str | None:
        return "a-package" if name == "missing-peer" else None

    def split(self, data: Numbers, seed: int) -> tuple[Numbers, Numbers]:
        order = np.random.default_rng(seed).permutation(len(data))
        half = len(order) // 2
        return Numbers(data.values[order[:half]]), Numbers(data.values[order[half:]])

    def predict(self, model: Centre, test: Numbers, run: Run) -> np.ndarray:
        return np.full(len(test), model.value)

    def score(self, outputs: np.ndarray, test: Numbers) -> Mapping[str, float]:
        errors = outputs - test.values
        return {
            "squared error": float(np.mean(errors**2)),
            "absolute error": float(np.mean(np.abs(errors))),
        }

    def curve(self, model: Centre, test: Numbers) -> Sequence[tuple[float, float]]:
        return [(1, float(np.mean((model.value - test.values) ** 2)))]

    def load_model(self, folder: Path) -> Centre:
        return Centre(json.loads((folder / "centre.json").read_text()))


task = Toy()
