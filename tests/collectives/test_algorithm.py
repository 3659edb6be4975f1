from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from collective_worlds import ALGORITHMS, drawn, on_ranks, replay

from assay.collectives.algorithm import Algorithm
from assay.collectives.schedule import chunk_bounds, step

OPERATIONS = ("all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce")


@dataclass(frozen=True, kw_only=True)
class Star(Algorithm):
    """A user's own algorithm: everyone exchanges chunks with everyone at once."""

    tables: ClassVar = {
        "reduce_scatter": lambda n, length: tuple(
            step(
                np.arange(n),
                (np.arange(n) + k) % n,
                chunk_bounds(length, n)[(np.arange(n) + k) % n],
                chunk_bounds(length, n)[(np.arange(n) + k) % n + 1],
                reduce=True,
            )
            for k in range(1, n)
        ),
        "all_gather": lambda n, length: tuple(
            step(
                np.arange(n),
                (np.arange(n) + k) % n,
                chunk_bounds(length, n)[:-1],
                chunk_bounds(length, n)[1:],
                reduce=False,
            )
            for k in range(1, n)
        ),
    }

    def owned(self, ranks, length):
        bounds = chunk_bounds(length, ranks)
        return bounds[:-1], bounds[1:]


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_walk_gives_the_steps_one_by_one(name, operation):
    algorithm = ALGORITHMS[name]
    for one, other in zip(algorithm.walk(operation, 5, 13), algorithm.steps(operation, 5, 13), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_one_rank_has_nothing_to_do(name):
    for operation in OPERATIONS:
        assert ALGORITHMS[name].steps(operation, 1, 5) == ()


@pytest.mark.parametrize("name", ["ring", "halving-doubling"])
def test_all_reduce_is_reduce_scatter_and_all_gather(name):
    algorithm = ALGORITHMS[name]
    parts = algorithm.steps("reduce_scatter", 6, 9) + algorithm.steps("all_gather", 6, 9)
    whole = algorithm.steps("all_reduce", 6, 9)
    assert len(parts) == len(whole)
    for one, other in zip(parts, whole, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_owned_parts_cover_the_array_once(name):
    for n in (1, 2, 3, 4, 5, 6, 8):
        for length in (0, 1, n, 3 * n + 2):
            start, stop = ALGORITHMS[name].owned(n, length)
            covered = np.zeros(length, int)
            for a, b in zip(start, stop, strict=True):
                covered[a:b] += 1
            assert (covered == 1).all()


def use(algorithm):
    x = torch.ones(9)
    algorithm.sum(x)
    work = algorithm.launch(x)
    assert work.wait()
    return x.tolist()


def test_a_table_of_steps_is_all_that_a_new_algorithm_needs():
    arrays = drawn(4, 10)
    held = replay(Star().steps("all_reduce", 4, 10), arrays)
    assert all(np.array_equal(result, held[0]) for result in held)
    assert np.allclose(held[0], np.sum(arrays, axis=0))
    assert on_ranks([3], use, Star())[3] == [[9.0] * 9] * 3
