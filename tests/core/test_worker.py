import dataclasses
import json
import mmap
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import toy_task
from toy_task import Mean, Median, Trouble

from assay.core import worker
from assay.core.trial import Result, Trial

TRIAL = Trial(
    task="toy", data="", name="m", spec=None, code="", seed=3, budget="10steps", scale="smoke", threads=2
)


@pytest.fixture
def data():
    return toy_task.task.load(np.arange(40.0))


def read(folder, name):
    return json.loads((folder / name).read_text())


def test_a_trial_gives_the_metrics_of_split_fit_predict_and_score(tmp_path, data):
    result = worker.execute(TRIAL, toy_task.task, data, Mean(), tmp_path)
    train, test = toy_task.task.split(data, 3)
    errors = train.values.mean() - test.values
    assert result.status == "ok"
    assert result.error is None
    assert result.metrics == pytest.approx(
        {"squared error": np.mean(errors**2), "absolute error": np.mean(np.abs(errors))}, rel=1e-12
    )
    assert result.curve == ((1.0, result.metrics["squared error"]),)
    assert result.test_rows == len(test)
    assert Result.from_json(read(tmp_path, "result.json")) == result
    assert Trial(**read(tmp_path, "trial.json")) == TRIAL
    assert read(tmp_path, "log.jsonl")["mean"] == train.values.mean()
    assert not (tmp_path / "traceback.txt").exists()


def test_costs_are_those_of_the_fit_and_of_the_saved_model(tmp_path, data):
    result = worker.execute(TRIAL, toy_task.task, data, Median(seconds=0.2), tmp_path)
    cost = result.cost
    assert cost is not None
    assert cost.fit_cpu >= 0.2  # It burns that much before it is done.
    assert cost.fit_wall > 0
    assert 0 <= cost.predict_cpu < cost.fit_cpu
    assert cost.model_size == (tmp_path / "model" / "centre.json").stat().st_size
    assert not (tmp_path / "progress").exists()


def test_cpu_of_child_processes_counts(tmp_path, data):
    class Parent(Mean):
        def fit(self, train, *, run):
            code = "import time\nwhile time.process_time() < 0.3: pass"
            subprocess.run([sys.executable, "-c", code], check=True)
            return super().fit(train, run=run)

    cost = worker.execute(TRIAL, toy_task.task, data, Parent(), tmp_path).cost
    assert cost is not None
    assert cost.fit_cpu >= 0.3


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not reset the high-water mark")
def test_peak_memory_is_what_the_fit_takes_above_the_input(tmp_path, data):
    class Hungry(Mean):
        def fit(self, train, *, run):
            # 64 MiB from the kernel, whatever the heap has to spare, and freed at once.
            with mmap.mmap(-1, 64 << 20) as room:
                for page in range(0, len(room), mmap.PAGESIZE):
                    room[page] = 1
            return super().fit(train, run=run)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    ballast = np.ones(16 << 20)  # Resident before the trial, so not the trial's.
    hungry = worker.execute(TRIAL, toy_task.task, data, Hungry(), tmp_path / "a").cost
    modest = worker.execute(TRIAL, toy_task.task, data, Mean(), tmp_path / "b").cost
    assert ballast[-1] == 1
    assert hungry is not None
    assert modest is not None
    assert 60 << 20 < hungry.peak_memory < 100 << 20
    assert modest.peak_memory < 30 << 20


def test_a_message_of_several_lines_becomes_one(tmp_path, data):
    class Verbose(toy_task.Mean):
        def fit(self, train, *, run):
            raise RuntimeError("one\n  two\n")

    result = worker.execute(TRIAL, toy_task.task, data, Verbose(), tmp_path)
    assert result.error == "RuntimeError: one two"


@pytest.mark.parametrize(
    ("how", "status", "error", "traced"),
    [
        ("raise", "error", "ValueError: the centre cannot hold", True),
        ("memory-error", "memory", "out of memory", False),
        ("nan", "nan", "squared error, absolute error are not finite numbers", False),
    ],
)
def test_what_goes_wrong_is_the_status(tmp_path, data, how, status, error, traced):
    result = worker.execute(TRIAL, toy_task.task, data, Trouble(how=how), tmp_path)
    assert result == Result(status=status, error=error)
    assert Result.from_json(read(tmp_path, "result.json")) == result
    assert (result.traceback is not None) == traced
    if traced:
        assert read(tmp_path, "result.json")["traceback"] == result.traceback
        assert "in fit" in result.traceback
        assert result.traceback.strip().endswith(error)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_learning_curve_that_is_no_number_is_the_status_too(tmp_path, data, value):
    class Gap(toy_task.Toy):
        def curve(self, model, test):
            return [(1, 0.5), (2, value), (3, 0.25)]

        def curve_axis(self):
            return "step"

    result = worker.execute(TRIAL, Gap(), data, Mean(), tmp_path)
    assert result == Result(status="nan", error="the learning curve is not a finite number at step 2")
    assert Result.from_json(read(tmp_path, "result.json")) == result
    assert not (tmp_path / "model").exists()


