import dataclasses
import fcntl
import json
import string
import subprocess
import sys

import pytest
import toy_task
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.trial import Cost, Result, Store, Trial

TRIAL = Trial(
    task="toy",
    data="0" * 64,
    name="mean",
    spec='{"class": "toy_task:Mean", "settings": {}}',
    code="c",
    seed=0,
    budget=None,
    scale="default",
    threads=1,
)
COST = Cost(
    fit_wall=1.5, fit_cpu=1.0, predict_wall=0.1, predict_cpu=0.05, peak_memory=3 << 20, model_size=None
)
RESULT = Result(
    status="ok", metrics={"error": 0.1, "loss": 2.0}, cost=COST, curve=((1.0, 0.5), (2.0, 0.25)), test_rows=7
)
CHANGES = {
    "task": "other",
    "data": "1" * 64,
    "spec": '{"class": "toy_task:Mean", "settings": {"bias": 1.0}}',
    "code": "d",
    "seed": 1,
    "budget": "60s",
    "scale": "smoke",
    "threads": 2,
    "device": "cuda",
    "precision": "bf16",
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Trial)])
def test_key_changes_with_every_field_but_the_name_of_a_method_with_a_spec(field):
    changed = dataclasses.replace(
        TRIAL, **({field: "another"} if field == "name" else {field: CHANGES[field]})
    )
    assert (changed.key == TRIAL.key) == (field == "name")


def test_key_of_a_live_method_depends_on_its_name():
    live = dataclasses.replace(TRIAL, spec=None)
    assert live.key != TRIAL.key
    assert dataclasses.replace(live, name="another").key != live.key


def test_key_is_short_hexadecimal_and_survives_json():
    assert len(TRIAL.key) == 20
    assert set(TRIAL.key) <= set(string.hexdigits.lower())
    assert Trial(**json.loads(json.dumps(dataclasses.asdict(TRIAL)))).key == TRIAL.key


finite = st.floats(allow_nan=False, allow_infinity=False)
costs = st.builds(
    Cost,
    fit_wall=finite,
    fit_cpu=finite,
    predict_wall=finite,
    predict_cpu=finite,
    peak_memory=st.integers(0, 1 << 50),
    model_size=st.none() | st.integers(0, 1 << 50),
)
results = st.builds(
    Result,
    status=st.sampled_from(["ok", "error", "nan", "timeout", "memory", "killed"]),
    error=st.none() | st.text(),
    metrics=st.dictionaries(st.text(), finite, max_size=3),
    cost=st.none() | costs,
    curve=st.lists(st.tuples(finite, finite), max_size=3).map(tuple),
    test_rows=st.none() | st.integers(0, 1 << 50),
)


@settings(max_examples=60, deadline=None)
@given(results)
def test_result_reads_back_from_json_text_bit_for_bit(result):
    assert Result.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False))) == result


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"cost": {"fit_wall": 1.0}}, TypeError),
        ({"curve": None}, TypeError),
        ({"curve": [[1.0]]}, ValueError),
        ({"shape": 3}, TypeError),
    ],
)
def test_result_refuses_what_it_did_not_write(change, error):
    with pytest.raises(error):
        Result.from_json(RESULT.to_json() | change)


@pytest.mark.parametrize("field", ["status", "cost", "curve"])
def test_result_refuses_a_missing_field(field):
    value = RESULT.to_json()
    del value[field]
    with pytest.raises((TypeError, KeyError)):
        Result.from_json(value)


def _keep(store, text):
    folder = store.path(TRIAL)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(text)


