import gc
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from assay.data.sources import Iterated
from assay.data.stream import Stream, stack
from assay.data.workers import WorkerError


def tagged(item, rng):
    return item, int(rng.integers(1_000_000))


def tripled(item):
    return 3 * item


def even(item):
    return item % 2 == 0


def numbers(epoch):
    return iter(range(100 * epoch, 100 * epoch + 23))


class Holes:
    """A source in which some items are left out."""

    def items(self, epoch, start, step=1):
        return (None if i % 5 == 1 else 1000 * epoch + i for i in range(start, 23, step))


BUILD: dict[str, Callable[[], Stream]] = {
    "source": lambda: Stream.of(range(23)),
    "sequence in new orders": lambda: Stream.of(np.arange(23), seed=1),
    "iterated": lambda: Stream.of(Iterated(numbers)),
    "holes": lambda: Stream.of(Holes()),
    "ranked": lambda: Stream.of(Holes(), rank=1, world=3),
    "map": lambda: Stream.of(range(23)).map(tripled),
    "map with a seed": lambda: Stream.of(range(23)).map(tagged, seed=5),
    "map by threads": lambda: Stream.of(range(23)).map(tagged, seed=5, workers=("thread", 3)),
    "filter": lambda: Stream.of(range(23)).filter(even),
    "shuffle": lambda: Stream.of(range(23)).shuffle(6, seed=2),
    "shuffle of all": lambda: Stream.of(Holes()).shuffle(100, seed=2),
    "shuffle of one": lambda: Stream.of(range(23)).shuffle(1, seed=2),
    "batch": lambda: Stream.of(range(23)).batch(4, collate=list),
    "batch without the rest": lambda: Stream.of(range(23)).batch(4, drop_last=True, collate=list),
    "batch that fits": lambda: Stream.of(range(24)).batch(4, collate=list),
    "prefetch": lambda: Stream.of(range(23)).prefetch(3),
    "all": lambda: (
        Stream.of(Holes())
        .map(tagged, seed=5, workers=("thread", 2))
        .shuffle(7, seed=2)
        .filter(lambda item: item[0] % 7 != 3)
        .batch(3, collate=list)
        .prefetch(2)
    ),
    "batches shuffled and mapped": lambda: (
        Stream.of(range(23)).batch(3, collate=list).shuffle(3, seed=4).prefetch(1).map(tripled)
    ),
    "shuffled twice": lambda: Stream.of(range(23)).shuffle(5, seed=1).shuffle(4, seed=2),
}
EPOCHS = 2


def run(stream: Stream) -> list:
    """The items of two epochs, each with the state after it and the epoch."""
    return [(epoch, item, stream.state_dict()) for epoch in range(EPOCHS) for item in stream]


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
class TestResume:
    def test_from_every_item_on_it_is_the_rest_of_the_plain_run(self, build):
        plain = run(build())
        for place, (epoch, _, state) in enumerate(plain):
            resumed = build()
            resumed.load_state_dict(json.loads(json.dumps(state)))
            rest = [(e, item) for e in range(epoch, EPOCHS) for item in resumed]
            assert rest == [(e, item) for e, item, _ in plain[place + 1 :]], f"after item {place}"

    def test_before_the_first_item_and_between_epochs(self, build):
        plain = run(build())
        stream = build()
        start = stream.state_dict()
        first = list(stream)
        between = stream.state_dict()
        for state, epochs in ((start, EPOCHS), (between, EPOCHS - 1)):
            resumed = build()
            resumed.load_state_dict(state)
            items = [item for _ in range(epochs) for item in resumed]
            assert items == [item for _, item, _ in plain][0 if epochs == EPOCHS else len(first) :]

    def test_resumed_again_and_again(self, build):
        """Every third item in a stream of its own: nothing drifts."""
        plain = [item for _, item, _ in run(build())]
        items, state = [], build().state_dict()
        while len(items) < len(plain):
            stream = build()
            stream.load_state_dict(state)
            items += itertools.islice(stream, 3)
            state = stream.state_dict()
        assert items[: len(plain)] == plain

    def test_a_loop_that_is_left_goes_on_where_it_was(self, build):
        plain = list(build())
        stream, items = build(), []
        for _ in range(3):
            for item in stream:
                items.append(item)
                break
        assert [*items, *stream] == plain

    def test_a_state_can_be_loaded_backwards(self, build):
        stream = build()
        start = stream.state_dict()
        first = list(stream)
        stream.load_state_dict(start)
        assert list(stream) == first