def test_memory_error_keeps_its_words_and_only_bad_metrics_are_named(tmp_path, data):
    class Scarce(Mean):
        def fit(self, train, *, run):
            raise MemoryError("wanted 3 TB")

    class OneBad(toy_task.Toy):
        def score(self, outputs, test):
            return {"good": 1.0, "bad": float("inf")}

    result = worker.execute(TRIAL, toy_task.task, data, Scarce(), tmp_path)
    assert (result.status, result.error) == ("memory", "out of memory: wanted 3 TB")
    result = worker.execute(TRIAL, OneBad(), data, Mean(), tmp_path)
    assert (result.status, result.error) == ("nan", "bad is not a finite number")


def test_a_model_that_cannot_be_saved_leaves_no_folder_and_no_size(tmp_path, data):
    class Unsaved(toy_task.Toy):
        def save_model(self, model, folder):
            return False

    result = worker.execute(TRIAL, Unsaved(), data, Mean(), tmp_path)
    assert result.status == "ok"
    assert result.cost is not None
    assert result.cost.model_size is None
    assert not (tmp_path / "model").exists()


def test_device_precision_and_the_devices_memory(tmp_path, data, monkeypatch):
    seen = []

    class Curious(Mean):
        def fit(self, train, *, run):
            seen.append((run.device, run.precision))
            return super().fit(train, run=run)

    class Cuda:
        @staticmethod
        def max_memory_allocated(device):
            return {"cuda:1": 5 << 20}[device]

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=Cuda))
    on_gpu = dataclasses.replace(TRIAL, device="cuda:1", precision="bf16")
    costs = []
    for trial in (TRIAL, on_gpu):
        folder = tmp_path / trial.key
        folder.mkdir()
        costs.append(worker.execute(trial, toy_task.task, data, Curious(), folder).cost)
    assert seen == [("cpu", "fp32"), ("cuda:1", "bf16")]
    assert [cost and cost.device_memory for cost in costs] == [None, 5 << 20]


def test_the_method_is_given_what_the_trial_says(tmp_path, data):
    seen = {}

    class Curious(Mean):
        def fit(self, train, *, run):
            seen.update(seed=run.seed, threads=run.threads, scale=run.scale, folder=run.folder)
            seen.update(spent=run.spent(steps=5))
            run.progress(0.25, "x" * 1000)
            seen.update(word=(tmp_path / "progress").read_text())
            return super().fit(train, run=run)

    worker.execute(TRIAL, toy_task.task, data, Curious(), tmp_path)
    word = seen.pop("word")
    assert seen == {"seed": 3, "threads": 2, "scale": "smoke", "folder": tmp_path, "spent": 0.5}
    assert word.startswith("0.2500 xxx")
    assert len(word) == 200


@pytest.mark.parametrize("extra", [-1, 0, 1, 5000])
def test_long_output_keeps_its_end(tmp_path, extra):
    kept, path = 64 * 1024, tmp_path / "output.txt"
    content = bytes(i % 251 for i in range(kept + extra))
    path.write_bytes(content)
    worker.shorten_output(path)
    if extra > 0:
        assert path.read_bytes() == f"[{extra} bytes left out]\n".encode() + content[-kept:]
    else:
        assert path.read_bytes() == content


def test_empty_output_is_removed_and_missing_output_is_no_mistake(tmp_path):
    path = tmp_path / "output.txt"
    path.touch()
    worker.shorten_output(path)
    assert not path.exists()
    worker.shorten_output(path)


def test_output_of_python_c_and_children_goes_to_the_file(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from assay.core.worker import redirect_output\n"
        f"redirect_output(Path({str(tmp_path / 'out')!r})); print('python', flush=True)\n"
        "os.write(2, b'handle\\n'); os.system('echo child'); print('end', file=sys.stderr, flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert (tmp_path / "out").read_text().split() == ["python", "handle", "child", "end"]
