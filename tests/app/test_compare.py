import json
import sys

import pytest

from assay import catalog
from assay.app.cli import main


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    monkeypatch.setattr(catalog, "TASKS", {"toy": "toy_task:task"})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)


def compare(capsys, *words):
    """Exit status, standard output, standard error of a small comparison."""
    status = main(("compare", "toy", "--scale", "smoke", "--seeds", "1", *words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def names(path):
    return sorted(method["name"] for method in json.loads(path.read_text())["methods"])


def test_settings_and_names_reach_the_board_and_its_files(capsys, tmp_path):
    words = ("--methods", " mean , ", "--set", "mean.bias=2.5", "--json", "b.json", "--html", "b.html")
    status, out, err = compare(capsys, *words)
    assert status == 0
    assert "Where is the centre?" in out
    assert "report: b.html" in out + err
    assert names(tmp_path / "b.json") == ["mean"]
    assert json.loads((tmp_path / "b.json").read_text())["methods"][0]["settings"] == {"bias": 2.5}
    assert "<html" in (tmp_path / "b.html").read_text()


def test_device_and_precision_are_the_boards(capsys, tmp_path):
    words = ("--methods", "mean", "--device", "cuda:0", "--precision", "bf16", "--json", "b.json")
    assert compare(capsys, *words)[0] == 0  # The mean needs no GPU.
    surroundings = json.loads((tmp_path / "b.json").read_text())["environment"]
    assert (surroundings["device"], surroundings["precision"]) == ("cuda:0", "bf16")


def test_a_method_of_ones_own_joins_all_others_or_those_named(capsys, tmp_path):
    assert compare(capsys, "--with", "toy_task:Trouble", "--json", "all.json")[0] == 0
    assert names(tmp_path / "all.json") == ["Trouble", "mean", "median"]
    words = ("--methods", "mean", "--with", "toy_task:Median", "--json", "two.json")
    assert compare(capsys, *words)[0] == 0
    assert names(tmp_path / "two.json") == ["Median", "mean"]


def test_the_status_is_one_when_no_method_finished(capsys):
    status, out, _ = compare(capsys, "--methods", "", "--with", "toy_task:Trouble")
    assert status == 1
    assert "the centre cannot hold" in out


def test_where_a_trial_failed_is_shown_on_request_and_on_the_page(capsys, tmp_path):
    words = ("--methods", "mean", "--with", "toy_task:Trouble")
    assert "in fit" not in compare(capsys, *words)[2]
    _, _, err = compare(capsys, *words, "--traceback", "--html", "b.html")
    assert "Trouble:\nTraceback (most recent call last):" in err
    assert ", in fit\n" in err
    assert ", in fit\n" in (tmp_path / "b.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--threads", "0"), "--threads and --jobs must be at least 1"),
        (("--jobs", "0"), "--threads and --jobs must be at least 1"),
        (("--device", "gpu"), "expected a device cpu, cuda"),
        (("--precision", "fp8"), "--precision"),
        (("--json", "nowhere/b.json"), "--json"),
        (("--methods", "meen"), "did you mean 'mean'"),
        (("--with", "toy_task:json"), "--with: "),
        (("--with", "toy_task:Mode"), "has no 'Mode'"),
    ],
)
def test_mistakes_are_named_before_anything_runs(capsys, tmp_path, words, message):
    status, out, err = compare(capsys, *words)
    assert status not in (0, 1)
    assert out == ""
    assert message in err
    assert not list(tmp_path.rglob("result.json"))
