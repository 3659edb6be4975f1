from dataclasses import dataclass

import pytest
import toy_task
from toy_task import Centre, Mean, Trouble

from assay.core.comparison import compare

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def test_ray_gives_the_board_that_this_machine_gives(cluster, tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Local:
        def fit(self, train, *, run):
            return Centre(3.0)

    methods = {"mean": Mean(), "killed": Trouble(how="killed"), "slow": Trouble(how="sleep"), "live": Local()}
    options = {"methods": methods, "seeds": 2, "progress": False, "time_limit": 2.0}
    here = compare(toy_task.task, runs=tmp_path / "here", **options)
    there = compare(toy_task.task, runs=tmp_path / "there", on="ray", **options)
    assert [row.status for row in there.rows] == ["ok", "killed", "timeout", "ok"]
    for ours, theirs in zip(here.rows, there.rows, strict=True):
        assert theirs.status == ours.status
        assert theirs.values("squared error") == ours.values("squared error")
    assert there.model("mean", 1) == here.model("mean", 1)
    again = compare(toy_task.task, runs=tmp_path / "there", methods={"mean": Mean()}, seeds=2, progress=False)
    assert again.row("mean") == there.row("mean")
