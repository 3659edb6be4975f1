import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import toy_task

from assay import __version__, catalog
from assay.app import cli
from assay.app.cli import COMMANDS, main
from assay.core.board import Board

TOY = [sys.executable, "-c", "\n".join([
    "import sys",
    f"sys.path.insert(0, {str(Path(toy_task.__file__).parent)!r})",
    "from assay import catalog",
    "catalog.TASKS['toy'] = 'toy_task:task'",
    "from assay.app.cli import main",
    "sys.exit(main())",
])]  # fmt: skip


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    monkeypatch.setattr(catalog, "TASKS", {"toy": "toy_task:task"})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)


def run(capsys, *words):
    """Exit status, standard output, standard error."""
    status = main(words)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# What is typed


def test_nothing_and_help_show_the_commands(capsys):
    for words in ((), ("--help",), ("-h",)):
        status, out, err = run(capsys, *words)
        assert status == 0
        assert err == ""
        for name, command in COMMANDS.items():
            assert f"  {name} " in out
            assert (command.__doc__ or "").splitlines()[0] in out


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"assay {__version__}\n", "")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("tasks", ""),
        ("methods", "[TASK]"),
        ("compare", "TASK --data --methods --set --with --peers --seeds --budget --scale --threads --jobs"),
        ("compare", "--on --time-limit --memory-limit --runs --json --html"),
        ("fit", "TASK METHOD --data --out --set --seed --budget --scale --threads"),
        ("predict", "MODEL --data --out --proba"),
        ("search", "MODEL TEXT --data --policy --top --sheet"),
        ("claim", "[NAME --seeds --scale --jobs --time-limit --runs --records"),
        ("report", "--out --runs --records"),
        ("data", "[NAME|FILE]"),
    ],
)  # fmt: skip
def test_help_names_every_option_and_explains_it(capsys, monkeypatch, command, options):
    monkeypatch.setenv("COLUMNS", "200")
    status, out, err = run(capsys, command, "--help")
    assert (status, err) == (0, "")
    lines = [line.strip("│| ") for line in out.splitlines()]
    for option in [*options.split(), "--traceback", "--pdb"]:
        [at] = [at for at, line in enumerate(lines) if f"{line} ".startswith(option + " ")]
        explained = " ".join([lines[at].removeprefix(option), lines[at + 1]])
        assert re.search(r"[A-Z][a-z]*[ ,].*\.", explained), option
    assert "--line" not in out
    assert "default: False" not in out