class TestStages:
    def test_shuffle_gives_all_items_not_far_from_their_place(self):
        stream = Stream.of(range(500)).shuffle(20, seed=3)
        first, second = list(stream), list(stream)
        for order in (first, second):
            assert sorted(order) == list(range(500))
            assert all(item <= place + 19 for place, item in enumerate(order))
        assert first != second
        assert first != list(range(500))

    def test_shuffle_is_the_textbook_procedure(self):
        """Against a buffer kept as a plain list, with draws from a generator of the same seed."""
        for epoch in range(2):
            stream = Stream.of(range(40)).shuffle(7, seed=9)
            for _ in range(epoch):
                list(stream)
            rng, buffer, expected = np.random.default_rng([9, epoch]), [], []
            waiting = list(range(40))
            while buffer or waiting:
                while waiting and len(buffer) < 7:
                    buffer.append(waiting.pop(0))
                place = int(rng.integers(len(buffer)))
                expected.append(buffer[place])
                buffer[place] = buffer[-1]
                buffer.pop()
            assert list(stream) == expected

    def test_first_items_of_a_hundred_epochs_differ(self):
        stream = Stream.of(range(30)).shuffle(30, seed=0)
        orders = {tuple(stream) for _ in range(100)}
        assert len(orders) == 100

    def test_ranks_together_are_the_epoch(self):
        for world in (1, 2, 3, 5):
            parts = [list(Stream.of(range(23), seed=8, rank=rank, world=world)) for rank in range(world)]
            assert sorted(itertools.chain(*parts)) == list(range(23))
        streams = [Stream.of(range(8), seed=8, rank=rank, world=2) for rank in range(2)]
        for _ in range(3):
            assert sorted(itertools.chain(*streams)) == list(range(8))

    def test_a_map_draws_by_epoch_and_item(self):
        stream = Stream.of(range(5)).map(tagged, seed=7)
        for epoch in range(2):
            expected = [(i, int(np.random.default_rng([7, epoch, i]).integers(1_000_000))) for i in range(5)]
            assert list(stream) == expected

    @pytest.mark.parametrize("workers", [("thread", 1), ("thread", 4), ("process", 2)])
    def test_a_map_is_the_same_with_any_workers(self, workers):
        plain = Stream.of(range(30)).map(tagged, seed=1)
        other = Stream.of(range(30)).map(tagged, seed=1, workers=workers)
        assert [list(plain), list(plain)] == [list(other), list(other)]

    def test_batches_do_not_cross_epochs(self):
        stream = Stream.of(range(10)).batch(4, collate=list)
        assert list(stream) == list(stream) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert list(Stream.of(range(10)).batch(4, drop_last=True, collate=list)) == [
            [0, 1, 2, 3],
            [4, 5, 6, 7],
        ]
        assert list(Stream.of([]).batch(4)) == []

    def test_stack(self):
        batch = stack([(np.zeros(3), 1, "a", b"x"), (np.ones(3), 2, "b", b"y")])
        np.testing.assert_array_equal(batch[0], [[0, 0, 0], [1, 1, 1]])
        np.testing.assert_array_equal(batch[1], [1, 2])
        assert batch[2:] == (["a", "b"], [b"x", b"y"])

    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda: Stream.of([1]).shuffle(0, seed=1), "buffer of at least 1, got 0"),
            (lambda: Stream.of([1]).batch(0), "batch of at least 1, got 0"),
            (lambda: Stream.of([1]).prefetch(0), "depth of at least 1, got 0"),
            (lambda: Stream.of([1], rank=2, world=2), "rank from 0 to 1, got 2"),
            (lambda: Stream.of(Holes(), seed=1), "seed only for a sequence"),
        ],
    )
    def test_arguments(self, build, message):
        with pytest.raises(ValueError, match=message):
            build()


