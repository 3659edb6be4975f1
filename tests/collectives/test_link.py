import os
import signal
import time

import pytest
import torch
import torch.distributed as dist

from assay.collectives.link import RankFailure, link_of
from assay.collectives.operations import Work, all_reduce, broadcast
from assay.collectives.ranks import Ranks
from assay.collectives.ring import Ring
from assay.collectives.tree import Tree

TIMEOUT = 2.0


def until_it_fails(algorithm, victim, number):
    """Sums until `victim` is hit by a signal, which it sends itself after a few rounds."""
    x = torch.ones(1000)
    for turn in range(10**6):
        if turn == 20 and dist.get_rank() == victim:
            os.kill(os.getpid(), number)
        start = time.monotonic()
        try:
            all_reduce(x, "max", algorithm=algorithm, timeout=TIMEOUT)
        except RankFailure as error:
            return {"rank": error.rank, "message": str(error), "seconds": time.monotonic() - start}
    return None


def survivors(ranks, victim):
    ended = ranks.join(timeout=60)
    return [how for rank, how in enumerate(ended) if rank != victim], ended[victim]


@pytest.mark.parametrize("algorithm", [Ring(), Tree()], ids=["ring", "tree"])
@pytest.mark.parametrize("victim", [0, 2])
class TestDeath:
    def test_every_survivor_names_the_rank_that_was_killed(self, algorithm, victim):
        others, dead = survivors(Ranks(4, until_it_fails, algorithm, victim, signal.SIGKILL), victim)
        assert dead.signal == signal.SIGKILL
        for how in others:
            assert how.value is not None, how
            assert how.value["rank"] == victim
            assert f"rank {victim} is gone" in how.value["message"]
            assert "all_reduce number " in how.value["message"]


def test_a_silent_rank_is_named_within_the_timeout():
    ranks = Ranks(3, until_it_fails, Ring(), 1, signal.SIGSTOP)
    reports = ranks.join(timeout=6)
    assert reports[1].signal == signal.SIGKILL  # Stopped for good, and ended by `join`.
    for how in (reports[0], reports[2]):
        assert how.value["rank"] == 1
        assert how.value["seconds"] <= TIMEOUT + 1.0  # What the timeout allows, and a slow machine.
    assert any(f"rank 1 has not answered within {TIMEOUT:g} s" in reports[r].value["message"] for r in (0, 2))


def handles():
    link = link_of()
    assert link_of(dist.group.WORLD) is link
    work = None
    if dist.get_rank() == 0:
        work = broadcast(torch.ones(3), 1, async_op=True)
        try:
            work.wait(0.05)
        except TimeoutError as error:
            message = str(error)
    dist.barrier()
    if dist.get_rank() == 1:
        work = broadcast(torch.ones(3), 1, async_op=True)
        message = ""
    assert isinstance(work, Work)
    assert work.wait(10)
    failing = all_reduce(torch.ones(2), async_op=True, timeout=0.2) if dist.get_rank() == 0 else None
    failure = ""
    if failing is not None:
        try:
            failing.wait()
        except RankFailure as error:
            failure = str(error)
    time.sleep(0.5)
    return [message, failure, link.size, link.rank, link.batched]


def test_handles_time_out_and_carry_failures():
    ended = Ranks(2, handles).join(timeout=60)
    for message, failure, size, rank, batched in (how.value for how in ended):
        assert (size, batched) == (2, False)
        if rank == 0:
            assert message == "broadcast number 1 has not ended after 0.05 s"
            assert "all_reduce number 2 (RingPipelined) on rank 0: rank 1 has not answered" in failure


def buffers():
    link = link_of()
    like = torch.ones(1)
    first = link.buffers(2, 100, like)
    again = link.buffers(2, 50, like)
    larger = link.buffers(2, 200, like)
    odd = link.buffers(3, 33, torch.ones(1, dtype=torch.uint8))
    for number, buffer in enumerate(odd):
        buffer.fill_(number)
    return [
        [len(buffer) for buffer in first],
        first[0].data_ptr() == again[0].data_ptr(),
        len(again[0]),
        len(larger[1]),
        first[0].data_ptr() != first[1].data_ptr(),
        odd[0].data_ptr() == larger[0].data_ptr(),
        [buffer.tolist() == [number] * 33 for number, buffer in enumerate(odd)],
    ]


def test_receive_buffers_are_kept():
    [ended] = Ranks(1, buffers).join(timeout=60)
    assert ended.value == [[100, 100], True, 50, 200, True, True, [True] * 3]
