import sys

import pytest

from assay.core import progress
from assay.core.progress import Display
from assay.core.trial import Result, Trial

TRIAL = Trial(
    task="toy", data="", name="mean", spec=None, code="", seed=4, budget=None, scale="smoke", threads=1
)
OK, FAILED = Result(status="ok"), Result(status="error", error="ValueError: [bold] no " + "x" * 300)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns: clock[0] is the time."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_off_a_terminal_a_line_comes_now_and_then(clock, capfd):
    with Display("toy: numbers", 3) as display:
        for clock[0] in (100.5, 103.0, 109.0):
            display.running({TRIAL: "0.5000 burning"})
        assert capfd.readouterr() == ("", "")
        display.finished(TRIAL, OK)
        clock[0] = 110.5
        display.running({TRIAL: "0.5000 burning"})
        line = "toy: numbers: 1 of 3 trials, now mean (seed 4, 50%)\n"
        assert capfd.readouterr() == ("", line)
        clock[0] = 120.0
        display.running({TRIAL: ""})
        assert capfd.readouterr() == ("", "")
        clock[0] = 121.0
        display.running({TRIAL: ""})
        assert capfd.readouterr() == ("", "toy: numbers: 1 of 3 trials, now mean (seed 4)\n")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("word", ["", "burning", "half done", " 0.5"])
def test_a_word_without_a_fraction_shows_none(clock, capfd, word):
    display = Display("t", 1)
    clock[0] += 11
    display.running({TRIAL: word})
    assert capfd.readouterr().err == "t: 0 of 1 trials, now mean (seed 4)\n"


def test_a_failure_is_said_at_once_in_one_line_as_it_is(clock, capfd):
    with Display("t", 2) as display:
        display.finished(TRIAL, OK)
        assert capfd.readouterr() == ("", "")
        display.finished(TRIAL, FAILED)
        assert capfd.readouterr() == ("", f"mean, seed 4: error: {FAILED.error}\n")


def test_disabled_it_is_silent(clock, capfd):
    with Display("t", 2, enabled=False) as display:
        clock[0] += 60
        display.running({TRIAL: "0.5 x"})
        display.finished(TRIAL, FAILED)
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_a_bar_appears_after_two_seconds_and_goes(clock, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with Display("toy: numbers", 3) as display:
        clock[0] += 1
        display.running({TRIAL: "0.5 x"})
        assert capfd.readouterr() == ("", "")
        clock[0] += 2
        display.finished(TRIAL, OK)
        display.running({TRIAL: "0.5 x"})
    out, err = capfd.readouterr()
    assert out == ""
    assert "toy: numbers" in err
    assert "1/3" in err
    assert "mean (seed 4, 50%)" in err
    assert err.endswith("\x1b[2K")  # The line of the bar is wiped.
