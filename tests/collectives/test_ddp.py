import numpy as np
import pytest
import torch
import torch.distributed as dist
from collective_worlds import on_ranks
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from assay.collectives.bucketing import GradientBuckets
from assay.collectives.ddp import ddp_hook
from assay.collectives.link import link_of
from assay.collectives.ring import Ring
from assay.collectives.tree import Tree

RANKS = 2


def gradients(kind):
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(*(nn.Linear(40, 40) for _ in range(4))).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 6)
    x = torch.from_numpy(np.random.default_rng(dist.get_rank()).standard_normal((8, 40)))
    buckets = None
    model = net
    if kind == "buckets":
        buckets = GradientBuckets(net.named_parameters(), bucket_bytes=20_000)
    else:
        model = DistributedDataParallel(net, bucket_cap_mb=0.02)
        if kind == "ring":
            model.register_comm_hook(None, ddp_hook(Ring()))
        if kind == "tree":
            model.register_comm_hook(None, ddp_hook(Tree(segment_bytes=1000), group=dist.group.WORLD))
    for _ in range(3):  # From the second step on DDP has put its buckets in the order of arrival.
        net.zero_grad()
        model(x).square().mean().backward()
        if buckets is not None:
            buckets.wait_all()
    return torch.cat([p.grad.flatten() for p in net.parameters()]).tolist()


def all_kinds():
    found = {}
    for kind in ("torch", "ring", "tree", "buckets"):
        calls = len(link_of().records)
        found[kind] = gradients(kind)
        found[f"{kind}: calls"] = len(link_of().records) - calls
    return found


@pytest.fixture(scope="module")
def told():
    return on_ranks([RANKS], all_kinds)[RANKS]


@pytest.mark.parametrize("kind", ["ring", "tree", "buckets"])
def test_gradients_are_those_of_torchs_own(told, kind):
    for rank in told:
        assert np.allclose(rank[kind], told[0]["torch"], rtol=1e-13, atol=1e-15)
        assert rank[kind] == told[0][kind]


def test_the_hook_was_called_for_several_buckets(told):
    assert told[0]["torch: calls"] == 0
    assert told[0]["ring: calls"] > 3  # More than one in some of the three steps.
    assert told[0]["ring: calls"] == told[0]["tree: calls"]
