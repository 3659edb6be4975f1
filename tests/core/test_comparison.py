import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import toy_task
from toy_task import Centre, Mean, Median, Trouble

from assay.core.board import Board
from assay.core.comparison import compare
from assay.core.run import Run
from assay.core.statistics import interval


def race(tmp_path, *methods, **options) -> Board:
    options = {"runs": tmp_path / "runs", "progress": False, "seeds": 2, "jobs": 2} | options
    return compare(toy_task.task, methods=list(methods) or None, **options)


def test_values_intervals_and_models_are_those_of_fitting_by_hand(tmp_path):
    board = race(tmp_path, "mean", "median", seeds=4)
    data = toy_task.task.load()
    for name, method in {"mean": Mean(), "median": Median()}.items():
        expected = []
        for seed in range(4):
            train, test = toy_task.task.split(data, seed)
            model = method.fit(train, run=Run(seed=seed))
            expected.append(np.mean((model.value - test.values) ** 2))
            assert board.model(name, seed) == model
        row = board.row(name)
        assert row.values("squared error") == pytest.approx(expected, rel=1e-12)
        summary = board.to_json()["methods"][[r.name for r in board.ranking].index(name)]
        assert summary["metrics"]["squared error"]["mean"] == interval(expected).mean
        assert summary["cost"]["fit_wall"]["mean"] >= 0
        assert summary["cost"]["model_size"]["values"] == [len(json.dumps(model.value))] or len(expected) > 1


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("raise", "error", "ValueError: the centre cannot hold"),
        ("killed", "killed", "signal 9"),
        ("exit", "error", "exit status 3"),
        ("memory-error", "memory", "out of memory"),
        ("nan", "nan", "squared error, absolute error are not finite numbers"),
    ],
)
def test_a_trial_that_goes_wrong_is_a_row_and_the_rest_goes_on(tmp_path, how, status, words):
    board = compare(
        toy_task.task,
        methods={"bad": Trouble(how=how), "mean": Mean()},
        runs=tmp_path,
        seeds=2,
        progress=False,
    )
    bad = board.row("bad")
    assert bad.status == status
    assert words in (bad.error or "")
    assert "2 of 2 seeds" in (bad.error or "")
    assert board.row("mean").status == "ok"
    assert board.ranking[-1].name == "bad"
    assert bad.error in str(board).replace("\n", " ") or words.split()[0] in str(board)


def test_time_limit_ends_a_trial(tmp_path):
    board = compare(
        toy_task.task,
        methods={"slow": Trouble(how="sleep")},
        runs=tmp_path,
        seeds=1,
        time_limit=1.5,
        progress=False,
    )
    assert board.row("slow").status == "timeout"
    assert "not finished after 1.5 s" in (board.row("slow").error or "")


def test_memory_limit_ends_a_trial(tmp_path):
    board = compare(
        toy_task.task,
        methods={"hungry": Trouble(how="memory"), "mean": Mean()},
        runs=tmp_path,
        seeds=1,
        memory_limit=400_000_000,
        progress=False,
    )
    assert board.row("hungry").status == "memory"
    assert "the limit is 400 MB" in (board.row("hungry").error or "")
    assert board.winner is None
    assert board.leader is not None
    assert board.leader.name == "mean"


def test_a_megabyte_of_output_is_kept_out_of_the_way(tmp_path, capfd):
    board = race(tmp_path, Trouble(how="print"), seeds=1)
    assert board.rows[0].status == "ok"
    assert capfd.readouterr() == ("", "")
    [output] = (tmp_path / "runs").rglob("output.txt")
    assert output.stat().st_size < 70_000
    assert output.read_bytes().startswith(b"[2031616 bytes left out]")


