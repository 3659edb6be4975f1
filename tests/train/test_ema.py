import contextlib

import pytest
import torch
from torch import nn

from assay.train.ema import Ema


def model():
    torch_rng = torch.Generator().manual_seed(0)
    found = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    with torch.no_grad():
        for p in found.parameters():
            p.copy_(torch.randn(p.shape, generator=torch_rng, dtype=p.dtype))
    return found


def change(network, amount):
    with torch.no_grad():
        for p in network.parameters():
            p.add_(amount)


@pytest.mark.parametrize("warm", [True, False])
def test_mean_by_its_definition(warm):
    network = model()
    ema = Ema(network, 0.5, warm=warm)
    expected = None
    for step in range(8):
        change(network, step)
        ema.update()
        decay = min(0.5, (1 + step) / (10 + step)) if warm else 0.5
        weight = network[0].weight.detach().clone()
        expected = weight if expected is None else decay * expected + (1 - decay) * weight
        assert torch.allclose(ema.mean["0.weight"], expected, atol=1e-12, rtol=0)


def test_buffers_are_averaged_and_counters_copied():
    network = model()
    ema = Ema(network, 0.9, warm=False)
    ema.update()
    network.train()(torch.randn(16, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    ema.update()
    new = network[1].running_mean
    assert torch.allclose(ema.mean["1.running_mean"], 0.1 * new)
    assert ema.mean["1.num_batches_tracked"] == 1


def test_is_applied_for_a_block_also_if_it_fails():
    network = model()
    ema = Ema(network, 0.9)
    ema.update()
    first = network[0].weight.detach().clone()
    change(network, 1.0)
    now = network[0].weight.detach().clone()
    with contextlib.suppress(ZeroDivisionError), ema.applied():
        assert torch.equal(network[0].weight, first)
        raise ZeroDivisionError
    assert torch.equal(network[0].weight, now)
    ema.copy_to_model()
    assert torch.equal(network[0].weight, first)
    change(network, 1.0)
    assert torch.equal(ema.mean["0.weight"], first)


def test_goes_on_from_its_state():
    network = model()
    one = Ema(network, 0.7)
    one.update()
    two = Ema(network, 0.7)
    two.load_state_dict({"updates": one.updates, "mean": {k: v.clone() for k, v in one.mean.items()}})
    change(network, 2.0)
    one.update()
    two.update()
    assert all(torch.equal(one.mean[name], two.mean[name]) for name in one.mean)
    assert one.state_dict()["updates"] == two.updates == 2


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"expected decay in \[0, 1\), got 1\.0"):
        Ema(model(), 1.0)
    with pytest.raises(RuntimeError, match="expected an update before"):
        Ema(model()).copy_to_model()
