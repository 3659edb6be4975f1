import os
import signal
import time

import pytest
import torch
import torch.distributed as dist

from assay.collectives.ranks import Host, Ranks, run_ranks


def who(word):
    return [word, dist.get_rank(), dist.get_world_size(), os.getpid(), torch.get_num_threads()]


def fails_on_one():
    if dist.get_rank() == 1:
        raise KeyError("lost")
    return dist.get_rank()


def leaves():
    os._exit(3)


def sleeps():
    time.sleep(60)


def test_are_real_processes_in_one_group():
    told = run_ranks(3, who, "hello")
    assert [rank[:3] for rank in told] == [["hello", rank, 3] for rank in range(3)]
    assert len({rank[3] for rank in told} | {os.getpid()}) == 4
    assert {rank[4] for rank in told} == {1}


def test_an_error_names_its_rank():
    with pytest.raises(RuntimeError, match="rank 1: KeyError: 'lost'"):
        run_ranks(2, fails_on_one, timeout=5)


def test_a_rank_that_leaves_or_dies_is_told():
    assert Ranks(1, leaves).join(10)[0].error == "left with exit status 3 and no result"
    ranks = Ranks(1, sleeps)
    ranks.kill(0)
    assert ranks.join(10)[0].signal == signal.SIGKILL


def test_what_does_not_end_is_ended():
    ranks = Ranks(2, sleeps)
    assert [how.signal for how in ranks.join(timeout=1.0)] == [signal.SIGKILL] * 2
    for pid in ranks.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_number_of_ranks_and_hosts_is_checked():
    with pytest.raises(ValueError, match="at least one rank, got 0"):
        Ranks(0, sleeps)
    with pytest.raises(ValueError, match="a host for each of 2 ranks, got 1"):
        Ranks(2, sleeps, hosts=[Host("nowhere", "lo")])


def test_a_namespace_that_is_missing_is_named():
    with pytest.raises(RuntimeError, match="no-such-namespace"):
        run_ranks(1, sleeps, hosts=[Host("no-such-namespace", "lo")])
