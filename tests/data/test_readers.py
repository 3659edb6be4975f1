import errno
import gzip
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from assay.data.readers import read
from assay.data.table import ContractError, Table

ROWS = """age,member,since,town
31,true,2020-01-01,Oslo
,FALSE,2020-01-01T05:30:00.25Z,
58.5,,1970-01-01,"Köln"
-4,true,,Oslo
"""
LINES = """
{"age": 31, "member": true, "since": "2020-01-01", "town": "Oslo"}
{"age": null, "member": false, "since": "2020-01-01T05:30:00.25Z"}

{"age": 58.5, "since": "1970-01-01", "town": "Köln"}
{"age": -4, "member": true, "since": null, "town": "Oslo"}
"""


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.csv", ROWS.encode()),
            ("a.CSV", b"\xef\xbb\xbf" + ROWS.encode()),
            ("a.tsv", ROWS.replace(",", "\t").encode()),
            ("a.tab", ROWS.replace(",", "\t").replace("\n", "\r\n").encode()),
            ("a.csv.gz", gzip.compress(ROWS.encode(), mtime=0)),
            ("a.jsonl", LINES.encode()),
            ("a.ndjson.gz", gzip.compress(LINES.encode(), mtime=0)),
        ],
    )
    def test_text_files_hold_the_same_table(self, people, write, name, content):
        table = read(write(name, content))
        assert table.name == name
        assert table.schema == people.schema
        assert table.fingerprint() == people.fingerprint()

    @pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
    def test_parquet_with_every_compression(self, people, tmp_path, compression):
        pytest.importorskip("pandas")
        path = tmp_path / f"people.parquet.{compression}"
        people.to_pandas().to_parquet(path, compression=None if compression == "none" else compression)
        assert read(path).fingerprint() == people.fingerprint()

    @pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
    def test_feather(self, people, tmp_path, compression):
        pytest.importorskip("pandas")
        pyarrow.feather.write_feather(people.to_pandas(), tmp_path / "a.feather", compression=compression)
        assert read(tmp_path / "a.feather").fingerprint() == people.fingerprint()

    def test_polars_files(self, people, tmp_path):
        pl = pytest.importorskip("polars")
        pytest.importorskip("pandas")
        frame = pl.from_pandas(people.to_pandas())
        frame.write_ipc(tmp_path / "a.arrow")
        frame.write_ipc_stream(tmp_path / "b.arrow")
        frame.write_parquet(tmp_path / "c.pq")
        frame.write_csv(tmp_path / "d.csv")
        prints = {read(tmp_path / name).fingerprint() for name in ("a.arrow", "b.arrow", "c.pq", "d.csv")}
        assert prints == {people.fingerprint()}

    def test_pandas_writes_the_same_csv_and_json_lines(self, people, tmp_path):
        pytest.importorskip("pandas")
        frame = people.to_pandas()
        frame.to_csv(tmp_path / "a.csv", index=False)
        assert read(tmp_path / "a.csv").fingerprint() == people.fingerprint()
        frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True, date_format="iso", date_unit="us")
        assert read(tmp_path / "a.jsonl").fingerprint() == people.fingerprint()

    def test_a_folder_named_like_a_hive_partition_adds_no_column(self, tmp_path):
        (tmp_path / "year=2013").mkdir()
        pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "year=2013" / "a.parquet")
        assert read(tmp_path / "year=2013" / "a.parquet").names == ("a",)


