import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from assay.data.workers import WorkerError, Workers, ordered_map

KINDS: list[Workers] = [0, ("thread", 1), ("thread", 4), ("process", 2)]


def square(item):
    return item * item


def drawn(item, rng):
    return item, float(rng.random())


def fails_on_five(item):
    if item == 5:
        raise ValueError("five is too much")
    return item


def stops_on_five(item):
    if item == 5:
        raise StopIteration
    return item


def dies_on_five(item):
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def slow_first(item):
    time.sleep(0.2 if item == 0 else 0)
    return item


def threads_of_numpy(item):
    return [os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")]


def a_lock(item):
    return threading.Lock()


def where_it_runs(item):
    return os.getpid(), threading.get_ident()


class TestResults:
    @pytest.mark.parametrize("workers", KINDS)
    def test_they_come_in_order_and_do_not_depend_on_the_workers(self, workers):
        results = list(ordered_map(drawn, range(30), workers=workers, seed=(3, 1)))
        expected = [(i, float(np.random.default_rng([3, 1, i]).random())) for i in range(30)]
        assert results == expected

    @pytest.mark.parametrize("workers", KINDS)
    def test_the_numbering_can_go_on(self, workers):
        later = list(ordered_map(drawn, range(20, 30), workers=workers, seed=(3, 1), start=20))
        assert later == [(i, float(np.random.default_rng([3, 1, i]).random())) for i in range(20, 30)]

    @pytest.mark.parametrize("workers", [("thread", 3), ("process", 2)])
    def test_a_slow_item_keeps_its_place(self, workers):
        assert list(ordered_map(slow_first, range(8), workers=workers)) == list(range(8))

    @pytest.mark.parametrize("workers", KINDS)
    def test_no_items(self, workers):
        assert list(ordered_map(square, [], workers=workers)) == []

    def test_arrays_larger_than_a_pipe(self):
        items = [np.full(300_000, i) for i in range(4)]
        results = list(ordered_map(square, items, workers=("process", 2)))
        for result, item in zip(results, items, strict=True):
            np.testing.assert_array_equal(result, item * item)

    def test_work_is_done_elsewhere_by_all_of_them(self):
        places = set(ordered_map(where_it_runs, range(40), workers=("process", 2)))
        assert len({pid for pid, _ in places}) == 2
        assert os.getpid() not in {pid for pid, _ in places}
        threads = set(ordered_map(where_it_runs, range(40), workers=("thread", 2)))
        assert threading.get_ident() not in {thread for _, thread in threads}

    def test_a_process_has_one_thread_for_products(self):
        before = dict(os.environ)
        assert list(ordered_map(threads_of_numpy, [0], workers=("process", 1))) == [["1", "1"]]
        assert dict(os.environ) == before


class TestMemory:
    @pytest.mark.parametrize("workers", [0, ("thread", 2), ("process", 2)])
    def test_only_so_many_items_are_under_way(self, workers):
        taken = 0

        def items():
            nonlocal taken
            for i in range(200):
                taken += 1
                yield i

        for given, _ in enumerate(ordered_map(square, items(), workers=workers, window=5), start=1):
            assert taken - given <= 5
        assert taken == 200

    def test_a_slow_item_holds_up_the_rest(self):
        taken = []

        def items():
            for i in range(100):
                taken.append(i)
                yield i

        results = ordered_map(slow_first, items(), workers=("process", 2), window=6)
        assert next(results) == 0
        assert len(taken) <= 6
        results.close()


class TestErrors:
    @pytest.mark.parametrize("workers", KINDS)
    @pytest.mark.parametrize("function", [fails_on_five, stops_on_five])
    def test_the_item_is_named_after_all_results_before_it(self, workers, function):
        results = ordered_map(function, range(20), workers=workers, name="decode")
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(WorkerError, match="decode, item 5: ") as caught:
            next(results)
        assert "test_workers.py" in str(caught.value)  # The line in which it failed.
        assert function.__name__ in str(caught.value)

    def test_a_killed_process_is_named_with_its_item(self):
        results = ordered_map(dies_on_five, range(20), workers=("process", 2), name="decode")
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(WorkerError, match=r"decode, item 5: worker [01] \(process \d+\) died of SIGKILL"):
            next(results)

    def test_an_error_of_the_items_comes_through(self):
        def items():
            yield 1
            raise KeyError("gone")

        for workers in KINDS:
            with pytest.raises(KeyError, match="gone"):
                list(ordered_map(square, items(), workers=workers))

    def test_what_cannot_be_sent(self):
        with pytest.raises(TypeError, match="crop: expected a function of a module"):
            list(ordered_map(lambda item: item, [1], workers=("process", 1), name="crop"))
        with pytest.raises(WorkerError, match="item 0: it cannot be sent to a process"):
            list(ordered_map(square, [threading.Lock()], workers=("process", 1)))
        with pytest.raises(WorkerError, match="item 0: its result cannot be sent from a process"):
            list(ordered_map(a_lock, [1], workers=("process", 1)))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"workers": ("fibre", 1)}, "got \\('fibre', 1\\)"),
            ({"workers": ("thread", 0)}, "got \\('thread', 0\\)"),
            ({"workers": ("thread", 1), "window": 0}, "window of at least 1, got 0"),
        ],
    )
    def test_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            ordered_map(square, [1], **options)  # pyright: ignore[reportArgumentType]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to see processes")
class TestEnd:
    def test_leaving_early_ends_threads_and_processes(self):
        before = threading.active_count(), set(children(os.getpid()))
        for workers in (KINDS[2], KINDS[3]):
            results = ordered_map(square, range(1000), workers=workers)
            next(results)
            results.close()
        assert threading.active_count() == before[0]
        assert wait_until(lambda: set(children(os.getpid())) - before[1] <= resource_tracker())

    @pytest.mark.parametrize("kind", ["SIGINT", "SIGKILL"])
    def test_no_orphans(self, tmp_path, kind):
        (tmp_path / "slow.py").write_text("import time\n\ndef slow(item):\n    time.sleep(300)\n")
        script = """
            import signal, sys
            signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background ignores it.
            sys.path.insert(0, sys.argv[1])
            from slow import slow
            from assay.data.workers import ordered_map
            if __name__ == "__main__":
                list(ordered_map(slow, range(10), workers=("process", 2)))
        """
        (tmp_path / "main.py").write_text(textwrap.dedent(script))
        command = [sys.executable, str(tmp_path / "main.py"), str(tmp_path)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert wait_until(lambda: len(children(process.pid)) >= 2)
        workers = children(process.pid)
        time.sleep(0.5)
        process.send_signal(signal.Signals[kind])
        _, output = process.communicate(timeout=30)
        assert process.returncode != 0
        assert ("KeyboardInterrupt" in output) == (kind == "SIGINT")
        assert wait_until(lambda: all(map(gone, workers)))


def resource_tracker() -> set[int]:
    """The process that Python keeps for shared memory; it ends with this one."""
    from multiprocessing import resource_tracker as tracker

    return {getattr(tracker._resource_tracker, "_pid", None) or -1}