def test_finished_trials_are_not_run_again_but_failed_ones_are(tmp_path):
    flag = str(tmp_path / "flag")
    for _ in range(2):
        race(tmp_path, Trouble(how="count", flag=flag), seeds=3)
    assert sorted(Path(flag).read_text().split()) == ["0", "1", "2"]
    race(tmp_path, Trouble(how="count", flag=flag), seeds=5)
    assert sorted(Path(flag).read_text().split()) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("damage", ["", '{"status": "ok"', '{"status": "ok"}', "[]", "\0\0"])
def test_a_damaged_result_is_run_again(tmp_path, damage):
    first = race(tmp_path, "mean", seeds=1)
    [result] = (tmp_path / "runs" / "toy").rglob("result.json")
    result.write_text(damage)
    again = race(tmp_path, "mean", seeds=1)
    assert again.row("mean").values("squared error") == first.row("mean").values("squared error")
    assert json.loads(result.read_text())["status"] == "ok"


def test_two_comparisons_in_one_folder_share_the_work(tmp_path):
    flag = str(tmp_path / "flag")
    boards: list[Board] = []

    def run() -> None:
        boards.append(race(tmp_path, Trouble(how="count", flag=flag), Median(seconds=0.3), seeds=3, jobs=1))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Path(flag).read_text().split()) == ["0", "1", "2"]
    assert [row.status for board in boards for row in board.rows] == ["ok"] * 4
    assert boards[0].rows == boards[1].rows
    assert not list((tmp_path / "runs").rglob(".*-*"))


SCRIPT = """
import toy_task
from toy_task import Median, Trouble
from assay.core.comparison import compare
compare(toy_task.task, methods={"count": Trouble(how="count", flag=%r), "slow": Median(seconds=%r)},
        seeds=3, jobs=1, runs=%r, progress=False)
"""


