"""What a recipe does to one number: an updated weight, a gradient on its way to the optimizer, an output."""

import torch

from assay.core.run import Run
from assay.data.digits import digits
from assay.precision.arithmetic import linear
from assay.precision.formats import BF16, FP16, rounded
from assay.precision.problem import Problem
from assay.precision.scaler import LossScaler
from assay.precision.training import RoundingSGD

HALF_OF_FP16 = 2.0**-25  # the largest number that fp16 rounds to 0


def updated(recipe, update, *, weight=1.0, count=1):
    """Weights after `update` has been added once; `count` of them."""
    weights = torch.full((count,), weight, requires_grad=True)
    weights.grad = torch.full((count,), -update)
    generator = torch.Generator().manual_seed(0)
    RoundingSGD([weights], recipe.policy, lr=1.0, generator=generator).step()
    return weights.detach()


def output(recipe, x, weight):
    """x times weight in a layer."""
    return layer(recipe, x, torch.tensor([[weight]])).item()


def layer(recipe, x, weight):
    return linear(torch.tensor([[x]]), weight, torch.zeros(1), recipe.policy)


def gradient(recipe, size):
    """What reaches the optimizer of a gradient that is `size` in exact arithmetic."""
    weight = torch.ones(1, 1, requires_grad=True)
    optimizer = RoundingSGD([weight], recipe.policy, lr=1.0)
    scaler = LossScaler("cpu") if recipe.policy.scaling else None
    loss = (layer(recipe, 1.0, weight) * size).sum()
    (loss if scaler is None else scaler.scale(loss)).backward()
    if scaler is not None:
        scaler.unscale_(optimizer)
    return weight.grad.item()


def trained(recipe):
    """The format of 16 bits that holds all weights, and all logits, of a training; its first loss scale."""
    problem = Problem(digits().take(slice(0, 60)), 8192)
    network = recipe(hidden=(8,), steps=10, batch_size=16, learning_rate=0.3).fit(problem, run=Run())
    logits = torch.from_numpy(network.logits(problem)).float()
    return holding(network.weights), holding([logits]), network.moments[0].scale


def holding(tensors):
    """The format with the fewest digits in which rounding changes none of these."""
    return next((f for f in (BF16, FP16) if all(torch.equal(t, rounded(t, f)) for t in tensors)), None)
