import io
import tarfile

import pytest

from assay.data.tar_index import Entry, TarDamage, entries

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "a" * 90 + "/" + "b" * 95 + ".jpg"


FILES = {"a.jpg": b"x" * 511, "a.txt": b"", "b.jpg": b"y" * 512, "b.txt": b"z" * 513, LONG: b"long"}


def packed(files: dict[str, bytes], format_: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format_) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def listed(content: bytes) -> list[Entry]:
    return list(entries(io.BytesIO(content)))


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
class TestFormats:
    def test_names_places_and_sizes(self, format_):
        content = packed(FILES, format_)
        found = {e.name: content[e.offset : e.offset + e.size] for e in listed(content)}
        assert found == FILES

    def test_the_same_as_tarfile(self, format_):
        content = packed(FILES, format_)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            expected = [(one.name, one.offset_data, one.size) for one in archive]
        assert [(e.name, e.offset, e.size) for e in listed(content)] == expected

    def test_names_beyond_ascii(self, format_):
        assert [e.name for e in listed(packed({"猫/größe.jpg": b"x"}, format_))] == ["猫/größe.jpg"]

    def test_any_cut_is_noticed_after_the_whole_files_before_it(self, format_):
        content = packed(FILES, format_)
        whole = listed(content)
        end = -(-(whole[-1].offset + whole[-1].size) // 512) * 512 + 512  # With one block of zeros.
        for cut in range(0, end, 128):
            found = []
            with pytest.raises(TarDamage):
                found += entries(io.BytesIO(content[:cut]))
            assert found == whole[: len(found)]
            assert all(entry.offset + entry.size <= cut for entry in found)
        assert listed(content[:end]) == whole

    def test_every_damaged_header_is_noticed(self, format_):
        """One bit of each of the first header's fields; tarfile takes it for the end of the archive."""
        content = packed({"a.jpg": b"x" * 600, "b.jpg": b"y"}, format_)
        second = [entry.offset - 512 for entry in listed(content)][1]
        for place in (0, 100, 124, 148, 156, 257):
            damaged = bytearray(content)
            damaged[second + place] ^= 4
            with pytest.raises(TarDamage, match=f"header at byte {second:,}"):
                listed(bytes(damaged))


def test_kinds():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for kind, name in (
            (tarfile.DIRTYPE, "d"),
            (tarfile.SYMTYPE, "s"),
            (tarfile.LNKTYPE, "l"),
            (tarfile.CHRTYPE, "c"),
        ):
            entry = tarfile.TarInfo(name)
            entry.type = kind
            archive.addfile(entry)
        archive.addfile(tarfile.TarInfo("f"))
    assert [entry.kind for entry in listed(file.getvalue())] == ["folder", "other", "other", "other", "file"]


def test_sizes_beyond_eight_gigabytes():
    """GNU writes them in binary; the archive here ends before the content, and says so."""
    entry = tarfile.TarInfo("huge")
    entry.size = 9 * 2**30
    header = entry.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(TarDamage, match="expected 9,663,676,416 bytes of 'huge', got 9,663,676,416 fewer"):
        listed(header)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a tar header or a block of zeros at byte 0, got the end"),
        (b"PK\x03\x04" + bytes(range(256)) * 4, "expected a tar header at byte 0, got something else"),
        (b"short", "expected a tar header or a block of zeros at byte 0, got the end"),
    ],
)
def test_what_is_no_archive(content, message):
    with pytest.raises(TarDamage, match=message):
        listed(content)


def test_an_archive_without_its_end_block_may_have_lost_more():
    content = packed({"a.jpg": b"x"}).rstrip(b"\0")
    content += b"\0" * (-len(content) % 512)
    found = entries(io.BytesIO(content))
    assert next(found).name == "a.jpg"
    with pytest.raises(TarDamage, match="or a block of zeros at byte 1,024, got the end"):
        next(found)
    assert [entry.name for entry in listed(content + bytes(512))] == ["a.jpg"]


def test_a_header_that_promises_a_huge_name():
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = b"L", 2**21
    with pytest.raises(TarDamage, match="expected a header of at most 1,048,576 bytes, got 2,097,152"):
        listed(entry.tobuf(tarfile.GNU_FORMAT) + bytes(2**21))


def test_damaged_pax_records():
    entry = tarfile.TarInfo("pax")
    entry.type, entry.size = b"x", 12
    for records in (b"no length=12", b"0 a=b\n000000", b"-5 a=b\n00000"):
        with pytest.raises(TarDamage, match="expected pax records at byte 512"):
            listed(entry.tobuf(tarfile.USTAR_FORMAT) + records.ljust(512, b"\0") + bytes(1024))
