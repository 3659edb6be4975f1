import random
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.distributed as dist
from collective_worlds import ALGORITHMS, drawn, lengths, on_ranks, replay

from assay.collectives import operations as ops
from assay.collectives.link import Call, link_of
from assay.collectives.ring import Ring
from assay.collectives.schedule import elements_sent, step, steps_taken
from assay.collectives.tree import Tree

RANKS = (2, 3, 4, 5)
COUNTED = 840  # divisible by every number of ranks


def refused(call):
    """What a call says that must not work."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return "accepted"


def exact(found):
    """Results of all algorithms and lengths that are not bitwise what the schedule gives."""
    rank, n = dist.get_rank(), dist.get_world_size()
    wrong = []
    for name, algorithm in ALGORITHMS.items():
        for length in lengths(n):
            arrays = drawn(n, length)
            mine = torch.from_numpy(arrays[rank])

            def same(operation, tensor, root=0, name=name, algorithm=algorithm, arrays=arrays):
                expected = replay(algorithm.steps(operation, n, len(arrays[0]), root), arrays)[rank]
                if not np.array_equal(tensor.numpy(), expected):
                    wrong.append([name, len(arrays[0]), operation, root])

            x = mine.clone()
            ops.all_reduce(x, algorithm=algorithm)
            same("all_reduce", x)
            y = mine.clone()
            ops.reduce_scatter(y, algorithm=algorithm)
            same("reduce_scatter", y)
            ops.all_gather(y, algorithm=algorithm)
            if not torch.equal(x, y):
                wrong.append([name, length, "all_gather after reduce_scatter"])
            for root in (0, n - 1) if length in (1, 3 * n + 2) else ():
                x = mine.clone()
                ops.broadcast(x, root, algorithm=algorithm)
                same("broadcast", x, root)
                x = mine.clone()
                ops.reduce(x, root, algorithm=algorithm)
                same("reduce", x, root)
    found["wrong"] = wrong


def counted(found):
    """The records of one all-reduce of each algorithm, beside the theory."""
    rank, n = dist.get_rank(), dist.get_world_size()
    for name, algorithm in ALGORITHMS.items():
        ops.all_reduce(torch.ones(COUNTED), algorithm=algorithm)
        record = link_of().records[-1]
        schedule = algorithm.steps("all_reduce", n, COUNTED)
        found[f"record {name}"] = [record.operation, record.algorithm, record.bytes, record.seconds > 0]
        found[f"sent {name}"] = [record.bytes_sent, 4 * int(elements_sent(schedule, n)[rank])]
        found[f"steps {name}"] = [record.steps, int(steps_taken(schedule, n)[rank])]
        found[f"received {name}"] = record.bytes_received


def of_all_kinds(found):
    """Types and operations, beside gloo's."""
    rank, n = dist.get_rank(), dist.get_world_size()
    wrong = []
    for dtype in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"):
        kind = getattr(torch, dtype)
        values = torch.tensor(np.random.default_rng([rank, 5]).integers(1, 4, 33)).to(kind)
        for op, theirs in (("sum", "SUM"), ("max", "MAX"), ("min", "MIN"), ("product", "PRODUCT")):
            ours = values.clone()
            ops.all_reduce(ours, op)
            wide = values.to(torch.float64)
            dist.all_reduce(wide, op=getattr(dist.ReduceOp, theirs))
            if not torch.equal(ours, wide.to(kind)):
                wrong.append([dtype, op])
    mean = torch.arange(7.0) + rank
    ops.all_reduce(mean, "mean")
    part = torch.arange(7.0) + rank
    ops.reduce_scatter(part, "mean")
    wanted = torch.arange(7.0) + (n - 1) / 2
    mine = ops.owned(wanted, algorithm=ops.DEFAULT)
    found["kinds"] = wrong
    found["mean"] = [torch.equal(mean, wanted), torch.allclose(ops.owned(part), mine)]


def refusals(found):
    found["refused"] = {
        "integers": refused(lambda: ops.all_reduce(torch.ones(3, dtype=torch.int32), "mean")),
        "stride": refused(lambda: ops.all_reduce(torch.ones(2, 3).T)),
        "bool": refused(lambda: ops.all_reduce(torch.ones(3, dtype=torch.bool))),
        "op": refused(lambda: ops.all_reduce(torch.ones(3), "average")),
        "root": refused(lambda: ops.broadcast(torch.ones(3), dist.get_world_size())),
    }
    link = link_of()
    link.debug = True
    found["disagree"] = refused(lambda: ops.all_reduce(torch.ones(3 + dist.get_rank())))
    x = torch.ones(5)
    ops.all_reduce(x)
    found["agree"] = x.tolist()
    link.debug = False


