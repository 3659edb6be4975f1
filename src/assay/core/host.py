"""The host: a small process that has the libraries and the data loaded, and forks once per trial.

Forking from it gives every trial a process of its own without paying for imports and reading again, and a
trial that dies takes nothing with it. The host talks in JSON lines: it reads {"start": folder} and {"kill":
pid}, and answers {"started": pid, "folder": ...} and {"ended": pid, "code": exit code or minus the signal}.
When its input closes, because the comparison ended or died, it kills what still runs and leaves.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from assay.core.method import build, locate, location
from assay.core.task import Task
from assay.core.trial import Trial
from assay.core.worker import execute, redirect_output, shorten_output


class Host:
    """The comparison's end of a host process.

    Args:
        task: whose trials run.
        data: folder that holds the data; or live data, which reaches the host as live methods do.
        preload: modules to import before the first trial.
        live: methods that cannot be written as JSON, by name; the host is then forked from this process
            instead of started afresh.
    """

    def __init__(self, task: Task, data: Any, preload: list[str], live: Mapping[str, Any]) -> None:
        where = location(task)
        job = {"task": where, "data": str(data), "preload": preload, "path": sys.path}
        if live or where is None or not isinstance(data, Path):
            self._pid, self._to, self._from = _forked(job, task, data, live)
            self._process = None
        else:
            # -c rather than -m: runpy would import this module twice. A new session: we handle Ctrl-C.
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from assay.core.host import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._pid, self._to, self._from = self._process.pid, self._process.stdin, self._process.stdout
            self._send(job)
        self._pending = b""

    def start(self, folder: Path) -> None:
        """Asks for the trial described in `folder`; its pid comes with `events`."""
        self._send({"start": str(folder)})

    def kill(self, pid: int) -> None:
        """Asks for the end of one trial, with everything that it started."""
        self._send({"kill": pid})

    def events(self, timeout: float) -> list[dict[str, Any]]:
        """What happened until now, waiting at most `timeout` seconds for the first.

        Raises:
            RuntimeError: the host itself has died.
        """
        if not select.select([self._from], [], [], timeout)[0]:
            return []
        chunk = os.read(self._from.fileno(), 1 << 16)
        if not chunk:
            raise RuntimeError("the process that starts the trials has died")
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Kills what runs, ends the host and waits for it."""
        with contextlib.suppress(BrokenPipeError):
            self._to.close()
        self._from.close()
        if self._process is not None:
            self._process.wait()
        else:
            os.waitpid(self._pid, 0)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._to.write(json.dumps(message).encode() + b"\n")
            self._to.flush()
        except BrokenPipeError:
            raise RuntimeError("the process that starts the trials has died") from None


def _forked(
    job: dict[str, Any], task: Task, data: Any, live: Mapping[str, Any]
) -> tuple[int, IO[bytes], IO[bytes]]:
    commands, to_host = os.pipe()
    from_host, answers = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(to_host)
            os.close(from_host)
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            _serve(job, task, data, live, commands, answers)
            status = 0
        finally:
            os._exit(status)
    os.close(commands)
    os.close(answers)
    return pid, os.fdopen(to_host, "wb"), os.fdopen(from_host, "rb")


def main() -> None:
    """The host as a process of its own: the job comes as the first line of standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)  # Whatever a library prints while it is imported must not mix with the answers.
    first = b""
    while not first.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return
        first += byte
    job = json.loads(first)
    sys.path[:] = job["path"]
    _serve(job, locate(job["task"]), Path(job["data"]), {}, 0, answers)


def _serve(
    job: dict[str, Any], task: Task, data: Any, live: Mapping[str, Any], commands: int, answers: int
) -> None:
    for module in job["preload"]:
        with contextlib.suppress(Exception):  # The trial that needs it will say what is wrong.
            importlib.import_module(module)
    if isinstance(data, Path):
        data = task.open_data(data)
    running: set[int] = set()
    wake, woken = (
        os.pipe()
    )  # A signal handler that only writes a byte: an ended trial wakes the select below.
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pending = b""

    def answer(**message: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # Nobody listens any more: the next read says so.
            os.write(answers, json.dumps(message).encode() + b"\n")

    while True:
        ready = select.select([commands, wake], [], [])[0]
        if wake in ready:
            os.read(wake, 1 << 10)
            for pid in sorted(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    running.remove(pid)
                    _kill_group(pid)  # What the trial may have left behind.
                    answer(ended=pid, code=os.waitstatus_to_exitcode(status))
        if commands not in ready:
            continue
        chunk = os.read(commands, 1 << 16)
        if not chunk:
            for pid in running:
                _kill_group(pid)
            return
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "kill" in message:
                if message["kill"] in running:
                    _kill_group(message["kill"])
                continue
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for handle in (commands, answers, wake, woken):
                    os.close(handle)
                _child(Path(message["start"]), task, data, live)
            running.add(pid)
            answer(started=pid, folder=message["start"])


def _child(folder: Path, task: Any, data: Any, live: Mapping[str, Any]) -> None:
    """Runs one trial and never returns."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        output = folder / "output.txt"
        redirect_output(output)
        trial = Trial(**json.loads((folder / "trial.json").read_text("utf-8")))
        try:
            method = live[trial.name] if trial.spec is None else build(trial.spec)
            execute(trial, task, data, method, folder)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            shorten_output(output)
        code = 0
    except BaseException:
        with contextlib.suppress(Exception):
            (folder / "traceback.txt").write_text(traceback.format_exc(), "utf-8")
    finally:
        os._exit(code)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # Before setsid() it has no group of its own.
        os.kill(pid, signal.SIGKILL)
