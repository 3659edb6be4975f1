"""A small training in float64 that several ranks share, for comparison with one rank."""

import numpy as np
import torch
from torch import nn

from assay.core.run import Run
from assay.train.batches import Batches
from assay.train.ema import Ema
from assay.train.loop import train
from assay.train.optimizers import adamw, muon


class Network(nn.Module):
    """Two blocks, a matrix that no loss uses, and an entry beside `forward`."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8)])
        self.head = nn.Linear(8, 3)
        self.unused = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.zeros(()))

    def embed(self, x):
        for block in self.blocks:
            x = torch.tanh(block(x))
        return x

    def forward(self, x):
        return self.scale * self.head(self.embed(x))


def network(seed=0):
    rng = torch.Generator().manual_seed(seed)
    model = Network().double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.5 * torch.randn(p.shape, generator=rng, dtype=torch.float64))
    return model


def data():
    rng = torch.Generator().manual_seed(1)
    return torch.randn(48, 6, generator=rng, dtype=torch.float64), torch.randint(3, (48,), generator=rng)


def whole(tensor):
    tensor = tensor.detach()
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).tolist()


def trained(
    *,
    rank=0,
    world=1,
    sharded=False,
    optimizer="adamw",
    steps=6,
    folder=None,
    accumulate=1,
    after_step=None,
    launch=None,
):
    """Losses, norms and final weights, which must not depend on the number of ranks."""
    model = network(seed=rank)  # All ranks get rank 0's.
    make = {
        "adamw": lambda: adamw(model, 0.05, weight_decay=0.1),
        "muon": lambda: muon(model, 0.05, 0.05),
        "sgd": lambda: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    }
    run = Run(rank=rank, world=world, sharded=sharded, folder=folder, checkpoint_every=2)
    batches = Batches(data(), 12, np.random.default_rng(0), rank=rank, world=world)
    ema = Ema(model, 0.5)
    history = train(
        lambda x, y: {"loss": nn.functional.cross_entropy(model(x), y)},
        batches,
        make[optimizer](),
        run,
        model=model,
        steps=steps,
        clip_norm=0.8,
        accumulate=accumulate,
        after_step=after_step,
        ema=ema,
        launch=launch,
    )
    run.close()
    assert type(model) is Network
    assert not any(
        hasattr(value, "placements") for value in (*model.state_dict().values(), *ema.mean.values())
    )
    if rank == 0:  # It works without the others.
        model(data()[0]).sum().backward()
        assert model.blocks[0].weight.grad is not None
    return {
        "loss": [record.values["loss"] for record in history.records],
        "norm": [record.values["grad_norm"] for record in history.records],
        "examples": history.examples,
        "weights": {name: whole(p) for name, p in model.named_parameters()},
        "mean": {name: whole(value) for name, value in ema.mean.items()},
    }
