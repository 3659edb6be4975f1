import pytest
import torch
from few_bits import holding, trained, updated

from assay.precision.bf16_stochastic import BF16Stochastic
from assay.precision.formats import BF16
from assay.precision.training import RoundingSGD


def test_a_small_update_is_made_as_often_as_it_is_small():
    weights = updated(BF16Stochastic, 1e-3, count=100_000)
    assert set(weights.tolist()) == {1.0, 1 + 2.0**-7}
    share = 1e-3 / 2.0**-7
    error = (share * (1 - share) / len(weights)) ** 0.5
    assert (weights > 1).double().mean().item() == pytest.approx(share, abs=4 * error)


def test_many_small_updates_add_up():
    weight = torch.ones(500, requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    optimizer = RoundingSGD([weight], BF16Stochastic.policy, lr=1.0, generator=generator)
    for _ in range(500):
        weight.grad = torch.full((500,), 1e-4)
        optimizer.step()
    assert weight.mean().item() == pytest.approx(0.95, abs=0.01)
    assert holding([weight.detach()]) == BF16


def test_what_bf16_holds_is_left_alone():
    assert updated(BF16Stochastic, 2.0**-7, count=1000).unique().tolist() == [1 + 2.0**-7]


def test_a_training_is_in_bf16_throughout():
    assert trained(BF16Stochastic) == (BF16, BF16, 1.0)
