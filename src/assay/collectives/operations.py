"""All-reduce and its relatives, with the names and in-place habits of torch.distributed."""

import functools
import itertools
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from assay.collectives.algorithm import Algorithm, Operation
from assay.collectives.link import Call, Link, Record, link_of
from assay.collectives.program import AHEAD, Program, Receive, Send, program
from assay.collectives.ring_pipelined import RingPipelined
from assay.collectives.schedule import Schedule, steps_taken

Op = Literal["sum", "mean", "max", "min", "product"]
_COMBINE: dict[str, Any] = {
    "sum": torch.add,
    "mean": torch.add,
    "max": torch.maximum,
    "min": torch.minimum,
    "product": torch.mul,
}
DEFAULT = RingPipelined()


class Work:
    """A call that may still be on its way.

    Args:
        future: of its record.
        name: for messages.
    """

    def __init__(self, future: "Future[Record]", name: str) -> None:
        self._future, self._name = future, name

    def wait(self, timeout: float | None = None) -> bool:
        """Returns True when the call has ended.

        Args:
            timeout: seconds to wait for it, or None for as long as the call itself may take.

        Raises:
            RankFailure: a rank is gone.
            TimeoutError: it has not ended in time; it goes on.
        """
        self.record(timeout)
        return True

    def record(self, timeout: float | None = None) -> Record:
        """What the call did; waits like `wait`."""
        try:
            return self._future.result(timeout)
        except FutureTimeout:
            raise TimeoutError(f"{self._name} has not ended after {timeout:g} s") from None

    def is_completed(self) -> bool:
        """Whether it has ended, well or not."""
        return self._future.done()

    def then(self, callback: Any) -> None:
        """Calls `callback` with this work when it has ended."""
        self._future.add_done_callback(lambda future: callback(self))


def all_reduce(
    tensor: Tensor,
    op: Op = "sum",
    group: dist.ProcessGroup | None = None,
    async_op: bool = False,
    *,
    algorithm: Algorithm = DEFAULT,
    timeout: float | None = None,
) -> Work | None:
    """Combines a tensor over all ranks, in place; every rank ends with the same bits.

    Args:
        tensor: contiguous, of the same shape and dtype on all ranks; may be empty.
        op: sum, mean (a sum and one division), max, min or product.
        group: of ranks; None for all.
        async_op: return a handle instead of waiting.
        algorithm: how.
        timeout: seconds, 300 by default.

    Raises:
        ValueError: the tensor is not contiguous, not of numbers, or a mean of integers is asked for.
        RankFailure: a rank did not answer in time, or is gone; the message names it.
    """
    return _start("all_reduce", tensor, op, group, async_op, algorithm, timeout)


def reduce_scatter(
    tensor: Tensor,
    op: Op = "sum",
    group: dist.ProcessGroup | None = None,
    async_op: bool = False,
    *,
    algorithm: Algorithm = DEFAULT,
    timeout: float | None = None,
) -> Work | None:
    """Combines a tensor over all ranks; each ends with its own part of the result in place.

    Which part that is depends on the algorithm: see `owned`. The other parts are scratch. Arguments and
    errors are those of `all_reduce`.
    """
    return _start("reduce_scatter", tensor, op, group, async_op, algorithm, timeout)


def all_gather(
    tensor: Tensor,
    group: dist.ProcessGroup | None = None,
    async_op: bool = False,
    *,
    algorithm: Algorithm = DEFAULT,
    timeout: float | None = None,
) -> Work | None:
    """Gives every rank the parts that the others own, in place; see `owned`. Arguments as of `all_reduce`."""
    return _start("all_gather", tensor, "sum", group, async_op, algorithm, timeout)


