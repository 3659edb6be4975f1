"""Progress of a comparison on standard error: a live bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from assay.core.trial import Result, Trial
from assay.core.waiting import BETWEEN_LINES, console

_PATIENCE = 2.0  # seconds before anything is shown


class Display:
    """A context manager that is told what runs and what has finished.

    Args:
        title: what is compared.
        total: number of trials.
        enabled: False shows nothing at all.
    """

    def __init__(self, title: str, total: int, *, enabled: bool = True) -> None:
        self._title, self._total, self._done, self._enabled = title, total, 0, enabled
        self._console = console(stderr=True)
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        self._task = None

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def running(self, trials: Mapping[Trial, str]) -> None:
        """Shows what runs now; `trials` maps each to "fraction text"."""
        now = time.monotonic()
        if not self._enabled or now - self._started < _PATIENCE:
            return
        words = ", ".join(
            f"{trial.name} (seed {trial.seed}{_percent(word)})" for trial, word in trials.items()
        )
        if not self._console.is_terminal:
            if now - self._last_line >= BETWEEN_LINES:
                self._last_line = now
                sys.stderr.write(f"{self._title}: {self._done} of {self._total} trials, now {words}\n")
            return
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            times = (
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[words]}", style="dim"),
            )
            self._bar = Progress(*columns, *times, console=self._console, transient=True)
            self._task = self._bar.add_task(self._title, total=self._total, words="")
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, completed=self._done, words=words)

    def finished(self, trial: Trial, result: Result) -> None:
        """Counts a finished trial, and says at once when one has failed."""
        self._done += 1
        if self._enabled and result.status != "ok":
            where = self._bar.console if self._bar is not None else self._console
            line = f"{trial.name}, seed {trial.seed}: {result.status}: {result.error}"
            where.print(line, style="red", soft_wrap=True)


def _percent(word: str) -> str:
    fraction, _, _ = word.partition(" ")
    try:
        return f", {float(fraction):.0%}"
    except ValueError:
        return ""
