import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rank_training
import torch
from ranks import run_ranks
from torch import nn

from assay.core.run import Run
from assay.train.ranks import Ranks

TRAININGS = {
    "sgd": {"optimizer": "sgd"},
    "adamw": {"optimizer": "adamw", "accumulate": 2},
    "muon": {"optimizer": "muon"},
}

CODE = """
import functools, json, pathlib, shutil
import rank_training
from torch import nn
from assay.collectives.operations import all_reduce
from assay.core.run import Run
from assay.train.ranks import Ranks

here = pathlib.Path(FOLDER)
result = {}
for name, options in json.loads(TRAININGS).items():
    result[name] = rank_training.trained(rank=rank, world=world, **options)
    result[name + " by our ring"] = rank_training.trained(
        rank=rank, world=world, launch=functools.partial(all_reduce, async_op=True), **options)
    result[name + " divided"] = rank_training.trained(rank=rank, world=world, sharded=True, **options)

# Gradients beside those of torch's own DDP, with a parameter that only rank 0 uses.
x, y = rank_training.data()
share = slice(rank, None, world)
ours, theirs = rank_training.network(), rank_training.network()
def loss(model):
    out = model(x[share])
    if rank == 0:
        out = out + model.unused(x[share][:, :4]).sum()
    return nn.functional.cross_entropy(out, y[share])
optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
ranks = Ranks(ours, optimizer, Run(rank=rank, world=world))
ranks.last_of_step(True)
loss(ours).backward()
ranks.finish()
class Loss(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
    def forward(self):
        return loss(self.model)
ddp = nn.parallel.DistributedDataParallel(Loss(theirs), find_unused_parameters=True)
ddp().backward()
result["gradients"] = {n: p.grad.tolist() for n, p in ours.named_parameters()}
result["ddp"] = {n: p.grad.tolist() for n, p in theirs.named_parameters()}
ranks.close()
before = ours.head.weight.grad.clone()
loss(ours).backward()  # The hooks are gone: nothing is sent, nothing waits.
result["closed"] = bool((ours.head.weight.grad != before).any())
result["mean"] = {k: v.item() for k, v in ranks.mean({"a": torch.tensor(float(rank))}).items()}

# Checkpoints of 2 ranks go on with 2, and a checkpoint of 1 goes on with 2.
for name, sharded in (("copied", False), ("divided", True)):
    folder = here / f"two-{name}"
    if rank == 0:
        folder.mkdir()
    dist.barrier()
    rank_training.trained(rank=rank, world=world, sharded=sharded, steps=4, folder=folder)
    if rank == 0:
        shutil.copytree(folder, here / f"two-{name}-kept")
    dist.barrier()
    result["2 to 2 " + name] = rank_training.trained(
        rank=rank, world=world, sharded=sharded, steps=6, folder=folder)
    result["1 to 2 " + name] = rank_training.trained(
        rank=rank, world=world, sharded=sharded, steps=6, folder=here / f"one-{name}")
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What two ranks found, and the folder they worked in."""
    folder = tmp_path_factory.mktemp("ranks")
    for name in ("copied", "divided"):
        (folder / f"one-{name}").mkdir()
        rank_training.trained(steps=4, folder=folder / f"one-{name}")
    code = f"FOLDER = {str(folder)!r}\nTRAININGS = {json.dumps(TRAININGS)!r}\n" + CODE
    return run_ranks(code, 2, folder), folder


def equal(found, expected, tolerance=1e-10):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, dict):
            equal(found[name], value, tolerance)
        else:
            np.testing.assert_allclose(found[name], value, atol=tolerance, rtol=0, err_msg=name)


@pytest.mark.parametrize("way", ["", " by our ring", " divided"])
@pytest.mark.parametrize("name", list(TRAININGS))
def test_two_ranks_train_as_one(found, name, way):
    expected = rank_training.trained(**TRAININGS[name])
    for result in found[0]:
        equal(result[name + way], expected)
    first, second = found[0]
    assert first[name + way] == second[name + way]  # Bit for bit.


def test_gradients_are_those_of_torchs_ddp(found):
    for result in found[0]:
        equal(result["gradients"], result["ddp"], 1e-14)
        assert np.any(result["gradients"]["unused.weight"])
        assert result["closed"]
        assert result["mean"] == {"a": 0.5}


@pytest.mark.parametrize("way", ["copied", "divided"])
@pytest.mark.parametrize("change", ["2 to 2", "1 to 2"])
def test_checkpoints_go_on_with_two_ranks(found, way, change):
    expected = rank_training.trained(steps=6)
    for result in found[0]:
        equal(result[f"{change} {way}"], expected)


@pytest.mark.parametrize("way", ["copied", "divided"])
def test_a_checkpoint_of_two_ranks_goes_on_with_one(found, way, tmp_path):
    shutil.copytree(found[1] / f"two-{way}-kept", tmp_path, dirs_exist_ok=True)
    equal(rank_training.trained(steps=6, folder=tmp_path), rank_training.trained(steps=6))


def test_one_rank_is_left_alone():
    model = nn.Linear(2, 2)
    ranks = Ranks(model, torch.optim.SGD(model.parameters(), lr=0.1), Run())
    ranks.last_of_step(False)
    ranks.finish()
    values = {"a": torch.tensor(1.0)}
    assert ranks.mean(values) == values
    ranks.close()
    assert not torch.distributed.is_initialized()


def test_log_is_written_once(found):
    lines = Path(found[1], "two-copied", "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
