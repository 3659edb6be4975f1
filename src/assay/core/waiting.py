"""Standard error while something takes long: silent for two seconds, then a bar; off a terminal lines."""

import sys
import threading
import time
from types import TracebackType
from typing import Any

_PIPE_WIDTH = 200  # columns when nobody's window limits them
_PATIENCE = 2.0  # seconds before progress is shown
BETWEEN_LINES = 10.0  # seconds between lines where there is no terminal


def console(*, stderr: bool = False) -> Any:
    """A rich console that prints texts as they are; off a terminal it is wide, so that no name is cut."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


class Waiting:
    """A context manager that shows on standard error what is going on, once that takes over two seconds.

    Args:
        title: what is going on.
    """

    def __init__(self, title: str) -> None:
        self._title, self._bar, self._task = title, None, None
        self._last_line: float | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(_PATIENCE, self._show)
        self._timer.daemon = True

    def __enter__(self) -> "Waiting":
        self._timer.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
            self._title = ""

    def progress(self, fraction: float, text: str) -> None:
        """Shows the fraction done, and a word on it."""
        with self._lock:
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=fraction, total=1.0, words=text)
            elif self._last_line is not None and time.monotonic() - self._last_line >= BETWEEN_LINES:
                self._last_line = time.monotonic()
                console(stderr=True).print(f"{self._title}: {fraction:.0%}, {text}")

    def _show(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        with self._lock:
            if not self._title:
                return
            where = console(stderr=True)
            if not where.is_terminal:
                where.print(f"{self._title} ...")
                self._last_line = time.monotonic()
                return
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            words = TextColumn("{task.fields[words]}", style="dim")
            self._bar = Progress(*columns, words, console=where, transient=True)
            self._task = self._bar.add_task(self._title, total=None, words="")
            self._bar.start()
