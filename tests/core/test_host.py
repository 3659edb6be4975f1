import contextlib
import dataclasses
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import toy_task
from toy_task import Centre, Mean, Trouble

from assay.core.host import Host
from assay.core.method import spec
from assay.core.trial import Store, Trial

PATIENCE = 60.0  # seconds until a test gives up; none of them needs one


@pytest.fixture
def kept(tmp_path):
    return Store(tmp_path / "runs").keep_data(toy_task.task, toy_task.task.load(scale="smoke"))


@contextlib.contextmanager
def hosting(data, preload=(), live=None, task=toy_task.task):
    host = Host(task, data, list(preload), live or {})
    try:
        yield host
    finally:
        host.close()


def folder_of(parent, name, method=None, seed=0):
    """A folder with the description of a trial; of a live one where there is no method."""
    folder = parent / name
    folder.mkdir()
    written = None if method is None else spec(method)
    trial = Trial(
        task="toy",
        data="",
        name=name,
        spec=written,
        code="",
        seed=seed,
        budget=None,
        scale="smoke",
        threads=1,
    )
    (folder / "trial.json").write_text(json.dumps(dataclasses.asdict(trial)))
    return folder


def until(host, key, count=1):
    """The events up to the `count`-th of that kind."""
    events, deadline = [], time.monotonic() + PATIENCE
    while sum(key in event for event in events) < count:
        assert time.monotonic() < deadline, events
        events += host.events(0.1)
    return events


def alive(pid):
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid):
    deadline = time.monotonic() + PATIENCE
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_trials_start_in_processes_of_their_own_and_their_ends_are_told(tmp_path, kept):
    folders = {
        folder_of(tmp_path, "mean", Mean()): 0,
        folder_of(tmp_path, "exit", Trouble(how="exit")): 3,
        folder_of(tmp_path, "killed", Trouble(how="killed")): -signal.SIGKILL,
        folder_of(tmp_path, "raise", Trouble()): 0,
    }
    with hosting(kept) as host:
        assert host.events(0.0) == []
        for folder in folders:
            host.start(folder)
        events = until(host, "ended", len(folders))
    pids = {Path(event["folder"]): event["started"] for event in events if "started" in event}
    codes = {event["ended"]: event["code"] for event in events if "ended" in event}
    assert {folder: codes[pid] for folder, pid in pids.items()} == folders
    assert len({*pids.values(), os.getpid()}) == len(folders) + 1
    statuses = {
        folder.name: json.loads((folder / "result.json").read_text())["status"]
        for folder in folders
        if (folder / "result.json").exists()
    }
    assert statuses == {"mean": "ok", "raise": "error"}
    result = json.loads((tmp_path / "raise" / "result.json").read_text())
    assert "the centre cannot hold" in result["traceback"]


def test_output_is_kept_in_the_folder_and_silence_leaves_no_file(tmp_path, kept, capfd):
    loud, quiet = folder_of(tmp_path, "loud", Trouble(how="print")), folder_of(tmp_path, "quiet", Mean())
    with hosting(kept) as host:
        host.start(loud)
        host.start(quiet)
        until(host, "ended", 2)
    assert capfd.readouterr() == ("", "")
    assert (loud / "output.txt").read_bytes().startswith(b"[2031616 bytes left out]\n")
    assert not (quiet / "output.txt").exists()


def test_a_method_that_cannot_be_built_leaves_its_traceback(tmp_path, kept):
    folder = folder_of(tmp_path, "mean", Mean())
    trial = json.loads((folder / "trial.json").read_text())
    trial["spec"] = trial["spec"].replace("toy_task:Mean", "toy_task:Mode")
    (folder / "trial.json").write_text(json.dumps(trial))
    with hosting(kept) as host:
        host.start(folder)
        assert until(host, "ended")[-1]["code"] == 1
    assert "module 'toy_task' has no 'Mode'" in (folder / "traceback.txt").read_text().splitlines()[-1]
    assert not (folder / "result.json").exists()


def test_killing_ends_one_trial_and_not_its_neighbour(tmp_path, kept):
    with hosting(kept) as host:
        host.start(folder_of(tmp_path, "one", Trouble(how="sleep")))
        host.start(folder_of(tmp_path, "two", Trouble(how="sleep")))
        one, two = (event["started"] for event in until(host, "started", 2))
        host.kill(1)  # Not a trial of this host: ignored.
        host.kill(one)
        assert until(host, "ended") == [{"ended": one, "code": -signal.SIGKILL}]
        assert gone(one)
        assert alive(two)
    assert gone(two)


@dataclass(frozen=True)
class Parent:
    """Starts a process, says which, and waits or leaves it behind."""

    note: str
    waits: bool

    def fit(self, train, *, run):
        child = os.fork()
        if child == 0:
            time.sleep(3600)
            os._exit(0)
        Path(self.note).write_text(str(child))
        if self.waits:
            os.waitpid(child, 0)
        return Centre(0.0)


@pytest.mark.parametrize("waits", [True, False])
def test_what_a_trial_started_ends_with_it(tmp_path, kept, waits):
    note = tmp_path / "note"
    with hosting(kept, live={"parent": Parent(str(note), waits)}) as host:
        host.start(folder_of(tmp_path, "parent"))
        [event] = until(host, "started")[:1]
        deadline = time.monotonic() + PATIENCE
        while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        if waits:
            host.kill(event["started"])
        assert gone(int(note.read_text()))


def test_live_methods_and_live_data_reach_trials_by_fork(tmp_path):
    class Local(Mean):  # Has no spec: no other process can import it.
        def fit(self, train, *, run):
            return Centre(float(len(train)))

    assert spec(Local()) is None
    folder = folder_of(tmp_path, "local")
    with hosting(toy_task.task.load([1.0] * 10), live={"local": Local()}) as host:
        host.start(folder)
        assert until(host, "ended")[-1]["code"] == 0
    assert json.loads((folder / "model" / "centre.json").read_text()) == 5.0


def test_a_module_that_cannot_be_preloaded_is_left_to_the_trial_that_needs_it(tmp_path, kept):
    folder = folder_of(tmp_path, "mean", Mean())
    with hosting(kept, preload=["no_such_module", "toy_task"]) as host:
        host.start(folder)
        assert until(host, "ended")[-1]["code"] == 0


def test_the_death_of_the_host_is_an_error(tmp_path):
    class Deadly(toy_task.Toy):
        def open_data(self, folder):
            os._exit(1)

    with hosting(tmp_path, task=Deadly()) as host:
        with pytest.raises(RuntimeError, match="the process that starts the trials has died"):
            host.events(PATIENCE)
        with pytest.raises(RuntimeError, match="the process that starts the trials has died"):
            keep_starting(host, tmp_path)


def keep_starting(host, folder):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:  # The two pipes of a dead host need not close in the same instant.
        host.start(folder)
        time.sleep(0.01)