class TestKindsAndSchema:
    def test_text_files_keep_the_text_of_a_category(self, write):
        path = write("a.csv", "zip,n\n00123,1\n?,2\n00456,\n")
        assert read(path)["zip"].kind == "numeric"
        column = read(path, kinds={"zip": "category"})["zip"]
        assert (column.categories, column.values.tolist()) == (("00123", "00456"), [0, -1, 1])

    def test_a_schema_decides_how_a_file_is_read(self, write):
        training = Table.of(write("a.csv", "zip,n\n00123,1\nA7,2\n"))
        table = Table.of(write("b.csv", "n,extra,zip\n5,x,00123\n6,y,99\n"), schema=training.schema)
        assert table.schema == training.schema
        assert table["zip"].values.tolist() == [0, -1]
        assert table["n"].values.tolist() == [5, 6]

    @pytest.mark.parametrize(
        ("name", "content", "where"),
        [
            ("a.csv", 'note,n\n"two\nlines",1\n\nx,2\ny,many\n', "line 6, column 'n'"),
            ("a.jsonl", '{"n": "1"}\n\n{"n": "2"}\n{"n": "many"}\n', "line 4, column 'n'"),
        ],
    )
    def test_a_value_of_the_wrong_kind_is_named_by_line(self, write, name, content, where):
        path = write(name, content)
        with pytest.raises(ContractError, match=f"{path}: {where}: expected a number, got 'many'"):
            Table.of(path, kinds={"n": "numeric"})
        with pytest.raises(ContractError, match=f"{path}: {where}: expected a number, got 'many'"):
            Table.of(path, schema=Table.of({"n": [1.0]}).schema)

    def test_a_value_of_the_wrong_kind_in_parquet_is_named_by_row(self, tmp_path):
        pa.parquet.write_table(pa.table({"n": ["1", "many"]}), tmp_path / "a.parquet")
        with pytest.raises(
            ContractError, match=r"a.parquet: row 2, column 'n': expected a number, got 'many'"
        ):
            Table.of(tmp_path / "a.parquet", kinds={"n": "numeric"})

    def test_a_column_that_is_not_there(self, write):
        path = write("a.csv", "a,b\n1,2\n")
        with pytest.raises(ContractError, match=r"a.csv: no column 'c'; the columns are 'a', 'b'"):
            Table.of(path, kinds={"c": "category"})
        with pytest.raises(ContractError, match=r"a.csv: expected a column 'c', got none"):
            Table.of(path, schema=Table.of({"c": [1.0]}).schema)


