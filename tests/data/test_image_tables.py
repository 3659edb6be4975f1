import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.data.image_tables import is_datasets_folder, metadata_file, open_image_table
from assay.data.labelled import source_of
from assay.data.pairs import image_type
from assay.data.table import ContractError


def sources(table, column):
    return [source_of(image) for image in table.images(column)]


class TestFiles:
    def test_csv_is_text_alone(self, write):
        table = open_image_table(write("a.csv", "file_name,caption,n\na.png,007,1\nb.png,NA,2\n"))
        assert table.table.to_pydict() == {
            "file_name": ["a.png", "b.png"],
            "caption": ["007", None],
            "n": ["1", "2"],
        }

    def test_json_lines_may_hold_lists(self, write):
        path = write(
            "a.jsonl", '{"path": "a.png", "captions": ["x", "y"]}\n{"path": "b.png", "captions": []}\n'
        )
        assert open_image_table(path).table.column("captions").to_pylist() == [["x", "y"], []]

    def test_a_broken_line_is_named(self, write):
        path = write("a.jsonl", '{"path": "a.png"}\n{"path": \n')
        with pytest.raises(ContractError, match=r"a\.jsonl: line 2: expected a JSON object"):
            open_image_table(path)

    @pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
    def test_a_damaged_file_is_named(self, write, name):
        with pytest.raises(ContractError, match=rf"{name}: expected a whole \w+ file, got a damaged one"):
            open_image_table(write(name, b"PAR1 and no more"))

    def test_no_such_file_and_an_unknown_ending(self, write, tmp_path):
        write("a.csv", "x,y\n1,2\n")
        with pytest.raises(ContractError, match=r"no such file; did you mean a\.csv"):
            open_image_table(tmp_path / "a.cvs")
        with pytest.raises(ContractError, match="expected a file named"):
            open_image_table(write("a.xyz", "x"))

    def test_a_file_has_no_splits(self, write):
        with pytest.raises(ContractError, match="has splits, got a file"):
            open_image_table(write("a.csv", "path,text\na.png,b\n"), split="test")


class TestImageColumn:
    def test_by_name_in_the_order_of_likelihood(self, write):
        table = open_image_table(write("a.csv", "file,Image,text\na.png,b.png,c\n"))
        assert table.image_column(None) == "Image"
        assert table.image_column("file") == "file"

    def test_by_type(self, write, tmp_path):
        content = {"photo_of_it": pa.array([{"bytes": b"x", "path": None}], image_type()), "path": ["a"]}
        pq.write_table(pa.table(content), tmp_path / "a.parquet")
        assert open_image_table(tmp_path / "a.parquet").image_column(None) == "photo_of_it"

    def test_there_is_none(self, write):
        table = open_image_table(write("a.csv", "x,text\n1,c\n"))
        message = "expected a column of images .* got 'x', 'text'; the option `image` names it"
        with pytest.raises(ContractError, match=message):
            table.image_column(None)
        with pytest.raises(ContractError, match="no column 'txt'; did you mean 'text'"):
            table.image_column("txt")

    def test_it_holds_something_else(self, tmp_path):
        pq.write_table(pa.table({"image": [[1, 2], [3]]}), tmp_path / "a.parquet")
        with pytest.raises(
            ContractError, match=r"column 'image': expected images as paths, bytes or a struct"
        ):
            open_image_table(tmp_path / "a.parquet").image_column(None)


class TestImages:
    def test_paths_are_relative_to_the_folder_or_the_root(self, write, tmp_path):
        path = write("a.csv", "path,text\na.png,x\n/abs/b.png,y\n,z\n")
        assert sources(open_image_table(path), "path") == [
            tmp_path / "a.png",
            Path("/abs/b.png"),
            None,
        ]
        assert sources(open_image_table(path, root=tmp_path / "r"), "path")[0] == tmp_path / "r" / "a.png"

    @pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary()])
    def test_bytes(self, tmp_path, type_):
        pq.write_table(pa.table({"image": pa.array([b"x", None, b"yy"], type_)}), tmp_path / "a.parquet")
        assert sources(open_image_table(tmp_path / "a.parquet"), "image") == [b"x", None, b"yy"]

    @pytest.mark.parametrize(
        "type_", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
    )
    def test_texts_of_any_type(self, tmp_path, type_):
        table = pa.table({"image": pa.array(["x", None, "x"], pa.string()).cast(type_)})
        pq.write_table(table, tmp_path / "a.parquet")
        assert sources(open_image_table(tmp_path / "a.parquet"), "image") == [
            tmp_path / "x",
            None,
            tmp_path / "x",
        ]

    def test_structs_as_datasets_keeps_them(self, tmp_path):
        images = [{"bytes": b"x", "path": "a.png"}, {"bytes": None, "path": "b.png"}, None]
        for type_ in (
            image_type(),
            pa.struct({"path": pa.large_string(), "bytes": pa.large_binary()}),
        ):
            pq.write_table(pa.table({"image": pa.array(images, type_)}), tmp_path / "a.parquet")
            found = sources(open_image_table(tmp_path / "a.parquet"), "image")
            assert found[0] == b"x"
            assert isinstance(found[1], Path)
            assert found[1].name == "b.png"
            assert found[2] is None

    def test_bytes_are_not_copied(self, tmp_path):
        big = pa.table({"image": pa.array([b"x" * 1_000_000] * 8, pa.binary())})
        with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, big.schema) as file:
            file.write_table(big)
        before = pa.total_allocated_bytes()
        images = open_image_table(tmp_path / "a.arrow").images("image")
        assert pa.total_allocated_bytes() - before < 1_000_000
        assert source_of(images[5]) == b"x" * 1_000_000


