import random

import numpy as np
import pytest
import torch
import torch.distributed as dist
from collective_worlds import on_ranks
from torch import nn

from assay.collectives.bucketing import GradientBuckets, plan, same_weights
from assay.collectives.link import link_of

ROWS, RANKS, STEPS = 12, 3, 6


def model(seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    made.register_buffer("statistics", torch.full((2,), float(seed)))
    return made


def batch():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.standard_normal((ROWS, 4))), torch.from_numpy(rng.standard_normal((ROWS, 1)))


def loss(net, x, y):
    return (net(x) - y).square().mean()


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()]).tolist()


def gradients(net):
    return torch.cat([p.grad.flatten() for p in net.parameters()]).tolist()


def single(accumulate=1):
    """One process with the whole batch."""
    net, (x, y) = model(), batch()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(STEPS):
        sgd.zero_grad()
        loss(net, x, y).backward()
        sgd.step()
    return weights(net)


def trained(found):
    """Each rank with a third of the batch, from other weights; in two parts; with uneven parts."""
    rank = dist.get_rank()
    x, y = batch()
    mine = slice(rank * ROWS // RANKS, (rank + 1) * ROWS // RANKS)
    uneven = slice((0, 1, 5)[rank], (1, 5, 12)[rank])
    for name in ("even", "late", "accumulated", "uneven", "tiny buckets"):
        net = model(seed=rank)
        size = {"tiny buckets": 1, "accumulated": 200}.get(name, 2**20)
        same_weights(net)
        buckets = GradientBuckets(net.named_parameters(), bucket_bytes=size, overlap=name != "late")
        found.setdefault("buffers", net.statistics.tolist())
        sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        calls = len(link_of().records)
        for _ in range(STEPS):
            sgd.zero_grad(set_to_none=True)
            if name == "accumulated":
                part = mine.start
                with buckets.no_sync():
                    (loss(net, x[part : part + 2], y[part : part + 2]) / 2).backward()
                (loss(net, x[part + 2 : part + 4], y[part + 2 : part + 4]) / 2).backward()
            elif name == "uneven":
                buckets.weight = (uneven.stop - uneven.start) * RANKS / ROWS
                loss(net, x[uneven], y[uneven]).backward()
            else:
                loss(net, x[mine], y[mine]).backward()
            buckets.wait_all()
            sgd.step()
        found[name] = weights(net)
        found[f"{name}: calls"] = [len(link_of().records) - calls, STEPS * len(buckets.names)]
        found[f"{name}: spans"] = [[s.name, s.stop >= s.start] for s in buckets.timeline]
        buckets.remove()


class Branchy(nn.Module):
    """Half of it has no gradient in a step."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
        self.third = nn.Linear(1, 1, bias=False)

    def forward(self, x, second):
        return (self.second if second else self.first)(x).sum()


def unused(found):
    rank = dist.get_rank()
    net = Branchy()
    buckets = GradientBuckets(net.named_parameters(), find_unused=True)
    net(torch.ones(1, 2), second=rank == 0).backward()
    buckets.wait_all()
    found["unused"] = torch.cat([net.first.weight.grad[0], net.second.weight.grad[0]]).tolist()
    found["used nowhere"] = net.third.weight.grad is None
    buckets.remove()
    net.zero_grad()
    strict = GradientBuckets(net.named_parameters())
    net(torch.ones(1, 2), second=True).backward()
    try:
        strict.wait_all()
    except ValueError as error:
        found["missing"] = str(error)


def shuffled(found):
    """Gradients that come in another order on each rank."""
    dawdling = random.Random(dist.get_rank())
    parameters = [nn.Parameter(torch.zeros(3)) for _ in range(5)]
    net = nn.ParameterList(parameters)
    buckets = GradientBuckets(net.named_parameters(), bucket_bytes=12)
    order = list(range(5))
    dawdling.shuffle(order)
    for index in order:
        (parameters[index] * (index + dist.get_rank())).sum().backward()
    buckets.wait_all()
    found["order"] = order
    found["shuffled"] = [p.grad.tolist() for p in parameters]


def mixed(found):
    """Parameters of two types, and one that does not learn."""
    net = nn.ParameterDict({"a": torch.zeros(2), "b": torch.zeros(2).double(), "c": torch.zeros(2)})
    net["c"].requires_grad_(False)
    buckets = GradientBuckets(net.named_parameters())
    (net["a"].sum() * dist.get_rank() + net["b"].sum()).backward()
    buckets.wait_all()
    found["mixed"] = [buckets.names, net["a"].grad.tolist(), net["b"].grad.tolist()]


def everything():
    found = {}
    for part in (trained, unused, shuffled, mixed):
        part(found)
    return found


@pytest.fixture(scope="module")
def told():
    return on_ranks([RANKS], everything)[RANKS]


class TestPlan:
    def test_fills_buckets_from_the_last_tensor_on(self):
        assert plan([4, 4, 4, 4], 8) == [[3, 2], [1, 0]]
        assert plan([4, 4, 4], 8) == [[2, 1], [0]]

    def test_a_large_tensor_is_alone_and_never_cut(self):
        assert plan([3, 100, 3, 3], 8) == [[3, 2], [1], [0]]
        assert plan([1, 1], 0) == [[1], [0]]
        assert plan([], 8) == []

    def test_kinds_do_not_mix(self):
        assert plan([4, 4, 4, 4], 8, ["x", "y", "x", "x"]) == [[3, 2], [1], [0]]

    def test_every_tensor_is_in_one_bucket(self):
        sizes = np.random.default_rng(0).integers(1, 50, 40).tolist()
        found = plan(sizes, 60)
        assert [index for bucket in found for index in bucket] == list(reversed(range(40)))
        assert all(len(b) == 1 or sum(sizes[i] for i in b) <= 60 for b in found)


class TestTraining:
    @pytest.mark.parametrize("name", ["even", "late", "accumulated", "uneven", "tiny buckets"])
    def test_is_that_of_one_process_with_the_whole_batch(self, told, name):
        expected = single()
        for rank in told:
            assert rank[name] == told[0][name]  # To the bit: replicas that drift are found here.
            assert np.allclose(rank[name], expected, rtol=0, atol=1e-10)

    @pytest.mark.parametrize("name", ["even", "late", "accumulated", "uneven", "tiny buckets"])
    def test_sends_each_bucket_once_per_step(self, told, name):
        for rank in told:
            sent, planned = rank[f"{name}: calls"]
            assert sent == planned
            assert [span for span, _ in rank[f"{name}: spans"]] == [
                f"bucket {k}" for k in range(planned // STEPS)
            ]
            assert all(forward for _, forward in rank[f"{name}: spans"])

    def test_buffers_come_from_rank_zero(self, told):
        assert [rank["buffers"] for rank in told] == [[0.0, 0.0]] * RANKS

    def test_parameters_without_gradient(self, told):
        for rank in told:
            assert rank["unused"] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3])
            assert rank["used nowhere"]
            assert "has no gradient in this step; find_unused=True counts it as zero" in rank["missing"]
            assert "'third.weight'" in rank["missing"]

    def test_the_order_of_launch_is_the_order_of_the_buckets(self, told):
        assert len({tuple(rank["order"]) for rank in told}) > 1
        for rank in told:
            assert rank["shuffled"] == [[index + 1.0] * 3 for index in range(5)]

    def test_types_have_buckets_of_their_own(self, told):
        for rank in told:
            assert rank["mixed"] == [[["b"], ["a"]], [1.0, 1.0], [1.0, 1.0]]
