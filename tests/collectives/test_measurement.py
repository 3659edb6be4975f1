import dataclasses
import hashlib
import threading

import numpy as np
import pytest
import torch
import torch.distributed as dist
from collective_worlds import on_ranks, replay

from assay.collectives import measurement
from assay.collectives.cost_model import Network
from assay.collectives.gloo import Gloo
from assay.collectives.measurement import Measurement, alone, exact_sum, filled, measure, timed
from assay.collectives.outcome import Outcome
from assay.collectives.problem import Problem
from assay.collectives.ring import Ring
from assay.collectives.ring_pipelined import RingPipelined
from assay.core.budget import Budget
from assay.core.run import Run

PROBLEM = Problem(ranks=3, bytes=9000)
SMOKE = Run(scale="smoke", seed=4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnRankZero:
    """A method of a user's own, which is wrong on all ranks but one."""

    def sum(self, tensor):
        dist.reduce(tensor, 0)


@pytest.fixture(scope="module")
def measured():
    return {name: measure(method, PROBLEM, SMOKE) for name, method in (("ring", Ring()), ("gloo", Gloo()))}


class TestMeasure:
    def test_the_sum_is_that_of_the_steps(self, measured):
        arrays = [filled(PROBLEM, rank, 4).numpy() for rank in range(3)]
        expected = replay(Ring().steps("all_reduce", 3, 2250), arrays)[0]
        outcome = measured["ring"].outcome
        assert outcome.digest == hashlib.sha256(expected.tobytes()).hexdigest()
        assert outcome.identical
        exact = exact_sum(PROBLEM, 4)
        assert outcome.error == pytest.approx(np.abs(expected - exact).max() / np.abs(exact).max())
        assert 0 < outcome.error < 1e-6

    def test_bytes_are_counted_exactly_or_by_the_kernel(self, measured):
        assert measured["ring"].outcome.bytes_sent == 2 * 2 * 9000 // 3
        assert 12_000 <= measured["gloo"].outcome.bytes_sent < 14_000  # Headers are in it.

    def test_sizes_are_swept_up_to_the_one_asked_for(self, measured):
        for found in measured.values():
            assert [size for size, _ in found.sweep] == [1024, 8192, 9000]
            assert all(seconds > 0 for _, seconds in found.sweep)
            assert found.sweep[-1][1] == found.outcome.seconds

    def test_the_network_and_the_overlap_come_with_it(self, measured):
        for found in measured.values():
            assert found.network is not None
            assert found.network.beta >= 0
            assert found.overlap is not None
            assert found.overlap.timeline[0].start == 0.0

    def test_the_same_seed_gives_the_same_sum(self, measured):
        again = measure(Ring(), PROBLEM, SMOKE)
        assert again.outcome == measured["ring"].outcome
        other = measure(Ring(), PROBLEM, Run(scale="smoke", seed=5, budget=Budget.parse("2steps")))
        assert other.outcome != measured["ring"].outcome

    def test_a_wrong_sum_is_seen(self):
        found = measure(OnRankZero(), PROBLEM, SMOKE)
        assert not found.outcome.identical
        assert found.outcome.error > 0.01
        assert found.overlap is None  # It cannot be begun without waiting.

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64", "uint8"])
    def test_other_types(self, dtype):
        problem = Problem(ranks=2, bytes=4000, dtype=dtype)
        outcome = measure(RingPipelined(), problem, Run(scale="smoke", budget=Budget.parse("1steps"))).outcome
        assert outcome.identical
        assert outcome.error < (1e-2 if "float" in dtype else 1e-12)

    def test_a_budget_in_another_unit_is_refused(self):
        with pytest.raises(ValueError, match="in seconds or steps"):
            measure(Ring(), PROBLEM, Run(budget=Budget.parse("3epochs")))

    def test_is_saved_and_loaded(self, measured, tmp_path):
        for name, found in measured.items():
            folder = tmp_path / name
            folder.mkdir()
            found.save(folder)
            again = Measurement.load(folder)
            assert dataclasses.asdict(again) == dataclasses.asdict(found)

    def test_a_file_that_is_none_is_named(self, tmp_path):
        (tmp_path / "measurement.json").write_text("{}")
        with pytest.raises(ValueError, match=r"measurement.json: expected a measurement"):
            Measurement.load(tmp_path)

    def test_a_measurement_without_extras_is_loaded(self, tmp_path):
        outcome = Outcome(digest="a", error=0.0, identical=True, seconds=1.0, bytes_sent=1)
        Measurement(PROBLEM, outcome).save(tmp_path)
        assert Measurement.load(tmp_path).network is None


def test_arrays_repeat_their_block():
    problem = Problem(ranks=2, bytes=4 * (2**16 + 10))
    array = filled(problem, 1, 0)
    assert len(array) == 2**16 + 10
    assert torch.equal(array[:10], array[2**16 :])
    assert torch.equal(array[: 2**16], torch.from_numpy(problem.block(1, 0)).float())


def test_one_measurement_at_a_time():
    order = []

    def other():
        with alone():
            order.append("other")

    with alone():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def probed():
    before = []
    seconds = timed(lambda: before.append(2), lambda: before.append(1))
    network = measurement.probe((8, 4096), 2)
    return {"before": before, "seconds": seconds, "network": dataclasses.asdict(network)}


def test_all_ranks_find_the_same_network():
    told = on_ranks([3], probed)[3]
    assert all(rank["network"] == told[0]["network"] for rank in told)
    network = Network(**told[0]["network"])
    assert network.alpha > 0
    assert network.gamma > 0
    assert all(rank["before"] == [1, 2] and rank["seconds"] > 0 for rank in told)