@pytest.fixture
def part():
    """A part of a data set, with the metadata that `datasets` writes."""
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}

    def make(*numbers: int) -> pa.Table:
        images = pa.array([{"bytes": bytes([n]), "path": None} for n in numbers], image_type())
        return pa.table({"image": images, "label": [n % 2 for n in numbers]}).replace_schema_metadata(
            metadata
        )

    return make


def write_stream(table: pa.Table, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as file:
        file.write_table(table)


def test_addresses_are_no_paths(write):
    table = open_image_table(write("a.csv", "url,text\nhttps://example.org/a.png,x\n"))
    message = r"a\.csv: expected paths of image files, got the address 'https://example\.org/a\.png'"
    with pytest.raises(ContractError, match=message):
        table.images("url")


def test_metadata_in_a_folder(write, tmp_path):
    assert metadata_file(tmp_path) is None
    assert metadata_file(write("metadata.jsonl", "{}").parent) == tmp_path / "metadata.jsonl"


class TestDatasetsFolders:
    """The layouts that `datasets` 2 to 4 write: Arrow streams with a state, and Parquet shards."""

    @pytest.fixture
    def saved(self, tmp_path, part):
        folder = tmp_path / "saved"
        write_stream(part(5, 6), folder / "data-00001-of-00002.arrow")
        write_stream(part(1, 2, 3), folder / "data-00000-of-00002.arrow")
        write_stream(part(99), folder / "cache-abc.arrow")  # What `map` leaves there is no part of it.
        names = [{"filename": f"data-0000{n}-of-00002.arrow"} for n in range(2)]
        (folder / "state.json").write_text(json.dumps({"_data_files": names, "_fingerprint": "x"}))
        (folder / "dataset_info.json").write_text("{}")
        return folder

    def test_a_saved_data_set(self, saved):
        table = open_image_table(saved)
        assert is_datasets_folder(saved)
        assert sources(table, table.image_column(None)) == [bytes([n]) for n in (1, 2, 3, 5, 6)]
        assert table.class_names("label") == ["cat", "dog"]
        assert table.class_names("image") is None

    def test_without_its_state_all_arrow_files_are_read(self, saved):
        (saved / "state.json").unlink()
        (saved / "cache-abc.arrow").unlink()
        assert len(open_image_table(saved).table) == 5

    def test_a_saved_dictionary_of_splits(self, tmp_path, part):
        folder = tmp_path / "splits"
        for name, numbers in (("train", (1, 2)), ("test", (3,))):
            write_stream(part(*numbers), folder / name / "data-00000-of-00001.arrow")
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
        table = open_image_table(folder)
        assert (len(table.table), table.notes) == (2, ("split train; not read: test",))
        assert len(open_image_table(folder, split="test").table) == 1
        with pytest.raises(ContractError, match="expected a split of train, test, got 'dev'"):
            open_image_table(folder, split="dev")

    def test_a_repository_of_parquet_files(self, tmp_path, part):
        folder = tmp_path / "repository"
        (folder / "data").mkdir(parents=True)
        (folder / "README.md").write_text("# data")
        for name, numbers in (
            ("train-00001-of-00002", (4,)),
            ("train-00000-of-00002-0a1b", (1, 2)),
            ("test-00000-of-00001", (9,)),
        ):
            pq.write_table(part(*numbers), folder / "data" / f"{name}.parquet")
        table = open_image_table(folder)
        assert sources(table, "image") == [bytes([n]) for n in (1, 2, 4)]
        assert sources(open_image_table(folder, split="test"), "image") == [bytes([9])]

    def test_a_missing_part_is_named(self, saved):
        (saved / "data-00001-of-00002.arrow").unlink()
        with pytest.raises(ContractError, match=r"data-00001-of-00002\.arrow: no such file"):
            open_image_table(saved)

    def test_parts_that_do_not_fit_together(self, tmp_path, part):
        pq.write_table(part(1), tmp_path / "train-00000-of-00002.parquet")
        pq.write_table(pa.table({"other": [1]}), tmp_path / "train-00001-of-00002.parquet")
        with pytest.raises(ContractError, match="expected files of one schema"):
            open_image_table(tmp_path)

    def test_what_is_damaged_or_empty(self, saved, tmp_path):
        (saved / "state.json").write_text("{")
        with pytest.raises(ContractError, match=r"state\.json: expected the state of a data set"):
            open_image_table(saved)
        (tmp_path / "empty").mkdir()
        assert not is_datasets_folder(tmp_path / "empty")
        with pytest.raises(ContractError, match=r"expected \.arrow or \.parquet files, got none"):
            open_image_table(tmp_path / "empty")


def test_numbers_in_a_text_file_keep_their_spelling(write):
    table = open_image_table(write("a.csv", "path,label\na.png,01\nb.png,1.50\n"))
    assert table.table.column("label").to_pylist() == ["01", "1.50"]
