"""Trial: one (task, data, method, seed, budget). Its identity is a hash of its content, its result a folder.

A finished trial is `<runs>/<task>/<key>/` with trial.json, result.json, log.jsonl and, if the model can be
saved, model/. The folder appears in one rename when everything in it is written.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assay.core.files import atomic_folder
from assay.core.task import Task

Status = Literal["ok", "error", "nan", "timeout", "memory", "killed"]
"""ok: finished; error: raised; nan: a metric is not finite; timeout, memory: over the limit; killed: died."""

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is run.

    Args:
        task: name of the task.
        data: fingerprint of the data.
        name: the method's name on the board.
        spec: JSON text of the method, or None for a live one.
        code: digest of the method's code.
        seed: of split, start and order.
        budget: text of the budget, or None.
        scale: "smoke", "default" or "full".
        threads: CPU threads of the fit.
        device: "cpu" or "cuda[:i]".
        precision: "fp32", "bf16" or "fp16".
    """

    task: str
    data: str
    name: str
    spec: str | None
    code: str
    seed: int
    budget: str | None
    scale: str
    threads: int
    device: str = "cpu"
    precision: str = "fp32"

    @property
    def key(self) -> str:
        """The first 20 hex digits of the SHA-256 of everything that can change the result."""
        content = dataclasses.asdict(self) | {"format": _FORMAT}
        if self.spec is not None:
            del content["name"]  # The same method under another name is the same trial.
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of wall clock and of CPU, peak bytes of memory above the input, bytes of the saved model.

    `device_memory` is the peak of what the fit and the predictions allocated on a GPU, in bytes.
    """

    fit_wall: float
    fit_cpu: float
    predict_wall: float
    predict_cpu: float
    peak_memory: int
    model_size: int | None
    device_memory: int | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a trial gave; `traceback` is where an error came from."""

    status: Status
    error: str | None = None
    traceback: str | None = dataclasses.field(default=None, compare=False)
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    cost: Cost | None = None
    curve: tuple[tuple[float, float], ...] = ()
    test_rows: int | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `Result.from_json` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Result":
        """The result that `to_json` wrote.

        Raises:
            TypeError, KeyError: a field is missing or unknown.
        """
        cost = Cost(**value["cost"]) if value["cost"] is not None else None
        curve = tuple((step, score) for step, score in value["curve"])
        return cls(**(value | {"cost": cost, "curve": curve}))


class Store:
    """The folder of finished trials. Several comparisons may use one folder at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, trial: Trial) -> Path:
        """Where the trial's finished folder is or will be."""
        return self.folder / trial.task / trial.key

    def result(self, trial: Trial) -> Result | None:
        """The result of a trial that finished well; None when there is none or its file is damaged."""
        try:
            text = (self.path(trial) / "result.json").read_text("utf-8")
            result = Result.from_json(json.loads(text))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return result if result.status == "ok" else None

    @contextlib.contextmanager
    def claim(self, trial: Trial) -> Iterator[bool]:
        """Yields whether this process may run the trial; False while another process is running it."""
        lock = self.path(trial).with_name(f".{trial.key}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with open(lock, "a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                # Whoever held it may have removed it after it was opened here: then the name is free for
                # another file, on which this lock says nothing.
                if not _is_named(lock, file.fileno()):
                    continue
                try:
                    yield True
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(lock)
                return

    def keep_data(self, task: Task, data: Any) -> Path:
        """The folder under which trials of any process find `data`; written if it is not there yet."""
        target = self.folder / "data" / data.fingerprint()[:20]
        if not target.is_dir():
            try:
                with atomic_folder(target) as folder:
                    task.save_data(data, folder)
            except OSError as error:
                reason = f"the data could not be kept for the trials: {error.strerror or error}"
                raise OSError(error.errno, reason, str(self.folder)) from error
        return target


def _is_named(path: Path, file: int) -> bool:
    """Whether the open file is the one that the path leads to now."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
