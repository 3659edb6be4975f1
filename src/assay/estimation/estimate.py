"""What a fit gives back: the estimate of every run, and how it was reached."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assay.core.files import write_json
from assay.estimation.schedules import Schedule, Values

_FORMAT = "assay-estimate"
_VERSION = 1
_FILE = "estimate.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """The estimates of independent runs.

    Args:
        samples: int64[snapshots]; samples that each run had taken, from 0 to the end.
        trace: float64[snapshots, runs, *shape]; the estimates then, the start first.
        schedule: the step sizes, or None for a method without steps.
        batch_size: observations averaged in a step.
        averaged: whether the estimate is the average of the iterates.
        standard_error: float64[runs, *shape] as the runs see it themselves, or None.
        notes: conditions of convergence that the method breaks.
    """

    samples: NDArray[np.int64]
    trace: Values
    schedule: Schedule | None = None
    batch_size: int = 1
    averaged: bool = False
    standard_error: Values | None = None
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> Values:
        """The final estimate of every run, float64[runs, *shape]."""
        return self.trace[-1]

    def predict(self, data: Any = None) -> Values:
        """The final estimate of every run; it is the same whatever is asked about."""
        return self.values

    def save(self, folder: str | Path) -> None:
        """Writes the estimate into `folder`, which is made if it is not there."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        error = self.standard_error
        written = {
            "format": _FORMAT,
            "version": _VERSION,
            "samples": self.samples.tolist(),
            "trace": self.trace.tolist(),
            "schedule": None if self.schedule is None else dataclasses.asdict(self.schedule),
            "batch_size": self.batch_size,
            "averaged": self.averaged,
            "standard_error": None if error is None else error.tolist(),
            "notes": list(self.notes),
        }
        write_json(Path(folder) / _FILE, written)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The estimate that `save` wrote.

        Raises:
            ValueError: there is none, or its file is of another kind.
        """
        path = Path(folder) / _FILE
        try:
            written = json.loads(path.read_text("utf-8"))
            if (written.pop("format"), written.pop("version")) != (_FORMAT, _VERSION):
                raise ValueError("another format or version")
            error, schedule = written["standard_error"], written["schedule"]
            return cls(
                **written
                | {
                    "samples": np.array(written["samples"], np.int64),
                    "trace": np.array(written["trace"], np.float64),
                    "schedule": None if schedule is None else Schedule(**schedule),
                    "standard_error": None if error is None else np.array(error, np.float64),
                    "notes": tuple(written["notes"]),
                }
            )
        except (OSError, KeyError, TypeError, ValueError) as reason:
            raise ValueError(f"{path}: expected an estimate written by assay: {reason}") from None
