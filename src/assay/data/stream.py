"""Streams: source, map, filter, shuffle, batch, prefetch; lazy, with bounded memory, resumed exactly.

A stage is iterated once per epoch and goes on where it is: its state is what its consumer has received, not
what it has taken from the stage before. `state_dict()` can be asked for after any item, is JSON, and
`load_state_dict()` of it in another process gives exactly the items that would have come next.

    stream = Stream.of(TarShards("shards")).map(load, seed=1).shuffle(1000, seed=1).batch(64).prefetch(2)
    for batch in stream: ...
"""

import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from assay.data.sources import Ordered, Source
from assay.data.workers import Workers, ordered_map

State = dict[str, Any]


class Stream(ABC):
    """A stage, and all stages before it."""

    @abstractmethod
    def __iter__(self) -> Iterator[Any]:
        """The rest of the epoch; afterwards the stream stands at the beginning of the next one."""

    @abstractmethod
    def state_dict(self) -> State:
        """What has been received, as JSON values."""

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Goes to where `state_dict` was asked for; the stages must be the same."""

    @staticmethod
    def of(
        source: Source | Sequence[Any] | np.ndarray, *, rank: int = 0, world: int = 1, seed: int | None = None
    ) -> "Stream":
        """The items of a source.

        Args:
            source: a `Source`, or anything with a length and positions, such as an array.
            rank, world: this process among how many; each gets every `world`-th item, in one order for all.
            seed: for a sequence, a new order in every epoch.
        """
        if not 0 <= rank < world:
            raise ValueError(f"expected a rank from 0 to {world - 1}, got {rank}")
        if not isinstance(source, Source):
            source = Ordered(source, seed)
        elif seed is not None:
            raise ValueError("expected a seed only for a sequence: a source has an order of its own")
        return _FromSource(source, rank, world)

    def map(
        self,
        function: Callable[..., Any],
        *,
        workers: Workers = 0,
        window: int | None = None,
        seed: int | None = None,
        name: str = "map",
    ) -> "Stream":
        """`function(item)` for every item, or with a seed `function(item, generator)`; see `ordered_map`.

        The generator is seeded with the seed, the epoch and the item's number in it.
        """
        return _Map(self, function, workers, window, seed, name)

    def filter(self, predicate: Callable[[Any], bool]) -> "Stream":
        """The items for which the predicate holds."""
        return _Filter(self, predicate)

    def shuffle(self, buffer: int, *, seed: int) -> "Stream":
        """The items in another order: each is drawn from the next `buffer` that have not come yet.

        The state holds where the items of the buffer come from, not the items; they are read again.
        """
        return _Shuffle(self, buffer, seed)

    def batch(
        self, size: int, *, drop_last: bool = False, collate: Callable[[list[Any]], Any] | None = None
    ) -> "Stream":
        """Lists of `size` items, made one by `collate` (`stack` by default), not across an epoch's end."""
        return _Batch(self, size, drop_last, collate or stack)

    def prefetch(self, depth: int = 2) -> "Stream":
        """The same items, up to `depth` of them made ready by a thread while the consumer works."""
        return _Prefetch(self, depth)


def stack(items: list[Any]) -> Any:
    """Items as one: arrays and numbers stacked, tuples place by place, and anything else as a list."""
    first = items[0]
    if isinstance(first, tuple):
        return tuple(stack(list(column)) for column in zip(*items, strict=True))
    if isinstance(first, (np.ndarray, np.generic, int, float)):
        return np.stack([np.asarray(item) for item in items])
    return items


class _FromSource(Stream):
    def __init__(self, source: Source, rank: int, world: int) -> None:
        self._source, self._rank, self._world = source, rank, world
        self._epoch = self._position = 0

    def __iter__(self) -> Iterator[Any]:
        start = self._rank + self._position * self._world
        items = self._source.items(self._epoch, start, self._world)
        try:
            for item in items:
                self._position += 1
                if item is not None:
                    yield item
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
        self._epoch, self._position = self._epoch + 1, 0

    def state_dict(self) -> State:
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: State) -> None:
        self._epoch, self._position = state["epoch"], state["position"]


class _Stage(Stream):
    """A stage that may have taken more from the one before than its consumer has received of it."""

    def __init__(self, upstream: Stream) -> None:
        self._upstream = upstream
        self._received: State | None = None  # Of the stage before, as far as it is received; None: all of it.

    def _resumed(self) -> "closing[Any]":
        """The iterator of the stage before, from what is received on."""
        if self._received is not None:
            self._upstream.load_state_dict(self._received)
        return closing(iter(self._upstream))  # pyright: ignore[reportArgumentType]

    def state_dict(self) -> State:
        received = self._upstream.state_dict() if self._received is None else self._received
        return {"upstream": received}

    def load_state_dict(self, state: State) -> None:
        self._received = state["upstream"]
        self._upstream.load_state_dict(state["upstream"])


class _Filter(_Stage):
    def __init__(self, upstream: Stream, predicate: Callable[[Any], bool]) -> None:
        super().__init__(upstream)
        self._predicate = predicate

    def __iter__(self) -> Iterator[Any]:
        with self._resumed() as items:
            self._received = None
            yield from (item for item in items if self._predicate(item))


