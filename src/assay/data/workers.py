"""A function applied to many items at once by threads or processes; results come in the items' order.

Item i draws its random numbers from a generator seeded with (seed, i), so that neither the number nor the
kind of workers changes a result. Threads are right where the work releases Python's lock (decoding, NumPy),
processes where it is pure Python. Memory is bounded: a slow item holds up the rest.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Literal

import numpy as np

Workers = Literal[0] | tuple[Literal["thread", "process"], int]
"""None at all, or so many threads or processes."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_starting = threading.Lock()


class WorkerError(RuntimeError):
    """A function that failed on an item, or a process that died on it; the message says which and why."""


def ordered_map(
    function: Callable[..., Any],
    items: Iterable[Any],
    *,
    workers: Workers = 0,
    window: int | None = None,
    seed: Sequence[int] | None = None,
    start: int = 0,
    name: str = "map",
) -> Generator[Any, None, None]:
    """Yields `function(item)` for every item, in order.

    Args:
        function: of an item, and with a seed of a generator too; for processes, one of a module.
        items: taken one by one, in the caller's thread, and never more than `window` ahead.
        workers: 0, ("thread", n) or ("process", n); a process has one thread for NumPy's products.
        window: how many items are under way at most; twice the workers if not given.
        seed: whole numbers; item i is processed as `function(item, default_rng([*seed, i]))`.
        start: the number of the first item.
        name: what messages call the function.

    Raises:
        WorkerError: the function failed, or a process died; all results before that item came.
        TypeError: the function cannot be sent to a process.
        ValueError: an argument is not as said above.
    """
    kind, count = ("thread", 0) if workers == 0 else workers
    if kind not in ("thread", "process") or (workers != 0 and count < 1):
        raise ValueError(f"expected workers 0, ('thread', n) or ('process', n), got {workers!r}")
    window = 2 * count if window is None else window
    if count and window < 1:
        raise ValueError(f"expected a window of at least 1, got {window}")
    job = _Job(function, None if seed is None else tuple(seed), name)
    if count == 0:
        return (job.run(item, index).unwrap() for index, item in enumerate(items, start))
    run = _by_threads if kind == "thread" else _by_processes
    return run(job, items, count, window, start)


@dataclass(frozen=True)
class _Outcome:
    """A result, or what went wrong."""

    value: Any = None
    message: str | None = None

    def unwrap(self) -> Any:
        if self.message is not None:
            raise WorkerError(self.message)
        return self.value


@dataclass(frozen=True)
class _Job:
    """The function with what it needs to process an item."""

    function: Callable[..., Any]
    seed: tuple[int, ...] | None
    name: str

    def run(self, item: Any, index: int) -> _Outcome:
        try:
            if self.seed is None:
                return _Outcome(self.function(item))
            return _Outcome(self.function(item, np.random.default_rng([*self.seed, index])))
        except Exception as error:  # Also StopIteration, which would end the caller's generator silently.
            trace = "".join(traceback.format_exception(error)).rstrip()
            what = f"{type(error).__name__}: {error}"
            return _Outcome(message=f"{self.name}, item {index}: {what}\n{trace}")


def _by_threads(
    job: _Job, items: Iterable[Any], count: int, window: int, start: int
) -> Generator[Any, None, None]:
    pool = ThreadPoolExecutor(count, thread_name_prefix=job.name)
    try:
        under_way: deque[Any] = deque()
        for index, item in enumerate(items, start):
            under_way.append(pool.submit(job.run, item, index))
            if len(under_way) >= window:
                yield under_way.popleft().result().unwrap()
        while under_way:
            yield under_way.popleft().result().unwrap()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _by_processes(
    job: _Job, items: Iterable[Any], count: int, window: int, start: int
) -> Generator[Any, None, None]:
    processes: list[_Process] = []
    try:
        with _one_thread_each():
            processes += (_Process(job, number) for number in range(count))
        idle, numbered, more = list(processes), enumerate(items, start), True
        done: dict[int, _Outcome] = {}
        taken = given = start  # Items taken from `items`, and results given to the caller.
        while True:
            while more and idle and taken - given < window:
                index, item = next(numbered, (-1, None))
                if index < 0:
                    more = False
                    break
                idle.pop().begin(index, item)
                taken += 1
            if given in done:
                yield done.pop(given).unwrap()
                given += 1
            elif given < taken:
                for process in _ready(processes):
                    index, outcome = process.finish()
                    done[index] = outcome
                    idle.append(process)
            else:
                return
    finally:
        for process in processes:
            process.stop()


class _Process:
    """A process that works on one item at a time, and ends when this one does."""

    def __init__(self, job: _Job, number: int) -> None:
        try:
            ForkingPickler.dumps(job.function)
        except Exception as error:
            raise TypeError(
                f"{job.name}: expected a function of a module, which a process can import, got "
                f"{job.function!r} ({error})"
            ) from None
        context = multiprocessing.get_context("spawn")  # A fork would copy locks that threads hold.
        self.connection, other = context.Pipe()
        self.name, self.number, self.index = job.name, number, -1
        self.process: BaseProcess = context.Process(target=_serve, args=(other, job), daemon=True)
        self.process.start()
        other.close()  # So that the connection ends when the process does.

    def begin(self, index: int, item: Any) -> None:
        self.index = index
        try:
            self.connection.send((index, item))
        except BrokenPipeError:  # It died; `finish` says so.
            pass
        except Exception as error:
            raise WorkerError(
                f"{self.name}, item {index}: it cannot be sent to a process ({error})"
            ) from error

    def finish(self) -> tuple[int, _Outcome]:
        """What came of the item under way."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            what = f"worker {self.number} (process {self.process.pid}) died of {how}"
            return self.index, _Outcome(message=f"{self.name}, item {self.index}: {what}")

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def _ready(processes: Sequence[_Process]) -> Iterator[_Process]:
    """The busy processes that have a result, or have died; waits for at least one."""
    ready = wait([process.connection for process in processes if process.index >= 0])
    for process in processes:
        if process.connection in ready:
            yield process
            process.index = -1


def _serve(connection: Connection, job: _Job) -> None:
    """The life of a process: an item comes, its outcome goes, until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's, who stops this process.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            index, item = connection.recv()
            try:
                connection.send((index, job.run(item, index)))
            except OSError:
                raise
            except Exception as error:
                message = f"{job.name}, item {index}: its result cannot be sent from a process ({error})"
                connection.send((index, _Outcome(message=message)))


def _end_with_parent() -> None:
    """Ends this process when the one that started it has been killed, even in the middle of an item."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started in the block use one thread each for NumPy's products."""
    with _starting:
        before = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
