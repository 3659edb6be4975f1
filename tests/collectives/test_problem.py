import numpy as np
import pytest
import torch

from assay.collectives.problem import EPSILON, Problem, parse_size
from assay.data.table import ContractError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("64K", 2**16),
        ("64M", 2**26),
        ("1.5 kib", 1536),
        ("2GB", 2**31),
        ("8b", 8),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "64T", "-1", "many", "1e6"])
def test_a_size_that_is_none(text):
    with pytest.raises(ContractError, match="expected an amount such as 4096, 64K or 64M, got"):
        parse_size(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ranks": 1}, "ranks: expected at least 2, got 1"),
        ({"ranks": "4"}, "ranks: expected at least 2, got '4'"),
        ({"dtype": "complex64"}, "dtype: expected one of float64, float32"),
        ({"bytes": 6}, "bytes: expected a positive multiple of 4, the size of a float32, got 6"),
        ({"bytes": 0}, "got 0"),
    ],
)
def test_what_breaks_the_contract_is_named(fields, message):
    with pytest.raises(ContractError, match=message):
        Problem(**fields)


def test_describes_itself():
    problem = Problem(ranks=4, bytes=3 * 2**19, dtype="float16")
    assert problem.name == "1.5 MiB of float16 on 4 ranks"
    assert problem.length == 3 * 2**18
    assert problem.describe() == {
        "ranks": 4,
        "bytes": 3 * 2**19,
        "dtype": "float16",
        "elements": 3 * 2**18,
    }
    assert Problem(bytes=512).name == "512 bytes of float32 on 2 ranks"


def test_has_values_of_its_own_for_each_rank_and_seed():
    problem = Problem(bytes=4000)
    assert len(problem.block(0, 0)) == 1000
    assert np.array_equal(problem.block(1, 2), problem.block(1, 2))
    assert not np.array_equal(problem.block(0, 0), problem.block(1, 0))
    assert not np.array_equal(problem.block(0, 0), problem.block(0, 1))
    whole = Problem(bytes=4000, dtype="uint8").block(0, 0)
    assert set(np.unique(whole)) == set(range(9))
    assert len(Problem(bytes=2**26).block(0, 0)) == 2**16


@pytest.mark.parametrize("dtype", EPSILON)
def test_epsilon_is_the_distance_from_one_to_the_next_number(dtype):
    assert EPSILON[dtype] == torch.finfo(getattr(torch, dtype)).eps


def test_is_kept_and_told_apart(tmp_path):
    problem = Problem(ranks=3, bytes=80, dtype="float64")
    problem.save(tmp_path)
    assert Problem.open(tmp_path) == problem
    assert Problem.open(tmp_path).fingerprint() == problem.fingerprint()
    assert Problem(ranks=3, bytes=88, dtype="float64").fingerprint() != problem.fingerprint()
