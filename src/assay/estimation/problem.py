"""A problem: an experiment together with its answer, which methods do not see."""

import hashlib
import importlib
import json
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from assay.core import method as methods
from assay.core.files import write_json
from assay.estimation.experiment import Experiment
from assay.estimation.oracles import Function, Mean, Oracle, Quantile, adapted
from assay.estimation.populations import Column
from assay.estimation.schedules import Values
from assay.estimation.theory import limit


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What is sought, and how it is seen.

    Args:
        name: of a file, a data set, a textbook's example or a function.
        seeks: what is sought, in words.
        experiment: what a method is given.
        answer: the root, shaped like w.
        slope: of the function at its root, or None where there is no single number for it.
        noise: root mean square of the noise of one observation there, or None.
        facts: what else a reader should know, JSON-able.
    """

    name: str
    seeks: str
    experiment: Experiment
    answer: Values
    slope: float | None = None
    noise: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Whether it holds a function that no other process can import."""
        oracle = self.experiment.oracle
        return isinstance(oracle, Function) and importable(oracle.function) is None

    def limit(self, samples: int) -> float | None:
        """The error that theory allows after so many samples; None where it is not known, or is zero."""
        if not self.slope or not self.noise:
            return None
        return float(limit(samples, slope=self.slope, noise=self.noise))

    def fingerprint(self) -> str:
        """SHA-256 of everything but the name; that of a live function never comes again."""
        digest = hashlib.sha256(json.dumps(self._written(), sort_keys=True).encode())
        oracle = self.experiment.oracle
        if isinstance(self.experiment.population, Column):
            digest.update(np.ascontiguousarray(self.experiment.population.values).data)
        if isinstance(oracle, Function):
            digest.update(_origin(oracle.function))
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What is sought, its exact value, how it is sampled, and what is known of the function."""
        return {
            "seeks": self.seeks,
            "answer": self.answer.tolist(),
            "samples": self.experiment.samples,
            "runs": self.experiment.runs,
            "slope": self.slope,
            "noise": self.noise,
            **self.facts,
        }

    def save(self, folder: Path) -> None:
        """Writes the problem into an empty folder.

        Raises:
            ValueError: it is live.
        """
        if self.live:
            raise ValueError(f"{self.name}: this function cannot be imported elsewhere; put it into a module")
        write_json(folder / "problem.json", {"name": self.name} | self._written())
        if isinstance(self.experiment.population, Column):
            np.save(folder / "values.npy", self.experiment.population.values, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path) -> "Problem":
        """The problem that `save` wrote; a column is mapped into memory."""
        written = json.loads((folder / "problem.json").read_text("utf-8"))
        given = written.pop("experiment")
        oracle = _oracle(given.pop("oracle"), folder)
        interval = given.pop("interval")
        experiment = Experiment(oracle=oracle, interval=tuple(interval) if interval else None, **given)
        return cls(**written | {"experiment": experiment, "answer": np.array(written["answer"], np.float64)})

    def _written(self) -> dict[str, Any]:
        experiment = self.experiment
        start, interval = experiment.start, experiment.interval
        return {
            "seeks": self.seeks,
            "answer": self.answer.tolist(),
            "slope": self.slope,
            "noise": self.noise,
            "facts": dict(self.facts),
            "experiment": {
                "oracle": _written_oracle(experiment.oracle),
                "start": None if start is None else np.asarray(start).tolist(),
                "interval": None if interval is None else list(interval),
                "samples": experiment.samples,
                "runs": experiment.runs,
                "scale": experiment.scale,
            },
        }


def importable(function: Any) -> str | None:
    """The "package.module:name" where a fresh process finds `function`, or None."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not module or module == "__main__" or "<" in name:
        return None
    path = f"{module}:{name}"
    try:
        return path if methods.locate(path) is function else None
    except (ValueError, ImportError):
        return None


def _written_oracle(oracle: Oracle) -> dict[str, Any]:
    if isinstance(oracle, Function):
        return {
            "function": importable(oracle.function),
            "shape": list(oracle.shape),
            "elementwise": oracle.elementwise,
        }
    if isinstance(oracle, (Mean, Quantile)) and isinstance(oracle.population, Column):
        written: dict[str, Any] = {"column": oracle.population.order}
        if isinstance(oracle, Quantile):
            written |= {"q": oracle.q, "scale": oracle.scale}
        return written
    return {"spec": methods.spec(oracle)}


def _oracle(written: Mapping[str, Any], folder: Path) -> Oracle:
    if "function" in written:
        shape, elementwise = tuple(written["shape"]), written["elementwise"]
        return adapted(methods.locate(written["function"]), shape, elementwise=elementwise)
    if "column" in written:
        values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
        column = Column(values, written["column"])
        return Quantile(column, written["q"], written["scale"]) if "q" in written else Mean(column)
    return methods.build(written["spec"])


def _origin(function: Any) -> bytes:
    """What changes when the function's code does: its module's bytes, or for a live one anything new."""
    path = importable(function)
    if path is None:
        return uuid.uuid4().bytes
    module = sys.modules.get(function.__module__) or importlib.import_module(function.__module__)
    file = getattr(module, "__file__", None)
    return path.encode() + (Path(file).read_bytes() if file and Path(file).is_file() else b"")
