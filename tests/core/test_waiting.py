import io
import re
import time

import pytest

from assay.core import waiting
from assay.core.waiting import Waiting


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(waiting, "_PATIENCE", 0.02)


def test_what_takes_long_is_said_once_off_a_terminal(impatient, capsys):
    with Waiting("fitting") as shown:
        time.sleep(0.3)
        shown.progress(0.5, "round 5")
    captured = capsys.readouterr()
    assert captured.err == "fitting ...\n"
    assert captured.out == ""


def test_off_a_terminal_a_line_comes_now_and_then(impatient, monkeypatch, capsys):
    monkeypatch.setattr(waiting, "BETWEEN_LINES", 0.2)
    with Waiting("fitting") as shown:
        time.sleep(0.1)
        for step in range(30):
            shown.progress(step / 30, f"step {step}")
            time.sleep(0.02)
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "fitting ..."
    assert 1 <= len(others) <= 3
    for line in others:
        percent, step = re.fullmatch(r"fitting: (\d+)%, step (\d+)", line).groups()
        assert int(percent) == round(100 * int(step) / 30)


def test_what_is_quick_is_not_said(capsys):
    with Waiting("fitting") as shown:
        shown.progress(0.5, "round 5")
    time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_an_error_ends_the_waiting(impatient, capsys):
    with pytest.raises(ValueError), Waiting("fitting"):
        raise ValueError
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(impatient, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with Waiting("fitting") as shown:
        time.sleep(0.3)
        shown.progress(0.5, "round 5")
        time.sleep(0.3)
    assert "fitting" in screen.getvalue()
    assert "round 5" in screen.getvalue()