def broadcast(
    tensor: Tensor,
    src: int = 0,
    group: dist.ProcessGroup | None = None,
    async_op: bool = False,
    *,
    algorithm: Algorithm = DEFAULT,
    timeout: float | None = None,
) -> Work | None:
    """Gives every rank what rank `src` of the group has, in place. Other arguments as of `all_reduce`."""
    return _start("broadcast", tensor, "sum", group, async_op, algorithm, timeout, src)


def reduce(
    tensor: Tensor,
    dst: int = 0,
    op: Op = "sum",
    group: dist.ProcessGroup | None = None,
    async_op: bool = False,
    *,
    algorithm: Algorithm = DEFAULT,
    timeout: float | None = None,
) -> Work | None:
    """Combines a tensor over all ranks at rank `dst` of the group; elsewhere it becomes scratch.

    Other arguments as of `all_reduce`.
    """
    return _start("reduce", tensor, op, group, async_op, algorithm, timeout, dst)


def barrier(group: dist.ProcessGroup | None = None, *, timeout: float | None = None) -> None:
    """Returns when all ranks have called it."""
    _start("all_reduce", torch.zeros(1, dtype=torch.uint8), "max", group, False, DEFAULT, timeout)


def owned(
    tensor: Tensor, group: dist.ProcessGroup | None = None, *, algorithm: Algorithm = DEFAULT
) -> Tensor:
    """The part of a flat view of `tensor` that this rank owns after `reduce_scatter`."""
    link = link_of(group)
    start, stop = algorithm.owned(link.size, tensor.numel())
    return tensor.view(-1)[int(start[link.rank]) : int(stop[link.rank])]


def _start(
    operation: Operation,
    tensor: Tensor,
    op: Op,
    group: dist.ProcessGroup | None,
    async_op: bool,
    algorithm: Algorithm,
    timeout: float | None,
    root: int = 0,
) -> Work | None:
    _check(tensor, op)
    link = link_of(group)
    if not 0 <= root < link.size:
        raise ValueError(f"expected a rank from 0 to {link.size - 1}, got {root}")
    if link.debug:
        _check_agreement(link, operation, tensor, op)
    call = link.call(operation, type(algorithm).__name__, timeout)
    job = functools.partial(_run, call, algorithm, operation, tensor.detach().view(-1), op, root)
    if not async_op:
        job()
        return None
    return Work(link.pool.submit(job), f"{operation} number {call.sequence}")


