"""Ranks as real processes of this machine, forked from this one: for comparisons and tests.

Training jobs are started by torchrun; this is no launcher for them. What a rank returns comes back as JSON.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore

_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Host:
    """A network namespace that stands for a host.

    Args:
        namespace: as `ip netns` calls it.
        interface: that leads to the other hosts.
    """

    namespace: str
    interface: str


@dataclass(frozen=True)
class Ended:
    """How a rank ended: with a value, an error's text, or by a signal."""

    value: Any = None
    error: str | None = None
    signal: int | None = None


class Ranks:
    """Processes that call `target(*args)` inside an initialised process group.

    Args:
        count: how many.
        target: called in every rank; what it returns must be JSON.
        args: of `target`.
        hosts: a host for each rank, or none for the loopback of this machine.
        timeout: seconds of torch's own operations.
    """

    def __init__(
        self,
        count: int,
        target: Callable[..., Any],
        *args: Any,
        hosts: Sequence[Host] = (),
        timeout: float = 60.0,
    ) -> None:
        if count < 1:
            raise ValueError(f"expected at least one rank, got {count}")
        if hosts and len(hosts) != count:
            raise ValueError(f"expected a host for each of {count} ranks, got {len(hosts)}")
        # They meet in a file: it needs no network between hosts, and no threads in the process that forks.
        self._folder = tempfile.TemporaryDirectory(prefix="assay-ranks-")
        meeting = Path(self._folder.name) / "store"
        self.pids: list[int] = []
        self._pipes: list[int] = []
        # A rank that is done keeps its connections until this pipe closes: others may still need them.
        stay, self._release = os.pipe()
        for rank in range(count):
            receive, send = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(receive)
                os.close(self._release)
                host = hosts[rank] if hosts else None
                _child(rank, count, host, meeting, timeout, send, stay, target, args)
            os.close(send)
            self.pids.append(pid)
            self._pipes.append(receive)
        os.close(stay)

    def kill(self, rank: int, number: int = signal.SIGKILL) -> None:
        """Sends a signal to a rank."""
        os.kill(self.pids[rank], number)

    def join(self, timeout: float = 300.0) -> list[Ended]:
        """How each rank ended; those that have not after `timeout` seconds are killed."""
        end = time.monotonic() + timeout
        chunks: list[list[bytes]] = [[] for _ in self.pids]
        waiting = {pipe: rank for rank, pipe in enumerate(self._pipes)}
        try:
            while waiting and time.monotonic() < end:
                for pipe in select.select(list(waiting), [], [], max(0.0, end - time.monotonic()))[0]:
                    chunk = os.read(pipe, 1 << 20)
                    if chunk:
                        chunks[waiting[pipe]].append(chunk)
                    else:
                        del waiting[pipe]
        finally:
            for rank in waiting.values():
                with contextlib.suppress(ProcessLookupError):
                    self.kill(rank)
            for pipe in (*self._pipes, self._release):
                os.close(pipe)
            codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.pids]
            self._folder.cleanup()
        return [_ended(b"".join(told), code) for told, code in zip(chunks, codes, strict=True)]


def run_ranks(
    count: int,
    target: Callable[..., Any],
    *args: Any,
    hosts: Sequence[Host] = (),
    timeout: float = 300.0,
) -> list[Any]:
    """What `target(*args)` returns on each of `count` ranks.

    Raises:
        RuntimeError: a rank failed; the message has every failure.
    """
    ended = Ranks(count, target, *args, hosts=hosts, timeout=timeout).join(timeout)
    failures = [
        f"rank {rank}: {how.error or f'ended by signal {how.signal}'}"
        for rank, how in enumerate(ended)
        if how.error is not None or how.signal is not None
    ]
    if failures:
        raise RuntimeError("; ".join(failures))
    return [how.value for how in ended]


def _child(
    rank: int,
    count: int,
    host: Host | None,
    meeting: Path,
    timeout: float,
    pipe: int,
    stay: int,
    target: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    """A rank's whole life; never returns."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        torch.set_num_threads(1)
        if host is not None:
            _enter(host.namespace)
        os.environ["GLOO_SOCKET_IFNAME"] = host.interface if host else "lo"
        store = FileStore(str(meeting), count)
        limit = timedelta(seconds=timeout)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=limit)
        told = {"value": target(*args)}
        code = 0
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    except BaseException as error:
        told = {"error": repr(error)}
    try:
        with os.fdopen(pipe, "w") as file:
            json.dump(told, file)
        os.read(stay, 1)
    finally:
        os._exit(code)


def _enter(namespace: str) -> None:
    """Moves this process into a network namespace.

    Raises:
        OSError: it may not, or there is none of that name.
    """
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter network namespace {namespace}: {os.strerror(number)}")


def _ended(told: bytes, code: int) -> Ended:
    if code < 0:
        return Ended(signal=-code)
    try:
        found = json.loads(told)
    except ValueError:
        return Ended(error=f"left with exit status {code} and no result")
    return Ended(value=found.get("value"), error=found.get("error"))
