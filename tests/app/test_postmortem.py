import errno
import os
import pty
import select
import subprocess
import sys

import pytest

from assay.app.postmortem import explain, is_mistake, one_line

CRASH = """
import sys
from assay.app import cli
from assay.app.listings import Tasks
def run(self):
    secret = 42
    raise {error}
Tasks.run = run
sys.exit(cli.main(["tasks", *sys.argv[1:]]))
"""


def crash(*options, error="ZeroDivisionError('lost')"):
    command = [sys.executable, "-c", CRASH.format(error=error), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("error", "mistake", "line"),
    [
        (ValueError("bad\n  column"), True, "bad column"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.csv"),
            True,
            "a.csv: No such file or directory",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "d"), True, "d: Is a directory"),
        (OSError(errno.ENOSPC, "No space left on device", "f"), False, "f: No space left on device"),
        (RuntimeError("the host died"), False, "the host died"),
        (KeyError("x"), False, "KeyError: 'x'"),
        (TypeError(), False, "TypeError"),
        (ValueError(), True, "ValueError"),
    ],
)
def test_one_line_says_what_is_wrong(error, mistake, line, capsys):
    assert is_mistake(error) is mistake
    assert one_line(error) == line
    explain(error, show_traceback=False, debug=False)
    assert capsys.readouterr().err == f"assay: error: {line}\n"


def test_an_unexpected_error_is_one_line_and_its_traceback_is_shown_on_request():
    quiet = crash()
    assert quiet.returncode == 1
    assert quiet.stderr == "assay: error: ZeroDivisionError: lost\n"
    loud = crash("--traceback")
    assert loud.returncode == 1
    assert "Traceback" in loud.stderr
    assert "in run" in loud.stderr
    assert loud.stderr.endswith(quiet.stderr)


def test_without_a_terminal_no_debugger_opens():
    done = crash("--pdb")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "(Pdb)" not in done.stdout + done.stderr


def test_interrupts_and_exits_pass_through():
    done = crash("--pdb", error="KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr == "assay: interrupted\n"
    assert crash("--pdb", error="SystemExit(7)").returncode == 7


def test_on_a_terminal_the_debugger_opens_where_it_was_raised():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(
            sys.executable, [sys.executable, "-c", CRASH.format(error="ZeroDivisionError('lost')"), "--pdb"]
        )
    seen = read_until(terminal, b"(Pdb) ")
    os.write(terminal, b"p secret\n")
    seen = read_until(terminal, b"(Pdb) ")
    os.write(terminal, b"quit\n")
    assert b"42" in seen
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(terminal)


def read_until(terminal, words):
    seen = b""
    while words not in seen:
        assert select.select([terminal], [], [], 30)[0], seen
        seen += os.read(terminal, 4096)
    return seen