def asynchronous(found):
    """Several operations in flight, waited for in another order, of different lengths and algorithms."""
    rank, n = dist.get_rank(), dist.get_world_size()
    tensors = [torch.full((length,), float(rank + 1)) for length in (100_000, 3, 70_000, 1)]
    works = [
        ops.all_reduce(tensor, async_op=True, algorithm=algorithm)
        for tensor, algorithm in zip(tensors, list(ALGORITHMS.values())[:4], strict=True)
    ]
    for work in reversed(works):
        assert work.wait()
        assert work.is_completed()
    total = n * (n + 1) / 2
    found["in flight"] = [bool((tensor == total).all()) for tensor in tensors]
    numbers = [work.record().sequence for work in works]
    found["numbers"] = [b - a for a, b in pairwise(numbers)]
    called = []
    last = ops.broadcast(torch.ones(2), async_op=True)
    last.then(called.append)
    last.wait()
    while not called:
        time.sleep(0.001)
    found["then"] = called == [last]


def delayed(found):
    """Ranks that dawdle at random, with buffers poisoned after use; and a second call with other data."""
    rank, n = dist.get_rank(), dist.get_world_size()
    dawdling = random.Random(rank)
    wait = Call.wait

    def slow(self, work, peer):
        time.sleep(dawdling.random() * 2e-3)
        wait(self, work, peer)

    Call.wait = slow
    link_of().debug = True
    wrong = []
    for name, algorithm in ALGORITHMS.items():
        for seed in (1, 2):
            arrays = drawn(n, 37, seed)
            x = torch.from_numpy(arrays[rank].copy())
            ops.all_reduce(x, algorithm=algorithm)
            if not np.array_equal(x, replay(algorithm.steps("all_reduce", n, 37), arrays)[0]):
                wrong.append([name, seed])
    Call.wait = wait
    link_of().debug = False
    found["delayed"] = wrong


def elsewhere(found):
    """Large messages, views, one group among others, and messages that are started together."""
    rank, n = dist.get_rank(), dist.get_world_size()
    large = torch.full((1_000_003,), float(rank))
    ops.all_reduce(large, algorithm=Ring())  # Far larger than any buffer of a socket.
    found["large"] = bool((large == n * (n - 1) / 2).all())
    whole = torch.zeros(4, 6)
    ops.all_reduce(whole[1:3].add_(1))
    found["view"] = whole.sum(1).tolist() == [0, 6 * n, 6 * n, 0]
    weight = torch.nn.Parameter(torch.ones(2))
    ops.all_reduce(weight)
    found["leaf"] = weight.tolist() == [n, n]
    ops.barrier()
    few = dist.new_group([0, n - 1])
    if rank in (0, n - 1):
        x = torch.tensor([float(rank)])
        ops.all_reduce(x, group=few, algorithm=Tree())
        y = torch.tensor([float(rank)])
        ops.broadcast(y, 1, group=few)
        found["group"] = [float(x), float(y)] == [n - 1, n - 1]
    link_of().batched = True
    together = []
    for name, algorithm in ALGORITHMS.items():
        arrays = drawn(n, 3 * n + 2)
        x = torch.from_numpy(arrays[rank].copy())
        ops.all_reduce(x, algorithm=algorithm)
        if not np.array_equal(x, replay(algorithm.steps("all_reduce", n, 3 * n + 2), arrays)[0]):
            together.append(name)
    link_of().batched = False
    found["together"] = together


@dataclass(frozen=True, kw_only=True)
class Overwrite(Tree):
    """Rank 0 is sent two arrays for one place: the second stays, whichever comes first."""

    tables: ClassVar = {
        "broadcast": lambda n, length: (
            step(1, 0, 0, length, reduce=False),
            step(n - 1, 0, 0, length - 1, reduce=False),
            step(n - 1, 0, length - 1, length, reduce=False),
        )
    }


def in_order(found):
    rank, n = dist.get_rank(), dist.get_world_size()
    if rank == 1:
        time.sleep(0.1)
    x = torch.full((5,), float(rank))
    ops.broadcast(x, algorithm=Overwrite())
    found["in order"] = x.tolist() == ([n - 1] * 5 if rank == 0 else [rank] * 5)


