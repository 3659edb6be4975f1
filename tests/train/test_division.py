import pytest
import torch
from ranks import run_ranks

from assay.train.division import divided_as, is_divided, whole

CODE = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from assay.train.division import divided_as, is_divided, whole

mesh = init_device_mesh("cpu", (world,))
rows = torch.arange(10.0).reshape(5, 2)  # An odd number: the ranks' parts differ.
like = distribute_tensor(rows, mesh, [Shard(0)])
again = divided_as(like, rows * 2)
result = {
    "here": again.to_local().tolist(),
    "whole": whole(again).tolist(),
    "divided": [is_divided(like), is_divided(rows)],
    "copied": divided_as(distribute_tensor(rows, mesh, [Replicate()]), rows).to_local().tolist(),
}
"""


def test_tensors_of_one_process_are_left_alone():
    tensor = torch.ones(3)
    assert not is_divided(tensor)
    assert not is_divided(None)
    assert whole(tensor) is tensor
    assert divided_as(None, tensor) is tensor
    assert divided_as(torch.zeros(3), tensor) is tensor


@pytest.mark.parametrize("world", [2])
def test_division_and_back(tmp_path, world):
    rows = torch.arange(10.0).reshape(5, 2).tolist()
    found = run_ranks(CODE, world, tmp_path)
    twice = [[2 * value for value in row] for row in rows]
    assert [result["here"] for result in found] == [twice[:3], twice[3:]]
    for result in found:
        assert result["whole"] == twice
        assert result["divided"] == [True, False]
        assert result["copied"] == rows