def test_help_with_a_task_shows_the_tasks_options(capsys, monkeypatch):
    monkeypatch.setattr(catalog, "TASKS", {"tabular": "assay.tabular.task:task"})
    status, out, err = run(capsys, "compare", "tabular", "--help")
    assert (status, err) == (0, "")
    assert out.startswith("usage: assay compare tabular [-h] [OPTIONS]\n")
    assert "Which data, and what is asked of them." in out
    assert "--target" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cmpare",), "there is no command 'cmpare'; did you mean 'compare'?"),
        (("--foo",), "there is no command '--foo'"),
        (("compare",), "error: assay compare: expected TASK\n"),
        (("fit", "toy"), "error: assay fit toy: expected METHOD, --out FOLDER\n"),
        (("compare", "tyo"), "there is no task 'tyo'; did you mean 'toy'?"),
        (("compare", "toy", "--sed", "5"), "--sed, 5; did you mean --se"),
        (("compare", "toy", "--seeds", "many"), "error: --seeds: expected a whole number, got 'many'\n"),
        (("compare", "toy", "--jobs", "1.5"), "error: --jobs: expected a whole number, got '1.5'\n"),
        (("compare", "toy", "--data"), "error: --data: expected a value\n"),
        (("compare", "toy", "--seeds", "0"), "seeds"),
        (("compare", "toy", "--scale", "big"), "--scale: expected 'smoke', 'default', 'full', got 'big'\n"),
        (("compare", "toy", "--on", "mars"), "--on: expected 'ray', got 'mars'\n"),
        (("compare", "toy", "--methods", "meen"), "toy has no method 'meen'; did you mean 'mean'?"),
        (("compare", "toy", "--methods", "missing-peer"), "missing-peer needs a-package"),
        (("compare", "toy", "--methods", ","), "nothing to compare"),
        (("compare", "toy", "--set", "mean.bia=3"), "bia"),
        (("compare", "toy", "--set", "meen.bias=3"), "did you mean 'mean'?"),
        (("compare", "toy", "--set", "bias=3"), "METHOD.NAME=VALUE"),
        (("compare", "toy", "--budget", "soon"), "expected a budget such as 60s"),
        (("compare", "toy", "--time-limit", "5epochs"), "expected a time"),
        (("compare", "toy", "--memory-limit", "much"), "expected an amount of memory"),
        (("compare", "toy", "--with", "nowhere:Class"), "nowhere"),
        (("compare", "toy", "--with", "toy_task"), "package.module:Name"),
        (("compare", "toy", "--with", "toy_task:Numbers"), "--with:"),
        (("compare", "toy", "--json", "no/where.json"), "there is no folder no"),
        (("compare", "toy", "--html", "."), "this is a folder"),
        (("compare", "toy", "--threads", "0"), "at least 1"),
        (("compare", "toy", "--data", "gone.csv"), "gone.csv"),
        (("methods", "tyo"), "did you mean 'toy'?"),
        (("fit", "toy", "meen", "--out", "m"), "did you mean 'mean'?"),
        (("fit", "toy", "mean", "--out", "m", "--set", "bia=1"), "bia"),
        (("fit", "toy", "mean", "--out", "m", "--set", "1"), "NAME=VALUE"),
        (("fit", "toy", "mean"), "error: assay fit toy: expected --out FOLDER\n"),
        (("predict", "gone", "--data", "a.csv"), "gone: expected a folder that `assay fit` wrote"),
        (("predict", "gone", "--data", "a.csv", "--out", "p.xls"), "ends in .csv"),
        (("claim", "--seeds", "0"), "at least 1"),
        (("claim", "nobody/said"), "there is no claim 'nobody/said'"),
        (("data", "gone.csv"), "there is no file and no data set 'gone.csv'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(capsys, monkeypatch, tmp_path, words, message):
    monkeypatch.setattr(catalog, "CLAIMS", {})
    status, out, err = run(capsys, *words)
    assert status == 2
    assert out == ""
    assert err.startswith("assay: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


# Listings


def test_tasks_and_methods(capsys):
    status, out, _ = run(capsys, "tasks")
    assert status == 0
    assert "Where is the centre?" in out
    assert "2 + 2 peers" in out
    status, out, _ = run(capsys, "methods", "toy")
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert list(lines) == ["mean", "median", "peer-mean", "missing-peer"]
    assert "The arithmetic mean" in lines["mean"]
    assert lines["missing-peer"].rstrip().endswith("peer, needs a-package")
    assert run(capsys, "methods")[1].startswith("method")


# Comparing


def test_compare_writes_board_page_and_json(capsys, tmp_path):
    words = (
        "compare",
        "toy",
        "--seeds",
        "3",
        "--peers",
        "--set",
        "mean.bias=2",
        "--json",
        "b.json",
        "--html",
        "b.html",
    )
    status, out, err = run(capsys, *words)
    assert status == 0
    assert "Where is the centre?" in out
    assert "median" in out
    assert "\x1b" not in out
    assert err == "report: b.html\n"
    value = json.loads(Path("b.json").read_text("utf-8"))
    assert value["task"] == "toy"
    assert value["data"]["name"] == "numbers"
    assert value["metrics"][0] == {"name": "squared error", "better": "lower", "unit": ""}
    methods = {method["name"]: method for method in value["methods"]}
    assert set(methods) == {"mean", "median", "peer-mean"}
    assert [methods[name]["peer"] for name in ("mean", "median", "peer-mean")] == [False, False, True]
    for method in methods.values():
        assert {"name", "peer", "status", "error", "settings", "metrics", "cost"} <= set(method)
        assert method["status"] == "ok"
        assert method["error"] is None
        assert set(method["metrics"]) == {"squared error", "absolute error"}
        found = method["metrics"]["squared error"]
        assert set(found) == {"mean", "low", "high", "values"}
        assert len(found["values"]) == 3
        assert found["low"] < found["mean"] < found["high"]
    assert methods["mean"]["settings"] == {"bias": 2}
    assert len(value["differences"]) == 3
    assert "assay compare toy --seeds 3 --peers --set mean.bias=2" in Path("b.html").read_text("utf-8")
    assert Board.read("b.json").winner == Board.from_json(value).winner
    assert len(list(Path("runs/boards").iterdir())) == 1


def test_exit_status_and_row_when_methods_fail(capsys):
    words = ("compare", "toy", "--seeds", "1", "--runs", "r", "--with", "toy_task:Trouble")
    status, out, err = run(capsys, *words)
    assert status == 0
    assert "Trouble: error: ValueError: the centre cannot hold" in out
    assert "the centre cannot hold" in err
    assert [line.split()[0] for line in out.splitlines() if " Trouble " in line] == ["error"]
    status, out, _ = run(capsys, *words, "--methods", "")
    assert status == 1
    assert "No method finished every seed." in out


def test_a_users_class_in_the_working_folder_joins(capsys, tmp_path):
    Path("mine.py").write_text(
        "from dataclasses import dataclass\nfrom toy_task import Centre\n\n"
        "@dataclass(kw_only=True)\nclass Fixed:\n    value: float = 3.0\n\n"
        "    def fit(self, train, *, run):\n        return Centre(self.value)\n"
    )
    words = ("--seeds", "2", "--with", "mine:Fixed", "--set", "Fixed.value=2.5", "--methods", "mean")
    status, out, _ = run(capsys, "compare", "toy", *words, "--json", "b.json")
    assert status == 0
    assert "Fixed" in out
    rows = {row.name: row for row in Board.read("b.json").rows}
    assert rows["Fixed"].settings == {"value": 2.5}
    assert rows["Fixed"].status == "ok"


def test_piped_output_cuts_no_name(tmp_path):
    command = [*TOY, "compare", "toy", "--seeds", "2", "--with", "toy_task:Trouble"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "40"})
    assert done.returncode == 0
    assert "…" not in done.stdout
    assert "\x1b" not in done.stdout
    for words in ("squared error ↓", "absolute error ↓", "Trouble", "median", "predict", "memory", "model"):
        assert words in done.stdout
    pipe = ["bash", "-o", "pipefail", "-c", '"$@" | head -n 1', "-", *TOY, "methods", "toy"]
    head = subprocess.run(pipe, capture_output=True, text=True)
    assert head.stdout.split() == ["method", "what", "it", "is", "paper", "installed"]
    assert head.stderr == ""


def test_interrupt_says_that_a_rerun_continues():
    command = [*TOY, "compare", "toy", "--seeds", "1", "--methods", "median", "--set", "median.seconds=60"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not list(Path("runs").glob("toy/.*/trial.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err == "assay: interrupted; what has finished is kept, and the same command continues\n"


@pytest.mark.parametrize(("words", "kept"), [((), False), (("--checkpoints", "kept"), True)])
def test_an_interrupted_fit_says_so_if_it_can_go_on(capsys, monkeypatch, words, kept):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS["fit"], "run", interrupted)
    status, _, err = run(capsys, "fit", "toy", "mean", "--out", "m", *words)
    assert status == 130
    assert err.startswith("assay: interrupted")
    assert ("the same command continues" in err) == kept


def test_a_warning_is_one_line(capsys, monkeypatch):
    def warned(self):
        warnings.warn("one\n  two", RuntimeWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(COMMANDS["tasks"], "run", warned)
    assert run(capsys, "tasks") == (0, "", "assay: warning: one two\n")


def test_tasks_import_nothing_heavy():
    check = (
        "import sys; from assay.app.cli import main; main(['tasks']);"
        "heavy = {'torch', 'sklearn', 'pandas', 'polars', 'scipy', 'plotly', 'jinja2'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tabular" in done.stdout


def test_the_installed_command_is_this_one():
    from importlib.metadata import entry_points

    [point] = entry_points(group="console_scripts", name="assay")
    assert point.load() is cli.main
