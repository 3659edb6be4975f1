"""Runs trials on this machine, a few at a time, each in its own process with limits of time and memory."""

import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.core.files import publish, write_json
from assay.core.host import Host
from assay.core.task import Task
from assay.core.trial import Result, Store, Trial

_TICK = 0.05  # seconds between two looks at memory and clock


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one trial may use before it is killed.

    Args:
        seconds: of wall clock from its start, or None for no limit.
        memory: bytes resident in the trial and the processes it started, or None for no limit (Linux only).
    """

    seconds: float | None = None
    memory: int | None = None


@dataclass
class _Running:
    trial: Trial
    folder: Path
    lock: Any
    started: float = field(default_factory=time.monotonic)
    pid: int | None = None
    verdict: Result | None = None  # Why we killed it, if we did.


Progress = Callable[[Mapping[Trial, str]], None]
"""Told now and then what runs: trial -> its own word on how far it is."""


def run_trials(
    task: Task,
    trials: Sequence[Trial],
    store: Store,
    data: Any,
    *,
    jobs: int = 1,
    limits: Limits = Limits(),
    preload: Sequence[str] = (),
    live: Mapping[str, Any] | None = None,
    progress: Progress = lambda running: None,
) -> Iterator[tuple[Trial, Result]]:
    """Yields every trial with its result, in the order in which they end. Finished trials are not run again.

    When the caller stops iterating (Ctrl-C included), running trials are killed and leave nothing behind.

    Args:
        task: of the trials.
        trials: to run, most urgent first.
        store: where finished trials are kept.
        data: folder of the task's data, from `Store.keep_data`; or the data itself, if it is live.
        jobs: how many run at the same time.
        limits: for each trial.
        preload: modules the trials will import.
        live: methods without a spec, by name.
        progress: called about twenty times a second.
    """
    waiting: list[Trial] = []
    for trial in trials:
        done = store.result(trial)
        if done is not None:
            yield trial, done
        else:
            waiting.append(trial)
    if not waiting:
        return
    host = Host(task, data, list(preload), live or {})
    running: dict[Path, _Running] = {}
    try:
        while waiting or running:
            _start_some(waiting, running, jobs, store, host)
            for event in host.events(_TICK):
                if "started" in event:
                    running[Path(event["folder"])].pid = event["started"]
                    continue
                job = next(job for job in running.values() if job.pid == event["ended"])
                result = _collect(job, event["code"], store)
                del running[job.folder]
                yield job.trial, result
            for job in running.values():
                _enforce(job, limits, host)
            for trial in [trial for trial in waiting if store.result(trial) is not None]:
                waiting.remove(trial)  # Another comparison finished it while we waited.
                yield trial, store.result(trial) or Result(status="killed", error="its result was removed")
            progress({job.trial: _word(job.folder) for job in running.values()})
    finally:
        host.close()
        for job in running.values():
            shutil.rmtree(job.folder, ignore_errors=True)
            job.lock.__exit__(None, None, None)


def _start_some(
    waiting: list[Trial], running: dict[Path, _Running], jobs: int, store: Store, host: Host
) -> None:
    for trial in list(waiting):
        if len(running) >= jobs:
            return
        lock = store.claim(trial)
        if not lock.__enter__():
            lock.__exit__(None, None, None)
            continue
        if store.result(trial) is not None:  # Finished elsewhere between our look and our lock.
            lock.__exit__(None, None, None)
            continue
        target = store.path(trial)
        for left in target.parent.glob(f".{trial.key}-trial-*"):  # By a comparison that was killed: we lock.
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{trial.key}-trial-", dir=target.parent))
        write_json(folder / "trial.json", dataclasses.asdict(trial))
        running[folder] = _Running(trial, folder, lock)
        waiting.remove(trial)
        host.start(folder)


def _collect(job: _Running, code: int, store: Store) -> Result:
    """The result of a process that has ended; its folder is published, whatever the result."""
    try:
        result = job.verdict or _read(job.folder, code)
        if result.status != "ok":
            write_json(job.folder / "result.json", result.to_json())
        publish(job.folder, store.path(job.trial))
        return result
    except OSError as error:
        shutil.rmtree(job.folder, ignore_errors=True)
        return Result(status="error", error=f"could not keep the result: {error}")
    finally:
        job.lock.__exit__(None, None, None)


def _read(folder: Path, code: int) -> Result:
    if code < 0:
        return Result(status="killed", error=f"the process was ended by signal {-code}")
    try:
        return Result.from_json(json.loads((folder / "result.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        path = folder / "traceback.txt"  # Of what went wrong before or behind the trial itself.
        trace = path.read_text("utf-8").strip() if path.exists() else None
        if trace:
            return Result(status="error", error=trace.splitlines()[-1], traceback=trace)
        return Result(status="error", error=f"the process left with exit status {code} and no result")


def _enforce(job: _Running, limits: Limits, host: Host) -> None:
    if job.pid is None or job.verdict is not None:
        return
    if limits.seconds is not None and time.monotonic() - job.started > limits.seconds:
        job.verdict = Result(status="timeout", error=f"not finished after {limits.seconds:g} s")
    elif limits.memory is not None and (used := _resident(job.pid)) > limits.memory:
        job.verdict = Result(
            status="memory", error=f"used {used / 1e6:,.0f} MB, the limit is {limits.memory / 1e6:,.0f} MB"
        )
    if job.verdict is not None:
        host.kill(job.pid)


def _resident(pid: int) -> int:
    """Bytes resident in the process and its descendants; 0 where /proc does not say."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            total = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return total + sum(_resident(int(child)) for child in file.read().split())
    except (OSError, IndexError):
        return 0


def _word(folder: Path) -> str:
    try:
        return (folder / "progress").read_text("utf-8")
    except OSError:
        return ""
