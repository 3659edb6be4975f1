"""A link: point-to-point messages of one process group, counted, with time-outs that name the silent rank.

A rank that gives up leaves word in the group's store of whom it waited for. Whoever waits for that rank reads
it, and so on; the chain ends at the rank that is really gone, and every survivor's error names that one.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

DEFAULT_TIMEOUT = 300.0
_LANES = 2  # asynchronous operations that run at the same time
_FIRST_TAG = 2**30  # Far from the tags that people choose.
_TAGS = 2**20
_NO_TAG = 2**29  # that nobody sends
_KEPT_RECORDS = 10_000
_ALIGNMENT = 64  # bytes, of a cache line
_MOST_GRACE = 1.0  # seconds in which a rank that gives up waits for word from others


class RankFailure(RuntimeError):
    """A rank is gone or silent.

    Args:
        message: what happened.
        rank: who is gone.
    """

    def __init__(self, message: str, rank: int) -> None:
        super().__init__(message)
        self.rank = rank


class Record(NamedTuple):
    """What a call did: bytes as handed to the transport, seconds as of `time.perf_counter`."""

    sequence: int
    operation: str
    algorithm: str
    bytes: int
    steps: int
    bytes_sent: int
    bytes_received: int
    started: float
    seconds: float


class Call:
    """One operation on its way: its number, its messages, its deadline.

    Args:
        link: of the group.
        operation, algorithm: for messages.
        sequence: the same on all ranks.
        timeout: seconds.
    """

    def __init__(self, link: "Link", operation: str, algorithm: str, sequence: int, timeout: float) -> None:
        self.link, self.operation, self.algorithm, self.sequence = link, operation, algorithm, sequence
        self._timeout = timeout
        self._grace = min(_MOST_GRACE, timeout / 4)
        self.started = time.perf_counter()
        self._tag = _FIRST_TAG + sequence % _TAGS
        self.bytes_sent = self.bytes_received = 0

    def send(self, tensor: Tensor, peer: int) -> Any:
        """Starts sending; `wait` for what comes back."""
        self.bytes_sent += tensor.nbytes
        try:
            return self.link.group.send([tensor], peer, self._tag)
        except RuntimeError as error:
            raise self._failure(peer, error) from error

    def receive(self, tensor: Tensor, peer: int) -> Any:
        """Starts receiving into a tensor; `wait` for what comes back."""
        self.bytes_received += tensor.nbytes
        try:
            return self.link.group.recv([tensor], peer, self._tag)
        except RuntimeError as error:
            raise self._failure(peer, error) from error

    def exchange(self, sends: Sequence[tuple[Tensor, int]], receives: Sequence[tuple[Tensor, int]]) -> None:
        """Sends and receives all at once, as NCCL needs it, and waits."""
        ranks = dist.get_process_group_ranks(self.link.group)
        ops = [dist.P2POp(dist.isend, t, ranks[peer], self.link.group, self._tag) for t, peer in sends]
        ops += [dist.P2POp(dist.irecv, t, ranks[peer], self.link.group, self._tag) for t, peer in receives]
        self.bytes_sent += sum(t.nbytes for t, _ in sends)
        self.bytes_received += sum(t.nbytes for t, _ in receives)
        if ops:
            peer = (receives or sends)[0][1]
            try:
                works = dist.batch_isend_irecv(ops)
            except RuntimeError as error:
                raise self._failure(peer, error) from error
            for work in works:
                self.wait(work, peer)

    def wait(self, work: Any, peer: int) -> None:
        """Returns when a message has left or arrived.

        Raises:
            RankFailure: the connection is lost, or the deadline has passed.
        """
        left = self.started + self._timeout - self._grace - time.perf_counter()
        try:
            work.wait(timedelta(seconds=max(left, 0.001)))
        except RuntimeError as error:
            raise self._failure(peer, error) from error

    def _failure(self, peer: int, error: RuntimeError) -> RankFailure:
        """An error of the transport as one that names the rank."""
        lost = "imed out" not in str(error)
        culprit = self.link.culprit(peer, 0.1 if lost else self._grace)
        self.link.hang_up()
        what = "is gone" if lost else f"has not answered within {self._timeout:g} s"
        through = "" if culprit == peer else f" (rank {peer}, of which word came, waited for it)"
        return RankFailure(
            f"{self.operation} number {self.sequence} ({self.algorithm}) on rank {self.link.rank}: "
            f"rank {culprit} {what}{through}",
            culprit,
        )

    def record(self, total: int, steps: int) -> Record:
        """Notes the end of the call, and returns its record."""
        record = Record(
            self.sequence,
            self.operation,
            self.algorithm,
            total,
            steps,
            self.bytes_sent,
            self.bytes_received,
            self.started,
            time.perf_counter() - self.started,
        )
        self.link.records.append(record)
        return record


class Link:
    """A rank's end of a process group.

    Args:
        group: a group of torch.distributed that this process belongs to.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group, self.rank, self.size = group, group.rank(), group.size()
        self.batched = group.name() == "nccl"  # Its messages must be started together.
        self.debug = False
        """Whether to check that ranks agree on a call, and to poison receive buffers after use."""
        self.records: deque[Record] = deque(maxlen=_KEPT_RECORDS)
        self._sequence = 0
        self._lock = threading.Lock()
        self._local = threading.local()
        self._pool: ThreadPoolExecutor | None = None

    def call(self, operation: str, algorithm: str, timeout: float | None = None) -> Call:
        """The next operation. All ranks must make the same calls in the same order."""
        with self._lock:
            self._sequence += 1
            sequence = self._sequence
        return Call(self, operation, algorithm, sequence, DEFAULT_TIMEOUT if timeout is None else timeout)

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads for asynchronous calls; the oldest unfinished call always has one."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_LANES, thread_name_prefix="collectives")
        return self._pool

    def buffers(self, count: int, length: int, like: Tensor) -> list[Tensor]:
        """Receive buffers of this thread, kept from call to call: new memory costs more than filling it."""
        needed = length * like.element_size()
        stride = -(-needed // _ALIGNMENT) * _ALIGNMENT
        held: Tensor | None = getattr(self._local, "buffers", None)
        if held is None or held.numel() < count * stride or held.device != like.device:
            held = self._local.buffers = torch.empty(count * stride, dtype=torch.uint8, device=like.device)
        return [held[i * stride : i * stride + needed].view(like.dtype) for i in range(count)]

    def hang_up(self) -> None:
        """Closes the connections, so that others learn at once and not at their own time-outs."""
        if self.batched:
            self.group.abort()
            return
        for peer in range(self.size):  # gloo closes a connection when a wait on it has timed out.
            if peer != self.rank:
                with contextlib.suppress(RuntimeError):
                    nothing = self.group.recv([torch.empty(1)], peer, _NO_TAG)
                    nothing.wait(timedelta(milliseconds=1))

    def culprit(self, peer: int, patience: float) -> int:
        """The rank at the end of the chain of those who wait for each other, beginning with `peer`.

        Args:
            peer: whom this rank waited for; left as word to others.
            patience: seconds to wait for word from others.
        """
        store = getattr(self.group, "get_group_store", lambda: None)()
        if store is None:
            return peer
        end = time.monotonic() + patience
        with contextlib.suppress(RuntimeError):  # The store may have gone with its rank.
            store.set(_word(self.rank), str(peer))
            while True:
                chain = [peer]
                while store.check([_word(chain[-1])]) and chain.count(chain[-1]) == 1:
                    chain.append(int(store.get(_word(chain[-1]))))
                if chain.count(chain[-1]) == 1 and time.monotonic() > end:
                    return chain[-1]
                if time.monotonic() > end:  # They wait for each other: nobody is gone.
                    return peer
                time.sleep(0.02)
        return peer


def _word(rank: int) -> str:
    return f"assay/waits/{rank}"


_links: "WeakKeyDictionary[dist.ProcessGroup, Link]" = WeakKeyDictionary()


def link_of(group: dist.ProcessGroup | None = None) -> Link:
    """The link of a process group, or of the default one; always the same.

    Raises:
        RuntimeError: torch.distributed has not been initialised.
    """
    if not dist.is_initialized():
        raise RuntimeError("expected an initialised torch.distributed: call init_process_group first")
    found = group if group is not None else dist.group.WORLD
    assert found is not None
    if found not in _links:
        _links[found] = Link(found)
    return _links[found]
