import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.data.fetch import FetchError, cache_folder, fetch_debian, fetch_npm, fetch_pypi

CONTENT = b"the package" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WHEEL = ("example", "1.0", "example-1.0-py3-none-any.whl", SHA256)

# What stands in for pip, npm and apt-get: it notes its arguments and does as the environment tells it.
CLIENT = """
import os, pathlib, sys, time
arguments = sys.argv[1:]
with open(os.environ["CLIENT_LOG"], "a") as log:
    log.write(" ".join(arguments) + "\\n")
folder = pathlib.Path(arguments[arguments.index("--dest") + 1] if "--dest" in arguments else ".")
target = folder / os.environ["CLIENT_FILE"]
does = os.environ["CLIENT_DOES"]
if does == "fail":
    sys.exit("looking for it\\nlooking again\\n\\nERROR: no network\\nERROR: giving up")
if does == "full":
    target.write_bytes(b"the pack")
    sys.exit("ERROR: [Errno 28] No space left on device")
if does == "refuse":
    sys.exit("ERROR: THESE PACKAGES DO NOT MATCH\\n    Expected sha256 aa\\n         Got        " + "b" * 64)
if does == "hang":
    target.write_bytes(b"the pack")
    pathlib.Path(os.environ["CLIENT_LOG"] + ".started").touch()
    time.sleep(60)
if does == "slow":
    time.sleep(0.5)
content = b"the package" * 1000
target.write_bytes(content if does != "wrong" else content + b"!")
"""


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Puts the stand-in in place of all three clients; gives back a function that tells it what to do."""
    programs = tmp_path / "programs"
    (programs / "pip").mkdir(parents=True)
    (programs / "pip" / "__init__.py").touch()
    (programs / "pip" / "__main__.py").write_text(CLIENT)
    for name in ("npm", "apt-get"):
        (programs / name).write_text(f"#!{sys.executable}\n{CLIENT}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(programs))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIENT_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("CLIENT_FILE", WHEEL[2])

    def does(what: str, file: str = WHEEL[2]) -> None:
        monkeypatch.setenv("CLIENT_DOES", what)
        monkeypatch.setenv("CLIENT_FILE", file)

    does("well")
    return does


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "packages").iterdir())


class TestFetching:
    def test_pip_is_asked_for_the_very_file_and_nothing_else(self, client, tmp_path):
        path = fetch_pypi(*WHEEL)
        assert path == tmp_path / "cache" / "packages" / WHEEL[2]
        assert path.read_bytes() == CONTENT
        (call,) = calls(tmp_path)
        assert call.startswith("download ")
        assert "--no-deps --require-hashes" in call
        assert cached(tmp_path) == [WHEEL[2]]

    def test_npm(self, client, tmp_path):
        client("well", "a-b-1.0.tgz")
        assert fetch_npm("@a/b", "1.0", "a-b-1.0.tgz", SHA256).read_bytes() == CONTENT
        assert calls(tmp_path) == ["pack --loglevel error --ignore-scripts @a/b@1.0"]

    def test_debian(self, client, tmp_path):
        client("well", "a_1.0_all.deb")
        assert fetch_debian("a", "1.0", "a_1.0_all.deb", SHA256).read_bytes() == CONTENT
        assert calls(tmp_path) == ["download a=1.0"]

    def test_what_is_cached_needs_no_client(self, client, tmp_path, monkeypatch):
        path = fetch_pypi(*WHEEL)
        monkeypatch.setattr(subprocess, "Popen", None)
        assert fetch_pypi(*WHEEL) == path
        assert len(calls(tmp_path)) == 1

    def test_a_damaged_cache_is_fetched_anew(self, client, tmp_path):
        path = fetch_pypi(*WHEEL)
        path.write_bytes(CONTENT[:-1])
        assert fetch_pypi(*WHEEL).read_bytes() == CONTENT
        assert len(calls(tmp_path)) == 2

    def test_the_cache_is_in_the_home_folder_unless_said_otherwise(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("ASSAY_CACHE", raising=False)
        assert cache_folder("x") == tmp_path / ".cache" / "assay" / "x"
        monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "here"))
        assert cache_folder("x") == tmp_path / "here" / "x"
        assert cache_folder("x").is_dir()

    @pytest.mark.parametrize("terminal", [True, False])
    def test_what_takes_long_is_shown_on_a_terminal(self, client, monkeypatch, capfd, terminal):
        client("slow")
        monkeypatch.setattr("assay.data.fetch._PATIENCE", 0.05)
        monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
        monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")  # Rich takes it for a terminal then.
        assert fetch_pypi(*WHEEL).read_bytes() == CONTENT
        shown = capfd.readouterr().err
        assert ("fetching example 1.0" in shown) if terminal else (shown == "")

    def test_two_processes_at_once(self, client, tmp_path):
        client("slow")
        script = f"from assay.data.fetch import fetch_pypi; print(fetch_pypi(*{WHEEL!r}))"
        both = [
            subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in "ab"
        ]
        paths = {process.communicate(timeout=60)[0].strip() for process in both}
        assert [process.returncode for process in both] == [0, 0]
        assert paths == {str(tmp_path / "cache" / "packages" / WHEEL[2])}
        assert Path(paths.pop()).read_bytes() == CONTENT
        assert cached(tmp_path) == [WHEEL[2]]


class TestErrors:
    def test_another_file_than_expected(self, client, tmp_path):
        client("wrong")
        got = hashlib.sha256(CONTENT + b"!").hexdigest()
        with pytest.raises(
            FetchError, match=f"example 1.0: expected {WHEEL[2]} with the SHA-256 {SHA256}, got {got}"
        ):
            fetch_pypi(*WHEEL)
        assert cached(tmp_path) == []

    def test_the_client_itself_finds_another_hash(self, client, tmp_path):
        client("refuse")
        with pytest.raises(FetchError, match=f"with the SHA-256 {SHA256}, got {'b' * 64}"):
            fetch_pypi(*WHEEL)
        assert cached(tmp_path) == []

    def test_the_client_fails(self, client, tmp_path):
        client("fail")
        message = (
            r"example 1.0 could not be fetched: looking again \| ERROR: no network \| ERROR: giving up; own"
        )
        with pytest.raises(FetchError, match=message):
            fetch_pypi(*WHEEL)
        assert cached(tmp_path) == []

    def test_a_file_of_another_name(self, client, tmp_path):
        client("well", "other.tgz")
        with pytest.raises(FetchError, match=r"b 1.0: expected the file b-1.0.tgz, got other.tgz"):
            fetch_npm("b", "1.0", "b-1.0.tgz", SHA256)
        assert cached(tmp_path) == []

    def test_pip_is_missing(self, client, tmp_path, monkeypatch):
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\necho "{sys.executable}: No module named pip" >&2\nexit 1\n')
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        with pytest.raises(
            FetchError, match=r"pip is not installed for .*: `.* -m ensurepip` installs it; own data"
        ):
            fetch_pypi(*WHEEL)
        assert cached(tmp_path) == []

    @pytest.mark.parametrize(("fetch", "program"), [(fetch_npm, "npm"), (fetch_debian, "apt-get")])
    def test_npm_or_apt_is_missing(self, client, tmp_path, monkeypatch, fetch, program):
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        with pytest.raises(
            FetchError, match=f"a 1 cannot be fetched: {program} is not installed: .*; own data needs"
        ):
            fetch("a", "1", "a.tgz", SHA256)
        assert cached(tmp_path) == []

    def test_the_disk_fills_up_in_the_client(self, client, tmp_path):
        client("full")
        with pytest.raises(FetchError, match=r"could not be fetched: .*No space left on device"):
            fetch_pypi(*WHEEL)
        assert cached(tmp_path) == []

    @pytest.mark.parametrize("step", ["write_text", "replace"])
    def test_the_disk_fills_up_here(self, client, tmp_path, monkeypatch, step):
        def full(*arguments):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path if step == "write_text" else os, step, full)
        message = (
            r"cannot write to the cache .*packages: No space left on device; .*ASSAY_CACHE names another"
        )
        with pytest.raises(FetchError, match=message):
            fetch_pypi(*WHEEL)
        monkeypatch.undo()
        assert cached(tmp_path) == []

    def test_the_cache_cannot_be_created(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.raises(FetchError, match=r"cannot write to the cache .*: Not a directory; .*ASSAY_CACHE"):
            fetch_pypi(*WHEEL)

    def test_an_interrupt_stops_the_client_and_leaves_nothing_behind(self, client, tmp_path):
        client("hang")
        script = f"from assay.data.fetch import fetch_pypi; fetch_pypi(*{WHEEL!r})"
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
        started = tmp_path / "log.started"
        deadline = time.monotonic() + 30
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert started.exists()
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=30)
        assert process.returncode != 0
        assert "KeyboardInterrupt" in output
        assert cached(tmp_path) == []


SMALL_DISK = """
mount -t tmpfs -o size=64k tmpfs "$ASSAY_CACHE" || exit 77
"$PYTHON" -c "$SCRIPT"
ls -A "$ASSAY_CACHE" "$ASSAY_CACHE"/packages
"""


def test_a_disk_that_is_too_small(client, tmp_path, monkeypatch):
    """A real file system of 64 KiB, in a name space of its own, and a package of 110,000 bytes."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, to mount a small file system")
    (tmp_path / "cache").mkdir()
    (tmp_path / "programs" / "pip" / "__main__.py").write_text(CLIENT.replace("* 1000", "* 10000"))
    script = (
        "from assay.data.fetch import *\n"
        f"try: fetch_pypi(*{WHEEL!r})\n"
        "except FetchError as error: print('error:', error)\n"
    )
    environment = dict(os.environ, SCRIPT=script, PYTHON=sys.executable)
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("needs the right to mount a small file system")
    error, *listing = done.stdout.splitlines()
    assert error.startswith("error: example 1.0 could not be fetched: ")
    assert "No space left on device" in error
    assert [line for line in listing if line and not line.endswith(":")] == ["packages"]
