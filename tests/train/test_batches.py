import json

import numpy as np
import pytest
import torch

from assay.train.batches import Batches


def make(size=10, batch_size=3, seed=0, **options):
    rows = torch.arange(size)
    return Batches((rows, rows.double() / 2), batch_size, np.random.default_rng(seed), **options)


def epoch(batches):
    return [batch[0].tolist() for batch in batches]


def rows(batches):
    return [row for batch in batches for row in batch]


def test_an_epoch_has_every_row_once_in_an_order_of_its_own():
    batches = make(drop_last=False)
    first, second = epoch(batches), epoch(batches)
    assert len(batches) == len(first) == 4
    assert [len(batch) for batch in first] == [3, 3, 3, 1]
    assert sorted(rows(first)) == sorted(rows(second)) == list(range(10))
    assert first != second
    assert epoch(make(drop_last=False)) == first
    assert epoch(make(drop_last=False, seed=1)) != first


def test_arrays_stay_together_and_a_single_one_is_enough():
    for rows, halves in make():
        assert torch.equal(rows.double() / 2, halves)
    array = np.arange(12).reshape(6, 2)
    [(batch,)] = list(Batches(array, 6, np.random.default_rng(0)))
    assert sorted(batch.tolist()) == array.tolist()


def test_rows_that_do_not_fill_a_batch_are_left_out():
    found = epoch(make())
    assert [len(batch) for batch in found] == [3, 3, 3]
    assert len(set(rows(found))) == 9


def test_first_batches_of_a_hundred_epochs_differ():
    batches = make(size=50, batch_size=50)
    assert len({tuple(epoch(batches)[0]) for _ in range(100)}) == 100


@pytest.mark.parametrize("taken", range(9))
def test_resumes_after_any_batch_and_twice(taken):
    def stream(batches):
        while True:
            yield from epoch_of(batches)

    def epoch_of(batches):
        for batch in batches:
            yield batch[0].tolist()

    plain = stream(make())
    expected = [next(plain) for _ in range(12)]
    batches, found = make(), []
    running = stream(batches)
    found += [next(running) for _ in range(taken)]
    for more in (1, 11 - taken):
        state = json.loads(json.dumps(batches.state_dict()))
        batches = make(seed=5)  # Whatever it would have drawn is replaced.
        batches.load_state_dict(state)
        running = stream(batches)
        found += [next(running) for _ in range(more)]
    assert found == expected


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_every_batch_and_their_state_fits_any_number_of_ranks(world):
    whole = make(size=20, batch_size=6)
    parts = [make(size=20, batch_size=6, rank=rank, world=world) for rank in range(world)]
    iterators = [iter(part) for part in parts]
    for batch in whole:
        shares = [next(iterator)[0].tolist() for iterator in iterators]
        assert rows(shares) == batch[0].tolist()
        assert {len(share) for share in shares} == {6 // world}
        assert parts[0].state_dict() == whole.state_dict()


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((torch.zeros(3), torch.zeros(4)), {}, r"expected arrays with the same number of rows, got \[3, 4\]"),
        ((), {}, "expected arrays with the same number of rows"),
        ((torch.zeros(3),), {"batch_size": 4}, "expected a batch size from 1 to the 3 rows, got 4"),
        ((torch.zeros(3),), {"batch_size": 0}, "expected a batch size from 1 to the 3 rows, got 0"),
        ((torch.zeros(9),), {"batch_size": 4, "world": 3}, "whole batches that 3 ranks can share equally"),
        ((torch.zeros(9),), {"drop_last": False, "world": 2}, "whole batches that 2 ranks can share equally"),
    ],
)
def test_mistakes_are_named(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        Batches(arrays, **({"batch_size": 2, "rng": np.random.default_rng(0)} | options))
