import copy

import pytest
import torch
from torch import nn

from assay.train.optimizer_state import OptimizerState
from assay.train.optimizers import adamw, muon


def model(seed=0):
    rng = torch.Generator().manual_seed(seed)
    found = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    with torch.no_grad():
        for p in found.parameters():
            p.copy_(torch.randn(p.shape, generator=rng))
    return found


def step(network, optimizer, seed):
    rng = torch.Generator().manual_seed(seed)
    for p in network.parameters():
        p.grad = torch.randn(p.shape, generator=rng)
    optimizer.step()


@pytest.mark.parametrize("make", [lambda m: adamw(m, 0.1), lambda m: muon(m, 0.1, 0.1)])
def test_goes_on_exactly_even_if_parameters_are_grouped_differently(make):
    first = model()
    one = make(first)
    for seed in range(3):
        step(first, one, seed)
    second = copy.deepcopy(first)
    other = make(second)
    other.param_groups.reverse()
    OptimizerState(other, second).load_state_dict(copy.deepcopy(OptimizerState(one, first).state_dict()))
    for seed in range(3, 6):
        step(first, one, seed)
        step(second, other, seed)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_kernels_that_are_stored_channels_last_go_on_exactly():
    def kernel():
        return nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)

    first, second = kernel(), kernel()
    second.load_state_dict(first.state_dict())
    one, two = adamw(first, 0.1), adamw(second, 0.1)
    step(first, one, 0)
    step(second, two, 0)
    kept = OptimizerState(one, first).state_dict()
    contiguous = {
        name: {key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()}
        for name, state in kept.items()
    }
    OptimizerState(two, second).load_state_dict(contiguous)  # As a file has them.
    for seed in (1, 2):
        step(first, one, seed)
        step(second, two, seed)
    assert torch.equal(first.weight, second.weight)


def test_names_are_the_models_and_settings_stay():
    network = model()
    optimizer = adamw(network, 0.1)
    state = OptimizerState(optimizer, network)
    assert state.state_dict() == {}
    step(network, optimizer, 0)
    found = state.state_dict()
    assert set(found) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert set(found["0.bias"]) == {"step", "exp_avg", "exp_avg_sq"}
    optimizer.param_groups[0]["lr"] = 0.7
    state.load_state_dict(found)
    assert optimizer.param_groups[0]["lr"] == 0.7


def test_an_unknown_parameter_is_named():
    network = model()
    with pytest.raises(KeyError, match=r"no parameter '9\.weight'"):
        OptimizerState(adamw(network, 0.1), network).load_state_dict({"9.weight": {}})