class _Map(_Stage):
    def __init__(
        self,
        upstream: Stream,
        function: Callable[..., Any],
        workers: Workers,
        window: int | None,
        seed: int | None,
        name: str,
    ) -> None:
        super().__init__(upstream)
        self._function, self._seed = function, seed
        self._how: dict[str, Any] = {"workers": workers, "window": window, "name": name}
        self._epoch = self._count = 0

    def __iter__(self) -> Iterator[Any]:
        states: deque[State] = deque()  # Of the stage before, after each item under way.

        def noted(items: Iterator[Any]) -> Iterator[Any]:
            for item in items:
                states.append(self._upstream.state_dict())
                yield item

        seed = None if self._seed is None else (self._seed, self._epoch)
        with self._resumed() as items:
            mapped = ordered_map(self._function, noted(items), seed=seed, start=self._count, **self._how)
            with closing(mapped):
                for result in mapped:
                    self._received = states.popleft()
                    self._count += 1
                    yield result
        self._received, self._epoch, self._count = None, self._epoch + 1, 0

    def state_dict(self) -> State:
        return {**super().state_dict(), "epoch": self._epoch, "count": self._count}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._epoch, self._count = state["epoch"], state["count"]


class _Shuffle(_Stage):
    def __init__(self, upstream: Stream, buffer: int, seed: int) -> None:
        if buffer < 1:
            raise ValueError(f"expected a buffer of at least 1, got {buffer}")
        super().__init__(upstream)
        self._size, self._seed = buffer, seed
        self._start_epoch(0)

    def _start_epoch(self, epoch: int) -> None:
        self._epoch, self._rng = epoch, np.random.default_rng([self._seed, epoch])
        self._items: list[Any] = []
        self._origins: list[tuple[int, State]] = []  # Of each: its number, and the state just before it.
        self._arrived, self._more = 0, True
        self._stale = False  # Whether the items are still to be read again, after a state was loaded.

    def __iter__(self) -> Iterator[Any]:
        if self._stale:
            self._read_again()
        with self._resumed() as items:
            self._received = None
            while True:
                while self._more and len(self._items) < self._size:
                    before = self._upstream.state_dict()
                    try:
                        item = next(items)
                    except StopIteration:
                        self._more = False
                        break
                    self._items.append(item)
                    self._origins.append((self._arrived, before))
                    self._arrived += 1
                if not self._items:
                    break
                place = int(self._rng.integers(len(self._items)))
                drawn = self._items[place]
                for pool in (self._items, self._origins):
                    pool[place] = pool[-1]
                    pool.pop()
                self._received = self._upstream.state_dict()
                yield drawn
        self._received = None
        self._start_epoch(self._epoch + 1)

    def _read_again(self) -> None:
        """The items of the buffer, in the order in which they came, which mostly is one after the other."""
        read: dict[int, Any] = {}
        items: Any = None
        for number, before in sorted(self._origins, key=lambda origin: origin[0]):
            if items is None or self._upstream.state_dict() != before:
                if items is not None:
                    items.close()
                self._upstream.load_state_dict(before)
                items = iter(self._upstream)
            read[number] = next(items)
        if items is not None:
            items.close()
        self._items = [read[number] for number, _ in self._origins]
        self._stale = False

    def state_dict(self) -> State:
        return {
            **super().state_dict(),
            "epoch": self._epoch,
            "buffer": list(self._origins),
            "arrived": self._arrived,
            "more": self._more,
            "generator": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._start_epoch(state["epoch"])
        self._rng.bit_generator.state = state["generator"]
        self._origins = [(number, before) for number, before in state["buffer"]]
        self._arrived, self._more, self._stale = state["arrived"], state["more"], True


class _Batch(_Stage):
    def __init__(
        self, upstream: Stream, size: int, drop_last: bool, collate: Callable[[list[Any]], Any]
    ) -> None:
        if size < 1:
            raise ValueError(f"expected a batch of at least 1, got {size}")
        super().__init__(upstream)
        self._size, self._drop_last, self._collate = size, drop_last, collate
        self._ended = False  # Whether the stage before has ended, and this one is about to.

    def __iter__(self) -> Iterator[Any]:
        if self._ended:
            self._ended = False
            return
        batch: list[Any] = []
        with self._resumed() as items:
            for item in items:
                batch.append(item)
                if len(batch) == self._size:
                    self._received = self._upstream.state_dict()
                    yield self._collate(batch)
                    batch = []
        self._received = None
        if batch and not self._drop_last:
            self._ended = True
            yield self._collate(batch)
            self._ended = False

    def state_dict(self) -> State:
        return {**super().state_dict(), "ended": self._ended}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self._ended = state["ended"]


class _Prefetch(_Stage):
    def __init__(self, upstream: Stream, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"expected a depth of at least 1, got {depth}")
        super().__init__(upstream)
        self._depth = depth

    def __iter__(self) -> Iterator[Any]:
        ready: queue.Queue[tuple[str, Any, State | None]] = queue.Queue(self._depth)
        stopped = threading.Event()
        items = self._resumed()

        def put(kind: str, value: Any, state: State | None) -> None:
            while not stopped.is_set():
                try:
                    return ready.put((kind, value, state), timeout=0.1)
                except queue.Full:
                    continue

        def work() -> None:
            try:
                with items as upstream:
                    for item in upstream:
                        put("item", item, self._upstream.state_dict())
                        if stopped.is_set():
                            return
                put("end", None, None)
            except BaseException as error:
                put("error", error, None)

        thread = threading.Thread(target=work, name="prefetch", daemon=True)
        if self._received is None:
            self._received = self._upstream.state_dict()
        thread.start()
        try:
            while True:
                kind, value, state = ready.get()
                if kind == "error":
                    raise value
                if kind == "end":
                    break
                self._received = state
                yield value
        finally:
            stopped.set()
            thread.join()
        self._received = None
