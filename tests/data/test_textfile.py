import gzip

import pytest

from assay.data.table import ContractError, Table
from assay.data.textfile import check_encoding, check_text, open_text


class TestEncoding:
    @pytest.mark.parametrize(
        ("encoding", "text", "line", "byte", "guess"),
        [
            ("latin-1", "a,b\n1,2\n3,café\n", 3, 14, "cp1252"),
            ("cp1252", "a,größe\n1,2\n", 1, 5, "cp1252"),
            ("cp1252", "a,b\n“quoted”,1\n", 2, 5, "cp1252"),
            ("gb18030", "a,b\n1,你好世界\n2,数据表\n", 2, 7, "gb18030"),
        ],
    )
    def test_line_byte_and_likely_encoding_are_named(self, write, encoding, text, line, byte, guess):
        content = text.encode(encoding)
        path = write("a.csv", content)
        advice = f"it may be {guess}: save the file as UTF-8, for example with `iconv -f {guess} -t utf-8`"
        with pytest.raises(ContractError) as caught:
            Table.of(path)
        got = f"got the byte 0x{content[byte - 1]:02x} (byte {byte} of the file)"
        assert str(caught.value) == f"{path}: line {line}: expected UTF-8 text, {got}; {advice}"
        assert content.decode(guess).encode("utf-8") == text.encode()

    def test_bytes_that_are_in_no_western_letter_of_windows(self, write):
        with pytest.raises(ContractError, match="it may be latin-1"):
            check_encoding(write("a.csv", b"a\n\x81x\n"))

    def test_far_down_and_in_gzip(self, write):
        content = b"a\n" + b"x\n" * 100_000 + b"\xe9x\n"
        with pytest.raises(ContractError, match=r"line 100002: .* \(byte 200003 of the file\)"):
            Table.of(write("a.csv.gz", gzip.compress(content)))

    def test_utf8_passes(self, write):
        check_encoding(write("a.csv", "é你😀\n"))
        check_text(write("b.csv", "é你😀\n"))


class TestOtherContent:
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
    def test_utf16_is_named(self, write, encoding):
        with pytest.raises(ContractError, match=r"expected UTF-8 text, got .*UTF-16: save the file as UTF-8"):
            Table.of(write("a.csv", "a,b\n1,2\n".encode(encoding)))

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"PK\x03\x04\x14\x00", "a ZIP archive"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook"),
            (b"PAR1\x15\x04", "a Parquet file"),
            (b"ARROW1\x00\x00", "an Arrow file"),
            (gzip.compress(b"a,b\n1,2\n", mtime=0), "gzip data"),
        ],
    )
    def test_other_formats_under_a_text_file_s_name_are_named(self, write, content, what):
        with pytest.raises(ContractError, match=f"expected UTF-8 text, got {what}"):
            Table.of(write("a.csv", content))

    def test_a_zero_byte_is_named(self, write):
        with pytest.raises(ContractError, match=r"got a zero byte \(byte 9 of the file\)"):
            Table.of(write("a.csv", b"a,b\n1,xy\x00\n2,z\n"))


def test_a_byte_order_mark_is_no_text(write):
    with open_text(write("a.csv", b"\xef\xbb\xbfa,b\r\n")) as file:
        assert file.read() == "a,b\r\n"
    assert Table.of(write("b.csv", b"\xef\xbb\xbfa,b\n1,2\n")).names == ("a", "b")
    assert Table.of(write("c.jsonl", b'\xef\xbb\xbf{"a": 1}\n')).names == ("a",)
