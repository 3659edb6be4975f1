import pytest
from ranks import run_ranks

CODE = """
import rank_training
from torch import nn
from assay.core.run import Run
from assay.train.division import is_divided
from assay.train.ema import Ema
from assay.train.optimizers import adamw
from assay.train.sharding import Sharding

run = Run(rank=rank, world=world, sharded=True)
x, y = rank_training.data()
model = rank_training.network()
model.tied = nn.Linear(6, 8, bias=False).double()
model.tied.weight = model.blocks[0].weight
class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.own = nn.Linear(2, 2).double()
        self.inner = nn.ModuleList([nn.Linear(4, 4).double()])
model.stages = nn.ModuleList([nn.ModuleList([Outer()])])
model.unused.weight.data = model.unused.weight.data.T.contiguous().T  # As convolutions often are.
expected = model(x).tolist()
features = model.embed(x).tolist()
keys = sorted(model.state_dict())
result = {"rounds": []}
for _ in range(2):  # Divided, made whole, and divided again.
    optimizer = adamw(model, 0.1)
    sharding = Sharding(model, optimizer, run)
    ema = Ema(model)
    ema.update()
    held = sum(p.to_local().numel() if is_divided(p) else p.numel() for p in model.parameters())
    divided = [is_divided(p) for group in optimizer.param_groups for p in group["params"]]
    entry = model.embed(x).tolist()
    inside = model(x).tolist()
    mixed = [len({is_divided(p) for p in group["params"]}) for group in optimizer.param_groups]
    sharding.undo(ema)
    result["rounds"].append({
        "held": held,
        "divided": sum(divided),
        "parameters": len(divided),
        "mixed": max(mixed),
        "inside": inside == expected,
        "entry": entry == features,
        "after": model(x).tolist() == expected and model.embed(x).tolist() == features,
        "kind": type(model) is rank_training.Network and type(model.blocks[0]) is nn.Linear,
        "tied": model.tied.weight is model.blocks[0].weight,
        "keys": sorted(model.state_dict()) == keys,
        "mean": any(map(is_divided, ema.mean.values())),
        "copied": [tuple(p.shape) for p in sharding.copied],
    })
result["total"] = sum(p.numel() for p in model.parameters())
optimizer = adamw(model, 0.1)
model(x).sum().backward()
optimizer.step()
try:
    Sharding(model, optimizer, run)
except RuntimeError as error:
    result["error"] = str(error)
"""


@pytest.mark.parametrize("world", [2])
def test_divided_and_made_whole_twice(tmp_path, world):
    for found in run_ranks(CODE, world, tmp_path):
        for round in found["rounds"]:
            assert 0.4 * found["total"] < round["held"] < 0.6 * found["total"]
            assert round["divided"] == round["parameters"] - 1  # But for a single number.
            assert round["mixed"] == 1
            assert round["copied"] == [[]]
            assert not round["mean"]
            for what in ("inside", "entry", "after", "kind", "tied", "keys"):
                assert round[what], what
        assert "expected an optimizer without a state" in found["error"]
