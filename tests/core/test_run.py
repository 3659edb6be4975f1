import json
import time

import numpy as np
import pytest

from assay.core.budget import Budget
from assay.core.run import Run, torchrun, within


def test_generators_depend_on_seed_and_stream_only():
    def draw(seed, *stream):
        return Run(seed=seed).rng(*stream).random(4).tolist()

    assert draw(1, "split") == draw(1, "split")
    drawn = [draw(1, "split"), draw(2, "split"), draw(1, "start"), draw(1, "split", 0), draw(1)]
    assert len({tuple(d) for d in drawn}) == len(drawn)


def test_global_random_state_is_not_touched():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    Run(seed=3).rng("a").random()
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_log_is_json_lines_of_rank_zero(tmp_path):
    run = Run(folder=tmp_path)
    run.log(1, loss=0.5, accuracy=np.float32(0.25))
    run.log(2, loss=0.25)
    run.close()
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(r["step"], r["loss"]) for r in records] == [(1, 0.5), (2, 0.25)]
    assert records[0]["accuracy"] == 0.25
    assert records[1]["seconds"] >= records[0]["seconds"] >= 0
    Run(folder=tmp_path / "none", rank=1, world=2).log(1, loss=1.0)
    Run().log(1, loss=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_spent_counts_what_the_budget_counts():
    assert Run().spent(steps=10**9) == 0
    run = Run(budget=Budget(10, "steps"))
    assert run.spent(steps=5) == pytest.approx(0.5)
    assert run.spent(steps=50) == 1
    assert run.spent(epochs=50) == 0
    clock = Run(budget=Budget(0.02, "seconds"))
    clock.start_clock()
    assert clock.spent() < 1
    time.sleep(0.03)
    assert clock.spent() == 1


def test_rewinding_takes_later_steps_out_of_the_log(tmp_path):
    run = Run(folder=tmp_path)
    run.rewind(3)
    for step in range(1, 6):
        run.log(step, loss=float(step))
    path = tmp_path / "log.jsonl"
    path.write_text(path.read_text() + '{"step": 6, "lo')  # Killed while it was written.
    run.rewind(3)
    run.log(4, loss=40.0)
    run.close()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["step"], r["loss"]) for r in records] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]
    Run(folder=tmp_path, rank=1, world=2).rewind(0)
    assert len(path.read_text().splitlines()) == 4


class Recorder:
    def __init__(self, fails=False):
        self.seen, self.calls, self.closed, self.fails = [], 0, False, fails

    def log(self, step, scalars):
        self.calls += 1
        if self.fails:
            raise OSError("no route to host")
        self.seen.append((step, dict(scalars)))

    def close(self):
        self.closed = True
        if self.fails:
            raise OSError("still none")


def test_trackers_are_told_and_one_that_fails_is_warned_about_once(tmp_path):
    good, bad = Recorder(), Recorder(fails=True)
    run = Run(folder=tmp_path, trackers=(bad, good))
    with pytest.warns(UserWarning, match=r"Recorder failed and is left out: OSError\('no route to host'\)"):
        run.log(1, loss=0.5)
    run.log(2, loss=0.25)
    run.close()
    assert good.seen == [(1, {"loss": 0.5}), (2, {"loss": 0.25})]
    assert bad.calls == 1
    assert good.closed
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
    silent = Recorder()
    Run(rank=1, world=2, trackers=(silent,)).log(1, loss=0.5)
    assert silent.calls == 0


def test_a_clock_may_start_with_seconds_already_spent():
    run = Run(budget=Budget(100, "seconds"))
    run.start_clock(spent=50)
    assert run.spent() == pytest.approx(0.5, abs=0.01)


def test_runs_within_another_have_its_device_and_precision():
    with within(Run(device="cuda:1", precision="bf16")):
        assert (Run().device, Run().precision) == ("cuda:1", "bf16")
        assert Run(device="cpu").device == "cpu"
        with within(Run(precision="fp32")):
            assert (Run().device, Run().precision) == ("cuda:1", "fp32")
    assert (Run().device, Run().precision) == ("cpu", "fp32")


def test_parts_have_folders_and_shares_of_what_is_counted(tmp_path):
    run = Run(seed=3, budget=Budget(100, "steps"), folder=tmp_path, checkpoint_every=5)
    first, second = run.part("first", 0.25), run.part("second", 0.75)
    assert (first.budget, second.budget) == (Budget(25, "steps"), Budget(75, "steps"))
    assert (first.folder, second.folder) == (tmp_path / "parts" / "first", tmp_path / "parts" / "second")
    assert (second.seed, second.checkpoint_every) == (3, 5)
    first.log(1, loss=1.0)
    assert (tmp_path / "parts" / "first" / "log.jsonl").exists()
    run.close()
    assert Run().part("only", 0.5).budget is None


def test_parts_tell_the_trackers_under_their_names_and_are_closed_with_the_run(tmp_path):
    recorder = Recorder()
    run = Run(folder=tmp_path, trackers=(recorder,))
    part = run.part("first", 1.0)
    part.log(1, loss=0.5)
    part.close()
    assert not recorder.closed
    part.log(2, loss=0.25)
    run.close()
    assert recorder.seen == [(1, {"first/loss": 0.5}), (2, {"first/loss": 0.25})]
    assert recorder.closed
    assert part._file is None


def test_parts_share_seconds_by_the_clock():
    run = Run(budget=Budget(100, "seconds"))
    run.start_clock(spent=10)  # Something was done before the parts.
    first = run.part("first", 0.5)
    assert first.budget.amount == pytest.approx(40, abs=0.1)
    assert first.spent() == pytest.approx(0, abs=0.01)
    run.start_clock(spent=60)  # The first took longer than its share.
    assert run.part("second", 0.5).budget.amount == pytest.approx(40, abs=0.1)
    run.start_clock(spent=200)
    assert 0 < run.part("late", 0.1).budget.amount < 0.01


def test_checkpoints_come_after_steps():
    with pytest.raises(ValueError, match="expected checkpoint_every of at least 1 step, got 0"):
        Run(checkpoint_every=0)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_unknown_devices_are_refused(device):
    with pytest.raises(ValueError, match="expected a device cpu, cuda or cuda:<number>, got"):
        Run(device=device)


def test_unknown_precisions_are_refused():
    with pytest.raises(ValueError, match="expected a precision of fp32, bf16, fp16, got 'fp8'"):
        Run(precision="fp8")


def test_ranks_come_from_torchrun(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert torchrun() == (0, 1, 0)
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert torchrun() == (0, 1, 0)  # Some schedulers set these two for purposes of their own.
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert torchrun() == (5, 8, 1)