class TestBounds:
    def test_a_fast_source_waits_for_a_slow_consumer(self):
        taken = []

        def items(epoch):
            for i in range(60):
                taken.append(i)
                yield i

        stream = Stream.of(Iterated(items)).shuffle(5, seed=1).batch(2).prefetch(3)
        for given, _ in enumerate(stream, start=1):
            time.sleep(0.002)
            # Three batches wait, one is in the thread's hand, one has come; five items are in the buffer.
            assert len(taken) <= 2 * (given + 3 + 1) + 5
        assert len(taken) == 60

    MEMORY = """
import resource, sys
import numpy as np
from assay.data.sources import Iterated
from assay.data.stream import Stream

def items(epoch):
    for i in range(int(sys.argv[1])):
        yield i

def load(i, rng):
    return np.full(1000, i % 256, np.uint8), rng.integers(5)

stream = Stream.of(Iterated(items)).shuffle(200, seed=1).map(load, seed=1, workers=("thread", 2))
for batch in stream.batch(50).prefetch(2):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

    def test_peak_memory_does_not_grow_with_the_data(self):
        """Forty times the items; kept, they would be 39 MB more."""

        def peak(count: int) -> int:
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
            command = [sys.executable, "-c", self.MEMORY, str(count)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            return int(done.stdout)

        small, large = peak(1_000), peak(40_000)
        assert large < 1.05 * small


class TestErrors:
    @pytest.mark.parametrize("workers", [0, ("thread", 2)])
    @pytest.mark.parametrize("ahead", [False, True])
    def test_a_failing_function_is_named_with_its_item(self, workers, ahead):
        def fail(item):
            if item == 11:
                raise StopIteration("not the end")
            return item

        stream = Stream.of(range(20)).map(fail, workers=workers, name="crop")
        stream = stream.prefetch(2) if ahead else stream
        items = []
        with pytest.raises(WorkerError, match="crop, item 11: StopIteration: not the end"):
            items.extend(iter(stream))
        for _ in range(2):  # The state is after the last item received, and the error comes again.
            with pytest.raises(WorkerError, match="item 11"):
                next(iter(stream))

    def test_an_error_of_the_source_comes_through_a_thread(self):
        def items(epoch):
            yield 1
            raise OSError("the disk is gone")

        stream = iter(Stream.of(Iterated(items)).prefetch(2))
        assert next(stream) == 1
        with pytest.raises(OSError, match="the disk is gone"):
            next(stream)


class TestEnd:
    def test_leaving_early_a_thousand_times_leaks_nothing(self, tmp_path):
        (tmp_path / "data").write_text("line\n" * 100)

        def lines(epoch):
            with (tmp_path / "data").open() as file:
                yield from file

        stream = Stream.of(Iterated(lines)).map(str.strip, workers=("thread", 1)).batch(2).prefetch(1)
        start = stream.state_dict()
        threads, files = (
            threading.active_count(),
            len(os.listdir("/proc/self/fd")) if Path("/proc").exists() else 0,
        )
        for count in range(1000):
            stream.load_state_dict(start)
            for _ in stream:
                break
            if count % 250 == 0:
                gc.collect()
                assert threading.active_count() == threads
        if files:
            assert len(os.listdir("/proc/self/fd")) == files

    def test_a_thread_that_waits_ends_when_the_consumer_does(self):
        asked: queue.Queue[int] = queue.Queue()

        def items(epoch):
            for i in range(1000):
                asked.put(i)
                yield i

        before = threading.active_count()
        iterator = iter(Stream.of(Iterated(items)).prefetch(2))
        next(iterator)
        iterator.close()  # pyright: ignore[reportAttributeAccessIssue]
        assert threading.active_count() == before
        assert asked.qsize() <= 5