def _children(pid: int) -> set[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return set()
    found = {int(word) for word in text.split()}
    return found.union(*map(_children, found)) if found else found


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_comparison_leaves_no_process_and_continues_where_it_stopped(tmp_path, sent):
    flag, runs = str(tmp_path / "flag"), tmp_path / "runs"
    environment = {**os.environ, "PYTHONPATH": str(Path(toy_task.__file__).parent)}
    command = [sys.executable, "-c", SCRIPT % (flag, 60.0, str(runs))]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not list(runs.rglob("progress")) and time.monotonic() < deadline:
        time.sleep(0.05)  # Until the slow trial of seed 0 runs; the quick one of seed 0 is finished by then.
    started = _children(process.pid)
    assert started
    process.send_signal(sent)
    process.communicate(timeout=20)
    assert process.returncode != 0
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert Path(flag).read_text().split() == ["0"]
    if sent == signal.SIGINT:
        assert not [p for p in (runs / "toy").glob(".*") if p.is_dir()]
    board = compare(
        toy_task.task,
        methods={"count": Trouble(how="count", flag=flag), "slow": Median(seconds=0.0)},
        seeds=3,
        runs=runs,
        progress=False,
    )
    assert [row.status for row in board.rows] == ["ok", "ok"]
    assert sorted(Path(flag).read_text().split()) == ["0", "1", "2"]


def test_methods_enter_as_objects_classes_and_mappings(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Local:  # Cannot be imported by another process.
        constant: float = 3.0

        def fit(self, train, *, run):
            return Centre(self.constant)

    board = race(tmp_path, "mean", Local, seeds=1)
    assert [row.name for row in board.rows] == ["mean", "Local"]
    assert board.model("Local") == Centre(3.0)
    board = compare(
        toy_task.task,
        methods={"one": Local(constant=1.0), "two": Local(constant=2.0), "m": "mean"},
        settings={"two": {"constant": 5.0}, "m": {"bias": 1.0}},
        runs=tmp_path,
        seeds=1,
        progress=False,
    )
    assert board.model("one") == Centre(1.0)
    assert board.model("two") == Centre(5.0)
    assert dict(board.row("m").settings) == {"bias": 1.0}


def test_a_live_method_with_other_settings_is_another_trial(tmp_path):
    class Shifted:  # Local and without get_params: it reaches its trial by fork.
        def __init__(self, by):
            self.by = by

        def fit(self, train, *, run):
            return Centre(float(np.mean(train.values)) + self.by)

    first, second, again = (race(tmp_path, Shifted(by)) for by in (0.0, 1000.0, 0.0))
    assert [row.settings for row in (*first.rows, *second.rows)] == [{"by": 0.0}, {"by": 1000.0}]
    assert second.rows[0].values("squared error") > (9e5, 9e5)
    assert first.rows[0].values("squared error") < (9e5, 9e5)
    assert again.rows[0].results == first.rows[0].results  # Its costs, too: it was not run again.


def register(folder, monkeypatch, name):
    """Installs a package whose entry point says that `name` of its module is the method toy.theirs."""
    about = folder / "their_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[assay.methods]\ntoy.theirs = their_module:{name}\n")
    (folder / "their_module.py").write_text("from toy_task import Mean\n\nclass Theirs(Mean):\n    pass\n")
    monkeypatch.syspath_prepend(folder)


def test_methods_of_installed_packages_join_by_entry_point(tmp_path, monkeypatch):
    register(tmp_path, monkeypatch, "Theirs")
    board = race(tmp_path)
    assert [row.name for row in board.rows] == ["mean", "median", "theirs"]
    assert board.row("theirs").values("squared error") == board.row("mean").values("squared error")
    board = race(tmp_path, "theirs", settings={"theirs": {"bias": 5.0}})
    assert [row.settings for row in board.rows] == [{"bias": 5.0}]


def test_an_entry_point_that_leads_nowhere_is_named_with_its_package(tmp_path, monkeypatch):
    register(tmp_path, monkeypatch, "Gone")
    with pytest.raises(ValueError, match=r"their-package registers the method 'toy\.theirs', .*'Gone'"):
        race(tmp_path)


def test_peers_join_when_installed(tmp_path):
    board = race(tmp_path, peers=True, seeds=1)
    assert [row.name for row in board.rows] == ["mean", "median", "peer-mean"]
    assert [row.peer for row in board.rows] == [False, False, True]
    with pytest.raises(ValueError, match="missing-peer needs a-package, which is not installed"):
        race(tmp_path, "missing-peer")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["meen"]}, r"has no method 'meen'; did you mean 'mean'\?$"),
        ({"methods": ["xyzzy"]}, "has no method 'xyzzy'; it has mean, median"),
        ({"methods": []}, "nothing to compare"),
        ({"methods": ["mean", "mean"]}, "two methods are called 'mean'"),
        ({"methods": [3]}, r"expected an object with fit\(...\) as a method, got 3"),
        ({"settings": {"meen": {}}}, "settings name 'meen'"),
        ({"settings": {"mean": {"bais": 1}}}, "has no setting 'bais'"),
        ({"seeds": 0}, "positive number of seeds"),
        ({"seeds": [1, 1]}, "different seeds"),
        ({"budget": "soon"}, "expected a budget such as 60s"),
        ({"on": "mars"}, "on must be None or 'ray'"),
    ],
)
def test_mistakes_are_named_before_anything_runs(tmp_path, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        compare(toy_task.task, runs=tmp_path / "runs", progress=False, **options)
    assert not list(tmp_path.rglob("result.json"))


def test_unknown_task_has_a_hint():
    with pytest.raises(ValueError, match="there is no task 'tabluar'; did you mean 'tabular'"):
        compare("tabluar")


def test_full_disk_is_said_and_leaves_nothing_half_written(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        with pytest.raises(OSError, match="could not be kept"):
            compare(toy_task.task, np.ones(1 << 17), methods=["mean"], runs=disk, progress=False)
        assert not [path for path in disk.rglob("*") if path.is_file()]
        board = compare(
            toy_task.task,
            methods={"print": Trouble(how="print"), "mean": Mean()},
            runs=disk,
            seeds=1,
            jobs=1,
            progress=False,
        )
        assert board.row("print").status == "error"
        assert board.row("mean").status == "ok"
        assert not [path for path in (disk / "toy").glob(".*") if path.is_dir()]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_unknown_options_of_the_data_are_named(tmp_path):
    class Strict(toy_task.Toy):
        def load(self, source=None, *, scale="default", gamma=0.9):
            return super().load(source)

    with pytest.raises(ValueError, match="toy has no option 'gama'; did you mean 'gamma'"):
        compare(Strict(), gama=0.5, runs=tmp_path, progress=False)
    with pytest.raises(ValueError, match="toy has no option 'sedes'; did you mean 'seeds'"):
        compare(Strict(), sedes=3, runs=tmp_path, progress=False)  # type: ignore[call-arg]


class Choosy(toy_task.Toy):
    def answers(self, name, data):
        return "it has no middle" if name == "median" and len(data) < 1000 else None


def test_a_method_that_does_not_answer_is_not_added_unasked(tmp_path):
    board = compare(Choosy(), runs=tmp_path, seeds=1, progress=False)
    assert [row.name for row in board.rows] == ["mean"]
    board = compare(Choosy(), methods=["median"], runs=tmp_path, seeds=1, progress=False)
    assert [row.status for row in board.rows] == ["ok"]


@dataclass(frozen=True)
class LiveNumbers(toy_task.Numbers):
    live: bool = True


class InMemory(toy_task.Toy):
    def load(self, source=None, **options):
        return LiveNumbers(super().load(source).values)

    def save_data(self, data, folder):
        raise AssertionError("live data is not written")


def test_live_data_reaches_its_trials_and_not_ray(tmp_path):
    board = compare(InMemory(), methods=["mean"], runs=tmp_path, seeds=2, progress=False)
    written = race(tmp_path, "mean")
    assert board.row("mean").status == "ok"
    assert board.row("mean").values("squared error") == written.row("mean").values("squared error")
    with pytest.raises(ValueError, match="numbers exists in this process only"):
        compare(InMemory(), methods=["mean"], runs=tmp_path, progress=False, on="ray")


def test_device_and_precision_reach_the_methods_and_make_other_trials(tmp_path):
    class Curious(Mean):
        def fit(self, train, *, run):
            return Centre({"fp32": 0.0, "bf16": 1.0}[run.precision] + 10 * (run.device != "cpu"))

    options = {"jobs": None, "seeds": 1}
    boards = [race(tmp_path, Curious(), **options, precision=name) for name in ("fp32", "bf16")]
    assert [board.model("Curious", 0).value for board in boards] == [0.0, 1.0]
    assert [board.environment["precision"] for board in boards] == ["fp32", "bf16"]
    on_gpu = race(tmp_path, Curious(), **options, device="cuda:3")
    assert on_gpu.environment["device"] == "cuda:3"
    assert on_gpu.model("Curious", 0).value == 10.0
    for wrong in ({"device": "gpu"}, {"precision": "fp8"}):
        with pytest.raises(ValueError, match="expected a"):
            race(tmp_path, "mean", **wrong)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The centre, and a file that says from when to when it was looked for."""

    folder: str

    def fit(self, train, *, run):
        start = time.monotonic()
        time.sleep(1.0)
        (Path(self.folder) / f"{os.getpid()}.txt").write_text(f"{start} {time.monotonic()}")
        return Centre(0.0)


@pytest.mark.parametrize("alone", [False, True])
def test_where_times_are_compared_trials_wait_for_each_other(tmp_path, monkeypatch, alone):
    monkeypatch.setattr(toy_task.Toy, "alone", alone)
    monkeypatch.setattr("assay.core.comparison.cores", lambda: 2)
    race(tmp_path, Stretch(folder=str(tmp_path)), jobs=None)
    one, two = sorted(tuple(map(float, p.read_text().split())) for p in tmp_path.glob("*.txt"))
    assert (two[0] >= one[1]) == alone
