import numpy as np
import pytest
from collective_worlds import ALGORITHMS, drawn, interpret, lengths, replay

from assay.collectives.program import AHEAD, Receive, Send, program
from assay.collectives.ring import Ring
from assay.collectives.schedule import elements_sent, step


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("n", range(2, 8))
def test_gives_what_the_steps_give_in_whatever_order_ranks_run(name, n):
    algorithm = ALGORITHMS[name]
    rng = np.random.default_rng(n)
    for operation in ("all_reduce", "broadcast", "reduce"):
        for length in lengths(n):
            arrays = drawn(n, length)
            schedule = algorithm.steps(operation, n, length)
            expected = replay(schedule, arrays)
            for segment in (None, 1, 2):
                programs = [program(schedule, r, segment) for r in range(n)]
                for result, wanted in zip(interpret(programs, arrays, rng), expected, strict=True):
                    assert np.array_equal(result, wanted)


def test_sends_every_element_of_the_schedule_once():
    schedule = Ring().steps("all_reduce", 3, 11)
    for rank, wanted in enumerate(elements_sent(schedule, 3)):
        for segment in (None, 1, 4):
            ops = program(schedule, rank, segment)
            assert sum(op.stop - op.start for op in ops if isinstance(op, Send)) == wanted


def test_passes_a_segment_on_before_the_next_arrives():
    ops = program(Ring().steps("all_reduce", 2, 8), 0, 1)
    kinds = "".join("s" if isinstance(op, Send) else "r" for op in ops)
    assert kinds == "ssss" + "rs" * 4 + "rrrr"
    longer = program(Ring().steps("all_reduce", 2, 20), 0, 1)
    kinds = "".join("s" if isinstance(op, Send) else "r" for op in longer)
    assert kinds == "ssss" + "rs" * 16 + "rrrr"


def test_a_receive_names_the_sends_that_must_have_left():
    schedule = (step(0, 1, 0, 4, reduce=False), step(1, 0, 2, 6, reduce=False))
    ops = program(schedule, 0, 2)
    assert [op for op in ops if isinstance(op, Receive)] == [
        Receive(1, 2, 4, False, (1,), after=1),
        Receive(1, 4, 6, False, ()),
    ]


def test_what_replaces_is_not_awaited_before_what_is_combined_there_has_come():
    schedule = (step(1, 0, 0, 4, reduce=True), step(1, 0, 2, 6, reduce=False))
    assert program(schedule, 0, None) == (Receive(1, 0, 4, True), Receive(1, 2, 6, False, (), after=0))


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_no_more_than_a_few_segments_leave_ahead_of_what_arrives(ranks):
    ops = program(Ring().steps("all_reduce", ranks, 20 * ranks), 0, 1)
    ahead = np.cumsum([1 if isinstance(op, Send) else -1 for op in ops])
    assert ahead.max() == AHEAD


def test_a_rank_that_only_passes_on_does_not_wait_for_the_end():
    kinds = [type(op).__name__ for op in program(Ring().steps("broadcast", 3, 8), 1, 1)]
    assert kinds == ["Receive", "Send"] * 8


def test_a_send_does_not_overtake_an_earlier_one():
    waits = (step(1, 0, 0, 1, reduce=False), step(0, 2, 0, 1, reduce=False), step(0, 2, 5, 6, reduce=False))
    assert [type(op).__name__ for op in program(waits, 0, None)] == ["Receive", "Send", "Send"]


def test_nothing_is_sent_of_nothing():
    assert program(Ring().steps("all_reduce", 3, 0), 1, 4) == ()
