"""Stochastic depth: per sample, scaled by the probability of survival."""

import pytest
import torch

from assay.nn.drop_path import DropPath, drop_path, drop_path_rates


def seeded(seed):
    torch.random.default_generator.manual_seed(seed)


@pytest.fixture(autouse=True)
def _own_random_numbers():
    with torch.random.fork_rng():
        seeded(0)
        yield


def test_a_sample_is_left_out_or_divided_by_its_survival():
    x = torch.randn(2000, 3, 4)
    y = drop_path(x, 0.3)
    kept = y.flatten(1).abs().sum(1) > 0
    assert torch.allclose(y[kept], x[kept] / 0.7)  # Whole samples: one number decides for all their values.
    assert not y[~kept].any()
    assert abs(kept.float().mean() - 0.7) < 0.04
    assert torch.allclose(y.mean(0), x.mean(0), atol=0.1)  # The expectation is the input.


def test_samples_are_drawn_one_by_one_and_follow_the_seed():
    x = torch.ones(64, 2)
    seeded(1)
    one = drop_path(x, 0.5)
    seeded(1)
    assert torch.equal(drop_path(x, 0.5), one)
    assert 0 < (one[:, 0] > 0).sum() < 64


def test_nothing_happens_in_evaluation_or_at_rate_0():
    x = torch.randn(8, 3)
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0).train()(x) is x
    assert not torch.equal(DropPath(0.5).train()(x), x)


def test_rates_grow_over_all_blocks():
    assert drop_path_rates(0.3, 4) == pytest.approx((0.0, 0.1, 0.2, 0.3))
    assert drop_path_rates(0.3, 1) == (0.0,)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_no_probability_is_refused(rate):
    with pytest.raises(ValueError, match="expected a drop-path rate in"):
        DropPath(rate)
