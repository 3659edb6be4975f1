import io
import tarfile
import zipfile

import pytest

from assay.data.archive import read_member, read_members

FILES = {"package/data/a.csv": b"a\n1\n", "package/b.bin": bytes(range(256)) * 5}


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], compression: str = "gz", prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def debian(files: dict[str, bytes]) -> bytes:
    """An ar archive as dpkg writes it: a member of odd size first, then data.tar.xz."""
    content = b"!<arch>\n"
    for name, data in (("debian-binary", b"2.0\n\n"), ("data.tar.xz", tarred(files, "xz", prefix="./"))):
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data
        content += b"\n" * (len(data) % 2)
    return content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.whl", zipped(FILES)),
        ("a.tar.gz", tarred(FILES)),
        ("a.tgz", tarred(FILES)),
        ("a.tar.xz", tarred(FILES, "xz")),
        ("a.deb", debian(FILES)),
    ],
    ids=["wheel", "tar.gz", "tgz", "tar.xz", "deb"],
)
def test_members_of_every_kind_of_archive(write, name, content):
    path = write(name, content)
    for member, expected in FILES.items():
        assert read_member(path, member) == expected
    with pytest.raises(FileNotFoundError, match=f"{name} holds no file 'package/none'"):
        read_member(path, "package/none")
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_an_archive_within_an_archive(write):
    path = write("a.tar.gz", tarred({"x/inner.zip": zipped({"deep.csv": b"deep"})}))
    assert read_member(path, "x/inner.zip", "deep.csv") == b"deep"
    with pytest.raises(FileNotFoundError, match=r"a.tar.gz/x/inner.zip holds no file 'shallow.csv'"):
        read_member(path, "x/inner.zip", "shallow.csv")


def test_a_folder_is_no_file(write):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo("package")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    with pytest.raises(FileNotFoundError, match="holds no file 'package'"):
        read_member(write("a.tar", buffer.getvalue()), "package")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", zipped(FILES)[:-30], tarred(FILES)[:40], b"!<arch>\nshort"],
    ids=["empty", "text", "zip", "tar", "ar"],
)
def test_what_is_no_archive(write, content):
    with pytest.raises(ValueError, match=r"a.whl: expected a zip, tar or Debian archive"):
        read_member(write("a.whl", content), "package/b.bin")


class TestMembers:
    @pytest.mark.parametrize("compression", ["gz", "xz", "bz2", ""])
    def test_those_that_are_wanted(self, tmp_path, compression):
        path = tmp_path / "a.tar"
        path.write_bytes(tarred(FILES, compression))
        (name,) = read_members(path, lambda name: name.endswith(".bin"))
        assert name == "package/b.bin"
        assert read_members(path, lambda name: True) == FILES
        assert read_members(path, lambda name: False) == {}

    @pytest.mark.parametrize(
        "content",
        [b"", b"nothing", zipped(FILES), tarred(FILES)[:100]],
        ids=["empty", "text", "zip", "cut off"],  # Archives have the time in them.
    )
    def test_what_is_no_tar_archive(self, tmp_path, content):
        path = tmp_path / "a.tar"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.tar: expected a tar archive"):
            read_members(path, lambda name: True)
