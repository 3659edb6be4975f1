import pytest
import torch

from assay.core.run import Run
from assay.train.seeding import reseed, seeded


def draw(seed, *stream):
    with seeded(Run(seed=seed), *stream):
        return torch.rand(4).tolist()


def test_draws_depend_on_seed_and_stream_only():
    assert draw(1) == draw(1)
    torch.rand(3)
    assert draw(1) == draw(1)
    drawn = [draw(1), draw(2), draw(1, "predict"), draw(1, "predict", 0)]
    assert len({tuple(d) for d in drawn}) == len(drawn)


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with (
        pytest.raises(ValueError, match="device 'cuda': torch finds no GPUs on this machine"),
        seeded(Run(device="cuda")),
    ):
        pass
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(ValueError, match="device 'cuda:1': torch finds 1 GPU on"),
        seeded(Run(device="cuda:1")),
    ):
        pass


def test_all_ranks_start_alike_and_can_be_told_to_part():
    def on(rank):
        run = Run(rank=rank, world=2)
        with seeded(run):
            first = torch.rand(3).tolist()
            reseed(run, rank)
            return first, torch.rand(3).tolist()

    assert on(0)[0] == on(1)[0]
    assert on(0)[1] != on(1)[1]


def test_global_state_and_threads_are_as_before_also_after_an_error():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    try:
        with seeded(Run(threads=threads + 1)):
            assert torch.get_num_threads() == threads + 1
            torch.rand(5)
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_blocks_nest():
    with seeded(Run(seed=1)):
        torch.rand(2)
        expected = torch.rand(2).tolist()
    with seeded(Run(seed=1)):
        torch.rand(2)
        draw(7)
        assert torch.rand(2).tolist() == expected