def test_store_finds_a_result_that_is_whole_and_well(tmp_path):
    store = Store(tmp_path)
    assert store.path(TRIAL) == tmp_path / "toy" / TRIAL.key
    assert store.result(TRIAL) is None
    _keep(store, json.dumps(RESULT.to_json()))
    assert store.result(TRIAL) == RESULT
    assert store.result(dataclasses.replace(TRIAL, name="alias")) == RESULT
    assert store.result(dataclasses.replace(TRIAL, seed=1)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        json.dumps(RESULT.to_json())[:-5],
        json.dumps(dataclasses.replace(RESULT, status="error", error="no").to_json()),
        json.dumps(RESULT.to_json() | {"cost": {}}),
    ],
)
def test_store_takes_a_damaged_or_failed_result_for_none(tmp_path, text):
    store = Store(tmp_path)
    _keep(store, text)
    assert store.result(TRIAL) is None


HOLD = """
import json, sys
from pathlib import Path
from assay.core.trial import Store, Trial
with Store(Path(sys.argv[1])).claim(Trial(**json.loads(sys.argv[2]))) as mine:
    print(mine, flush=True)
    sys.stdin.readline()
"""


def _holder(folder):
    command = [sys.executable, "-c", HOLD, str(folder), json.dumps(dataclasses.asdict(TRIAL))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("end", ["leaves", "dies"])
def test_one_process_at_a_time_may_run_a_trial(tmp_path, end):
    store = Store(tmp_path)
    with _holder(tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with store.claim(TRIAL) as mine:
            assert not mine
        with store.claim(dataclasses.replace(TRIAL, seed=1)) as mine:
            assert mine
        if end == "dies":
            other.kill()
        else:
            other.communicate("\n")
        other.wait()
    with store.claim(TRIAL) as mine:
        assert mine
        with _holder(tmp_path) as other:
            assert other.communicate("\n")[0] == "False\n"
    assert not list((tmp_path / "toy").iterdir())


@pytest.mark.parametrize("taken", [False, True])
def test_a_lock_that_was_removed_while_it_was_opened_is_none(tmp_path, monkeypatch, taken):
    """The holder leaves between our opening of the file and our lock; a third process may lock a new one."""
    store, real, others = Store(tmp_path), fcntl.flock, []

    def late(file, how):
        if not others:
            (lock,) = (tmp_path / "toy").glob(".*.lock")
            lock.unlink()
            others.append(lock.open("a") if taken else None)
            if taken:
                real(others[0], how)
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with store.claim(TRIAL) as mine:
        assert mine is not taken
        assert len(list((tmp_path / "toy").iterdir())) == 1  # The name stands as long as it is held.
        monkeypatch.setattr(fcntl, "flock", real)
        with store.claim(TRIAL) as second:
            assert not second
    if taken:
        others[0].close()


def test_a_claim_ends_with_an_exception(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.claim(TRIAL):
        raise ZeroDivisionError
    with store.claim(TRIAL) as mine:
        assert mine


def test_data_are_kept_once_and_read_back(tmp_path):
    store, data = Store(tmp_path), toy_task.task.load([1.0, 2.0, 4.0])
    folder = store.keep_data(toy_task.task, data)
    written = (folder / "numbers.npy").stat()
    assert toy_task.task.open_data(folder).fingerprint() == data.fingerprint()
    assert store.keep_data(toy_task.task, data) == folder
    assert (folder / "numbers.npy").stat().st_ino == written.st_ino
    assert store.keep_data(toy_task.task, toy_task.task.load([1.0])) != folder


def test_data_that_cannot_be_kept_leave_nothing(tmp_path):
    class Full(toy_task.Toy):
        def save_data(self, data, folder):
            (folder / "half").write_text("")
            raise OSError("no space left")

    with pytest.raises(OSError, match="the data could not be kept for the trials: no space left"):
        Store(tmp_path).keep_data(Full(), toy_task.task.load([1.0]))
    assert not list((tmp_path / "data").iterdir())


def test_a_folder_of_trials_that_is_a_file_is_named(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(NotADirectoryError, match="the data could not be kept for the trials") as caught:
        Store(tmp_path / "runs").keep_data(toy_task.task, toy_task.task.load([1.0]))
    assert caught.value.filename == str(tmp_path / "runs")