def beside_gloo(found):
    rank = dist.get_rank()
    values = torch.from_numpy(np.random.default_rng(rank).standard_normal(1001))
    ours, theirs = values.clone(), values.clone()
    ops.all_reduce(ours)
    dist.all_reduce(theirs)
    found["sum beside gloo"] = float((ours - theirs).abs().max())
    ops.broadcast(ours, 1)
    dist.broadcast(theirs, 1)
    found["broadcast beside gloo"] = float((ours - theirs).abs().max())
    ours, theirs = values.clone(), values.clone()
    ops.reduce(ours, 1)
    dist.reduce(theirs, 1)
    found["reduce beside gloo"] = float((ours - theirs).abs().max()) if rank == 1 else 0.0


def everything():
    found = {}
    for part in (
        exact,
        counted,
        of_all_kinds,
        refusals,
        asynchronous,
        delayed,
        elsewhere,
        in_order,
        beside_gloo,
    ):
        part(found)
    return found


@pytest.fixture(scope="module")
def told():
    return on_ranks(RANKS, everything)


@pytest.mark.parametrize("n", RANKS)
class TestOnRanks:
    def test_every_rank_has_bitwise_what_the_steps_give(self, told, n):
        assert [rank["wrong"] for rank in told[n]] == [[]] * n

    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_bytes_and_steps_are_those_of_the_theory(self, told, n, name):
        kind = type(ALGORITHMS[name]).__name__
        for rank in told[n]:
            assert rank[f"record {name}"] == ["all_reduce", kind, 4 * COUNTED, True]
            assert rank[f"sent {name}"][0] == rank[f"sent {name}"][1]
            assert rank[f"steps {name}"][0] == rank[f"steps {name}"][1]
        sent = sum(rank[f"sent {name}"][0] for rank in told[n])
        assert sent == sum(rank[f"received {name}"] for rank in told[n])
        if name.startswith("ring"):
            assert {rank[f"sent {name}"][0] for rank in told[n]} == {8 * COUNTED * (n - 1) // n}
            assert {rank[f"steps {name}"][0] for rank in told[n]} == {2 * (n - 1)}

    def test_types_and_operations(self, told, n):
        for rank in told[n]:
            assert rank["kinds"] == []
            assert rank["mean"] == [True, True]

    def test_what_cannot_be_meant_is_refused(self, told, n):
        for rank in told[n]:
            refused = rank["refused"]
            assert refused["integers"].startswith("a mean needs floats, got torch.int32")
            assert "contiguous tensor, got strides (1, 3) for shape (3, 2)" in refused["stride"]
            assert refused["bool"] == "expected a tensor of floats or integers, got torch.bool"
            assert "expected one of sum, mean, max, min, product as op, got 'average'" in refused["op"]
            assert refused["root"] == f"expected a rank from 0 to {n - 1}, got {n}"

    def test_debug_mode_finds_ranks_that_do_not_agree(self, told, n):
        for rank in told[n]:
            assert "ranks do not agree: rank 0: all_reduce sum of torch.float32 (3,)" in rank["disagree"]
            assert f"rank {n - 1}: all_reduce sum of torch.float32 ({n + 2},)" in rank["disagree"]
            assert rank["agree"] == [n] * 5

    def test_several_operations_in_flight(self, told, n):
        for rank in told[n]:
            assert rank["in flight"] == [True] * 4
            assert rank["numbers"] == [1, 1, 1]
            assert rank["then"]

    def test_delays_and_poisoned_buffers_change_nothing(self, told, n):
        assert [rank["delayed"] for rank in told[n]] == [[]] * n

    def test_large_messages_views_groups(self, told, n):
        for number, rank in enumerate(told[n]):
            assert rank["large"]
            assert rank["view"]
            assert rank["leaf"]
            assert rank.get("group", True) is True
            assert ("group" in rank) == (number in (0, n - 1))

    def test_messages_started_together_give_the_same(self, told, n):
        assert [rank["together"] for rank in told[n]] == [[]] * n

    def test_what_comes_early_waits_for_its_turn(self, told, n):
        assert all(rank["in order"] for rank in told[n])

    def test_agrees_with_gloo(self, told, n):
        for rank in told[n]:
            for operation in ("sum", "broadcast", "reduce"):
                assert rank[f"{operation} beside gloo"] < 1e-13


def test_needs_an_initialised_process_group():
    with pytest.raises(RuntimeError, match="call init_process_group first"):
        ops.all_reduce(torch.ones(1))
