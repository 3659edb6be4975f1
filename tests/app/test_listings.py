import sys

import pytest

from assay import catalog
from assay.app.cli import main


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


def line_of(text, name):
    [line] = [line for line in text.splitlines() if line.split()[:1] == [name]]
    return line


def test_tasks_have_their_question_and_counts(capsys):
    status, out, err = run(capsys, "tasks")
    assert (status, err) == (0, "")
    line = line_of(out, "toy")
    for words in ("Where is the centre?", "2 + 2 peers", "numbers"):
        assert words in line


def test_methods_say_what_they_are_and_what_is_missing(capsys):
    status, out, err = run(capsys, "methods", "toy")
    assert (status, err) == (0, "")
    assert "The arithmetic mean" in line_of(out, "mean")
    assert line_of(out, "mean").rstrip().endswith("yes")
    assert "peer, yes" in line_of(out, "peer-mean")
    assert "peer, needs a-package" in line_of(out, "missing-peer")


def test_methods_of_all_tasks_stand_under_their_names(capsys, monkeypatch):
    assert "\ntoy\n" not in "\n" + run(capsys, "methods")[1]  # A single task needs no heading.
    monkeypatch.setattr(catalog, "TASKS", {"toy": "toy_task:task", "other": "toy_task:task"})
    lines = [line.rstrip() for line in run(capsys, "methods")[1].splitlines()]
    assert lines.index("toy") < lines.index("other")


def test_methods_of_an_unknown_task_are_a_mistake(capsys):
    status, out, err = run(capsys, "methods", "toi")
    assert status != 0
    assert out == ""
    assert "there is no task 'toi'; did you mean 'toy'?" in err


def test_data_shows_what_is_understood_of_a_file(capsys, tmp_path):
    (tmp_path / "people.csv").write_text("age,work\n31,a\n,b\n40,a\n")
    status, out, _ = run(capsys, "data", "people.csv")
    assert status == 0
    assert "3 rows, 2 columns" in out
    assert line_of(out, "age").split()[1:4] == ["numeric", "1", "2"]
    assert line_of(out, "work").split()[1:4] == ["category", "0", "2"]


def test_data_lists_the_data_sets_and_names_them_when_one_is_unknown(capsys):
    from assay.data.datasets import DATASETS

    out = run(capsys, "data")[1]
    for name in DATASETS:
        assert line_of(out, name)
    assert "CC BY-SA 4.0" in line_of(out, "emoji/openmoji")
    status, out, err = run(capsys, "data", "nothing.csv")
    assert status != 0
    assert out == ""
    assert "there is no file and no data set 'nothing.csv'" in err
    assert all(name in err for name in DATASETS)


def test_data_shows_where_a_set_of_pictures_comes_from(capsys):
    status, out, _ = run(capsys, "data", "emoji")
    assert status == 0
    assert "MIT" in line_of(out, "emoji/fluentflat")
    assert "fashion-mnist" not in out