class TestErrors:
    def test_no_such_file_with_near_names(self, write, tmp_path, monkeypatch):
        write("adult.csv", ROWS)
        with pytest.raises(ContractError, match=r"adlut.csv: no such file; did you mean adult.csv\?"):
            read(tmp_path / "adlut.csv")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(
            ContractError, match=r"^adul: no such file or data set; did you mean adult or adult.csv\?"
        ):
            read("adul")
        with pytest.raises(ContractError, match=r"zzz.parquet: no such file$"):
            read(tmp_path / "zzz.parquet")
        with pytest.raises(ContractError, match=r"no such file, nor a folder '.*nowhere'"):
            read(tmp_path / "nowhere" / "a.csv")

    def test_a_folder(self, tmp_path):
        (tmp_path / "a.csv").mkdir()
        with pytest.raises(ContractError, match=r"a.csv: expected a file, got a folder"):
            read(tmp_path / "a.csv")

    @pytest.mark.parametrize("name", ["a.xlsx", "a", "a.json", "a.gz"])
    def test_an_unknown_ending(self, write, name):
        with pytest.raises(
            ContractError, match=r"expected a file named \.csv \.tsv .* \.parquet .*, got (\.\w+|no ending)"
        ):
            read(write(name, "x"))

    @pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.arrow", "a.csv.gz"])
    def test_an_empty_file(self, write, name):
        with pytest.raises(ContractError, match=f"{name}: expected rows, got an empty file"):
            read(write(name, b""))

    def test_a_gzip_of_nothing(self, write):
        with pytest.raises(ContractError, match="expected rows, got an empty file"):
            read(write("a.csv.gz", gzip.compress(b"")))

    def test_tables_without_rows(self, tmp_path):
        pa.parquet.write_table(pa.table({"a": pa.array([], pa.int8())}), tmp_path / "a.parquet")
        with pytest.raises(ContractError, match=r"a.parquet: expected rows, got none"):
            read(tmp_path / "a.parquet")

    @pytest.mark.parametrize("keep", [20, 200, -60])
    def test_a_truncated_parquet(self, tmp_path, keep):
        pa.parquet.write_table(pa.table({"a": range(1000)}), tmp_path / "a.parquet")
        content = (tmp_path / "a.parquet").read_bytes()
        (tmp_path / "a.parquet").write_bytes(content[:keep])
        with pytest.raises(
            ContractError, match=r"a.parquet: expected a whole Parquet file, got a damaged one \(.+\)$"
        ):
            read(tmp_path / "a.parquet")

    def test_a_parquet_damaged_in_the_middle(self, tmp_path):
        values = np.random.default_rng(0).normal(size=1000)
        pa.parquet.write_table(
            pa.table({"a": values}), tmp_path / "a.parquet", compression="zstd", use_dictionary=False
        )
        content = bytearray((tmp_path / "a.parquet").read_bytes())
        content[100:3000] = bytes(2900)
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(ContractError, match="expected a whole Parquet file, got a damaged one"):
            read(tmp_path / "a.parquet")

    @pytest.mark.parametrize("content", [b"hello there", b"ARROW1\0\0", b"PAR1PAR1PAR1"])
    @pytest.mark.parametrize("name", ["a.arrow", "a.parquet"])
    def test_other_bytes(self, write, name, content):
        with pytest.raises(ContractError, match=r"expected a whole (Arrow|Parquet) file, got a damaged one"):
            read(write(name, content))

    def test_a_truncated_arrow_file(self, people, tmp_path):
        people.save(tmp_path / "a.arrow")
        content = (tmp_path / "a.arrow").read_bytes()
        (tmp_path / "a.arrow").write_bytes(content[: len(content) // 2])
        with pytest.raises(ContractError, match=r"a.arrow: expected a whole Arrow file, got a damaged one"):
            read(tmp_path / "a.arrow")

    @pytest.mark.parametrize("content", [gzip.compress(ROWS.encode() * 100, mtime=0)[:-30], b"a,b\n1,2\n"])
    def test_a_damaged_gzip(self, write, content):
        with pytest.raises(ContractError, match="expected a whole CSV file, got a damaged one"):
            read(write("a.csv.gz", content))

    def test_nested_and_doubled_columns(self, tmp_path):
        pa.parquet.write_table(pa.table({"a": [1], "tags": [["x"]]}), tmp_path / "a.parquet")
        with pytest.raises(
            ContractError, match=r"a.parquet: column 'tags': expected .*, got the Arrow type list"
        ):
            read(tmp_path / "a.parquet")
        doubled = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
        pa.feather.write_feather(doubled, tmp_path / "b.feather")
        with pytest.raises(ContractError, match=r"b.feather: expected distinct column names, got 'a' twice"):
            read(tmp_path / "b.feather")

    def test_a_disk_that_fails(self, write, monkeypatch):
        path = write("a.csv", ROWS)

        def fail(self, *arguments):
            raise OSError(errno.EIO, "Input/output error", str(self))

        monkeypatch.setattr("assay.data.textfile.Path.open", fail)
        with pytest.raises(ContractError, match=r"a.csv: cannot be read: Input/output error$"):
            read(path)

    def test_every_message_is_one_line(self, write, tmp_path):
        bad = [
            write("a.csv", "a,a\n1,2\n"),
            write("b.csv", b"a\n\xff"),
            write("c.parquet", "x"),
            tmp_path / "none.csv",
        ]
        for path in bad:
            with pytest.raises(ContractError) as caught:
                read(path)
            assert "\n" not in str(caught.value)
            assert str(caught.value).startswith(str(path))

    def test_a_file_that_vanishes_is_named(self, write):
        path = write("a.csv", ROWS)
        shutil.move(path, path.with_name("b.csv"))
        with pytest.raises(ContractError, match=r"a.csv: no such file; did you mean b.csv\?"):
            read(path)