def _run(call: Call, algorithm: Algorithm, operation: Operation, flat: Tensor, op: Op, root: int) -> Record:
    call.started = time.perf_counter()  # Waiting for a thread is not part of it.
    link = call.link
    segment = algorithm.segment_bytes and max(1, algorithm.segment_bytes // flat.element_size())
    plan = _plan(algorithm, operation, link.size, link.rank, flat.numel(), root, segment)
    if link.batched:
        _execute_together(plan.schedule, flat, _COMBINE[op], call)
    else:
        _execute(plan.program, flat, _COMBINE[op], call)
    if op == "mean" and operation != "reduce_scatter":
        flat.div_(link.size)
    elif op == "mean":
        start, stop = algorithm.owned(link.size, flat.numel())
        flat[int(start[link.rank]) : int(stop[link.rank])].div_(link.size)
    return call.record(flat.nbytes, plan.steps)


class _Plan:
    """A schedule with this rank's program; made once per shape of call."""

    def __init__(self, schedule: Schedule, steps: int, program: Program) -> None:
        self.schedule, self.steps, self.program = schedule, steps, program


@functools.lru_cache(maxsize=256)
def _plan(
    algorithm: Algorithm,
    operation: Operation,
    ranks: int,
    rank: int,
    length: int,
    root: int,
    segment: int | None,
) -> _Plan:
    schedule = algorithm.steps(operation, ranks, length, root)
    return _Plan(schedule, int(steps_taken(schedule, ranks)[rank]), program(schedule, rank, segment))


def _execute(ops: Program, flat: Tensor, combine: Any, call: Call) -> None:
    """Runs a program, with a few receives posted ahead of the one that is due."""
    combined = [op.stop - op.start for op in ops if isinstance(op, Receive) and op.reduce]
    buffers = itertools.cycle(call.link.buffers(min(AHEAD, len(combined)), max(combined, default=0), flat))
    parts = [flat[op.start : op.stop] for op in ops]
    sending: dict[int, tuple[Any, int]] = {}  # place -> work, peer
    posted: deque[tuple[Any, Tensor]] = deque()  # work, where it arrives
    waiting = deque((place, op) for place, op in enumerate(ops) if isinstance(op, Receive))

    def post(done: int) -> None:
        """Posts receives that may come next, unless something after place `done` still needs theirs."""
        while waiting and len(posted) < AHEAD and waiting[0][1].after <= done:
            place, op = waiting.popleft()
            if op.reduce:
                target = next(buffers)[: op.stop - op.start]
            else:
                leave(op.conflicts)
                target = parts[place]
            posted.append((call.receive(target, op.peer), target))

    def leave(places: Iterable[int]) -> None:
        for place in places:
            if place in sending:
                call.wait(*sending.pop(place))

    post(-1)
    for place, op in enumerate(ops):
        if isinstance(op, Send):
            sending[place] = call.send(parts[place], op.peer), op.peer
        else:
            work, arrived = posted.popleft()
            call.wait(work, op.peer)
            if op.reduce:
                leave(op.conflicts)
                combine(parts[place], arrived, out=parts[place])
                if call.link.debug:
                    _poison(arrived)
        post(place)
    leave(tuple(sending))


def _execute_together(schedule: Schedule, flat: Tensor, combine: Any, call: Call) -> None:
    """Runs a schedule step by step, all messages of a step started together."""
    rank = call.link.rank
    for step in schedule:
        sends = [
            (flat[step.start[row] : step.stop[row]], int(step.target[row]))
            for row in np.flatnonzero((step.source == rank) & (step.sizes > 0))
        ]
        rows = np.flatnonzero((step.target == rank) & (step.sizes > 0))
        kept = [flat[step.start[row] : step.stop[row]] for row in rows]
        arrived = [torch.empty_like(part) for part in kept]
        call.exchange(sends, list(zip(arrived, step.source[rows].tolist(), strict=True)))
        for part, new in zip(kept, arrived, strict=True):
            if step.reduce:
                combine(part, new, out=part)
            else:
                part.copy_(new)


def _check(tensor: Tensor, op: str) -> None:
    if op not in _COMBINE:
        raise ValueError(f"expected one of {', '.join(_COMBINE)} as op, got {op!r}")
    if tensor.dtype == torch.bool or tensor.dtype.is_complex:
        raise ValueError(f"expected a tensor of floats or integers, got {tensor.dtype}")
    if not tensor.is_contiguous():
        raise ValueError(
            f"expected a contiguous tensor, got strides {tensor.stride()} for shape {tuple(tensor.shape)}; "
            "call .contiguous() and copy the result back"
        )
    if op == "mean" and not tensor.dtype.is_floating_point:
        raise ValueError(f"a mean needs floats, got {tensor.dtype}; take the sum and divide it as you wish")


def _check_agreement(link: Link, operation: str, tensor: Tensor, op: str) -> None:
    """Raises a ValueError on every rank if they do not make the same call with the same kind of tensor."""
    mine = f"{operation} {op} of {tensor.dtype} {tuple(tensor.shape)}"
    told: list[Any] = [None] * link.size
    dist.all_gather_object(told, mine, group=link.group)
    if len(set(told)) > 1:
        raise ValueError(f"ranks do not agree: {', '.join(f'rank {r}: {t}' for r, t in enumerate(told))}")


def _poison(buffer: Tensor) -> None:
    """What no sum survives unnoticed, should a buffer be read once more."""
    buffer.fill_(float("nan") if buffer.dtype.is_floating_point else 0x55)
