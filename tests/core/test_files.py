import errno
import os
import threading

import pytest

from assay.core.files import atomic_folder, write_bytes, write_json, write_text


def test_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "target"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    with pytest.raises(KeyError), atomic_folder(target) as folder:  # noqa: PT012
        (folder / "a").write_text("2")
        raise KeyError
    assert (target / "a").read_text() == "1"
    with atomic_folder(target) as folder:
        (folder / "b").write_text("3")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_many_writers_of_one_folder_end_with_one_whole_folder(tmp_path):
    target = tmp_path / "target"

    failures = []

    def write(number: int) -> None:
        try:
            with atomic_folder(target) as folder:
                for name in "abc":
                    (folder / name).write_text(str(number))
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len({(target / name).read_text() for name in "abc"}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_text_is_replaced_atomically_and_leftovers_are_removed(tmp_path):
    path = tmp_path / "file.json"
    write_text(path, "old")
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"a": float("nan")})
    assert path.read_text() == "old"
    write_json(path, {"a": 1})
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["file.json"]


def test_failed_write_leaves_no_scratch_file(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "target", "text")
    assert caught.value.filename == str(tmp_path / "target")
    assert os.listdir(tmp_path) == ["target"]


def test_a_full_disk_is_said_with_the_name_of_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    write_text(tmp_path / "file", "old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(tmp_path / "file", "new")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_bytes_are_written_whole_or_not_at_all_and_a_missing_folder_is_named(tmp_path):
    write_bytes(tmp_path / "file", b"\x00\r\n\xff")
    assert (tmp_path / "file").read_bytes() == b"\x00\r\n\xff"
    with pytest.raises(FileNotFoundError) as caught:
        write_bytes(tmp_path / "no" / "file", b"")
    assert caught.value.filename == str(tmp_path / "no" / "file")
    assert os.listdir(tmp_path) == ["file"]


def test_permissions_follow_the_umask(tmp_path):
    write_text(tmp_path / "file", "")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask
