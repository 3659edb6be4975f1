import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.data.pair_readers import read, read_gallery
from assay.data.pairs import Pairs, image_type
from assay.data.pictures import encode_png
from assay.data.table import ContractError

CAPTIONS = ["a cat", "a dog", "a bird"]


@pytest.fixture
def contents(rng) -> list[bytes]:
    return [encode_png(rng.integers(0, 256, (9, 12, 3), np.uint8)) for _ in CAPTIONS]


@pytest.fixture
def files(contents, tmp_path) -> list[str]:
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.png").write_bytes(content)
    return [f"{number}.png" for number in range(len(contents))]


def csv(path: Path, files, captions, header="path,caption") -> Path:
    path.write_text(
        "\n".join([header, *(f"{file},{text}" for file, text in zip(files, captions, strict=True))]) + "\n"
    )
    return path


class TestFormats:
    """The same pairs in every format are the same data."""

    @pytest.fixture
    def expected(self, contents):
        return Pairs.of(contents, CAPTIONS).fingerprint()

    def test_csv(self, files, expected, tmp_path):
        pairs = read(csv(tmp_path / "a.csv", files, CAPTIONS))
        assert (pairs.fingerprint(), pairs.name) == (expected, "a.csv")

    def test_json_lines(self, files, expected, tmp_path):
        lines = [json.dumps({"file_name": f, "texts": [c]}) for f, c in zip(files, CAPTIONS, strict=True)]
        (tmp_path / "a.jsonl").write_text("\n".join(lines))
        assert read(tmp_path / "a.jsonl").fingerprint() == expected

    def test_parquet_of_bytes(self, contents, expected, tmp_path):
        pq.write_table(pa.table({"image": contents, "text": CAPTIONS}), tmp_path / "a.parquet")
        assert read(tmp_path / "a.parquet").fingerprint() == expected

    def test_a_folder_of_datasets(self, contents, expected, tmp_path):
        images = pa.array([{"bytes": content, "path": None} for content in contents], image_type())
        folder = tmp_path / "data"
        folder.mkdir()
        pq.write_table(
            pa.table({"image": images, "caption": CAPTIONS}), folder / "train-00000-of-00001.parquet"
        )
        assert read(folder).fingerprint() == expected

    def test_images_with_text_files(self, files, expected, tmp_path):
        for number, caption in enumerate(CAPTIONS):
            (tmp_path / f"{number}.txt").write_text(f"{caption}\n")
        (tmp_path / "notes.md").write_text("no image")
        assert read(tmp_path).fingerprint() == expected

    @pytest.mark.parametrize("ending", ["csv", "jsonl"])
    def test_images_with_their_metadata(self, files, expected, tmp_path, ending):
        rows = list(zip(files, CAPTIONS, strict=True))
        lines = {
            "csv": ["file_name,text", *(f"{file},{text}" for file, text in rows)],
            "jsonl": [json.dumps({"file_name": file, "text": text}) for file, text in rows],
        }[ending]
        (tmp_path / f"metadata.{ending}").write_text("\n".join(lines))
        assert read(tmp_path).fingerprint() == expected

    def test_tar_files(self, contents, expected, tmp_path):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            for number, (content, caption) in enumerate(zip(contents, CAPTIONS, strict=True)):
                for name, part in ((f"{number}.png", content), (f"{number}.txt", caption.encode())):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(part)
                    archive.addfile(entry, io.BytesIO(part))
        for source in (tmp_path / "a.tar", tmp_path):
            pairs = read(source)
            assert pairs.columns == ("key",)
            assert [pairs.texts(i)[0] for i in range(3)] == CAPTIONS
            assert [pairs.encoded(i) for i in range(3)] == contents

    def test_saved_and_opened(self, files, expected, tmp_path):
        read(csv(tmp_path / "a.csv", files, CAPTIONS)).save(tmp_path / "saved")
        assert Pairs.open(tmp_path / "saved").fingerprint() == expected


class TestGallery:
    def test_pictures_without_texts_are_called_by_their_path(self, contents, tmp_path):
        for name, content in zip(("b/1.png", "a.png", "b/2.png"), contents, strict=True):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        pairs = read_gallery(tmp_path)
        assert [pairs.texts(i) for i in range(3)] == [("a.png",), ("b/1.png",), ("b/2.png",)]
        expected = Pairs.of([contents[1], contents[0], contents[2]], ["a.png", "b/1.png", "b/2.png"])
        assert pairs.fingerprint() == expected.fingerprint()

    def test_pairs_are_pairs(self, files, tmp_path):
        for file, caption in zip(files, CAPTIONS, strict=True):
            (tmp_path / file).with_suffix(".txt").write_text(caption)
        assert read_gallery(tmp_path).fingerprint() == read(tmp_path).fingerprint()
        table = csv(tmp_path / "a.csv", files, CAPTIONS)
        assert read_gallery(table).fingerprint() == read(table).fingerprint()

    def test_faults(self, files, tmp_path):
        (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
        with pytest.raises(ContractError, match=r"1\.png: expected an image"):
            read_gallery(tmp_path)
        assert len(read_gallery(tmp_path, policy="skip")) == 2
        (tmp_path / "empty").mkdir()
        with pytest.raises(ContractError, match="expected at least one item, got none"):
            read_gallery(tmp_path / "empty")


class TestColumns:
    def test_languages_by_name(self, files, tmp_path):
        rows = [f"{file},{text},猫{n}" for n, (file, text) in enumerate(zip(files, CAPTIONS, strict=True))]
        (tmp_path / "a.csv").write_text("\n".join(["path,caption,caption_zh", *rows]))
        pairs = read(tmp_path / "a.csv")
        assert pairs.languages == ("und", "zh")
        assert pairs.texts(1) == ("a dog", "猫1")

    def test_languages_as_told(self, contents, tmp_path):
        content = {"image": contents, "one": CAPTIONS, "two": [["x"], ["y", "z"], None], "three": ["3"] * 3}
        pq.write_table(pa.table(content), tmp_path / "a.parquet")
        pairs = read(tmp_path / "a.parquet", text={"en": ["one", "two"], "zh": "three"})
        assert pairs.texts(1, "en") == ("a dog", "y", "z")
        assert pairs.texts(2, "en") == ("a bird",)
        assert pairs.texts(2, "zh") == ("3",)
        assert read(tmp_path / "a.parquet", text=["one", "three"]).texts(0) == ("a cat", "3")
        assert read(tmp_path / "a.parquet", text="one").columns == ("two", "three")

    def test_groups_and_other_columns(self, contents, tmp_path):
        content = {"image": contents, "text": CAPTIONS, "thing": ["b", "a", "b"], "score": [0.5, 1.5, None]}
        pq.write_table(pa.table(content), tmp_path / "a.parquet")
        pairs = read(tmp_path / "a.parquet", group="thing")
        assert pairs.groups.tolist() == [0, 1, 0]
        assert pairs.columns == ("score",)
        assert pairs.column("score").tolist() == [0.5, 1.5, None]

    def test_a_root_for_the_paths(self, files, tmp_path):
        (tmp_path / "list").mkdir()
        path = csv(tmp_path / "list" / "a.csv", files, CAPTIONS)
        assert len(read(path, root=tmp_path)) == 3
        with pytest.raises(ContractError, match=r"row 1: .*list/0\.png: cannot be read: No such file"):
            read(path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"text": "captoin"}, "no column 'captoin'; did you mean 'caption'"),
            ({"image": "pth"}, "no column 'pth'; did you mean 'path'"),
            ({"group": "things"}, "no column 'things'"),
            ({"split": "test"}, "has splits, got a file"),
        ],
    )
    def test_what_there_is_not(self, files, tmp_path, options, message):
        with pytest.raises(ContractError, match=message):
            read(csv(tmp_path / "a.csv", files, CAPTIONS), **options)

    def test_no_column_of_texts(self, files, tmp_path):
        path = csv(tmp_path / "a.csv", files, CAPTIONS, "path,words")
        message = "expected a column of texts, called text, .* got 'words'; the option `text` names it"
        with pytest.raises(ContractError, match=message):
            read(path)
        assert read(path, text="words").texts(0) == ("a cat",)

    def test_texts_that_are_numbers(self, contents, tmp_path):
        pq.write_table(pa.table({"image": contents, "text": [1, 2, 3]}), tmp_path / "a.parquet")
        with pytest.raises(
            ContractError, match=r"column 'text': expected texts or lists of them, got .* int64"
        ):
            read(tmp_path / "a.parquet")

    def test_rows_of_one_image_are_one_pair(self, files, tmp_path):
        path = csv(tmp_path / "a.csv", [files[0], files[1], files[0], files[0]], ["a", "b", "c", "d"])
        for check in ("decode", "header", "none"):
            pairs = read(path, check=check)  # pyright: ignore[reportArgumentType]
            assert [pairs.texts(i) for i in range(len(pairs))] == [("a", "c", "d"), ("b",)]
            assert pairs.notes == ("2 rows show the image of an earlier row and add texts to it",)


class TestFaults:
    """Four good rows with a bad one between them; every kind of fault, refused by name or skipped."""

    @pytest.fixture(params=["missing", "truncated", "not an image", "bomb", "empty text", "no path", "twice"])
    def bad(self, request, files, contents, tmp_path):
        (tmp_path / "bad.png").write_bytes(
            {
                "truncated": contents[0][:-60],
                "not an image": b"<html>",
                "bomb": encode_png(np.zeros((80, 80), np.uint8)),
            }.get(request.param, contents[0])
        )
        row, message, kind = {
            "missing": (
                ("gone.png", "x"),
                r"row 2: .*gone\.png: cannot be read: No such file",
                "an unreadable image",
            ),
            "truncated": (
                ("bad.png", "x"),
                r"row 2: .*bad\.png: expected a whole image",
                "an unreadable image",
            ),
            "not an image": (
                ("bad.png", "x"),
                r"row 2: .*bad\.png: expected an image",
                "an unreadable image",
            ),
            "bomb": (("bad.png", "x"), r"row 2: .*at most 5,000 pixels, got 80 x 80", "an unreadable image"),
            "empty text": ((files[1], " "), "row 2: .*expected a text, got an empty one", "empty text"),
            "no path": (("", "x"), "row 2: expected an image, got none", "no image"),
            "twice": (
                (files[0], "a cat"),
                r"row 2: .*0\.png: expected another pair than that of .*row 1",
                "a pair twice",
            ),
        }[request.param]
        rows = [(files[0], "a cat"), row, (files[1], "a dog"), (files[2], "a bird")]
        return csv(tmp_path / "a.csv", [row[0] for row in rows], [row[1] for row in rows]), message, kind

    def test_refused_by_name(self, bad):
        path, message, _ = bad
        with pytest.raises(ContractError, match=message):
            read(path, max_pixels=5_000)

    def test_skipped_named_and_counted(self, bad, contents):
        path, message, kind = bad
        pairs = read(path, policy="skip", max_pixels=5_000)
        assert pairs.fingerprint() == Pairs.of(contents, CAPTIONS).fingerprint()
        (note,) = pairs.notes
        assert note.startswith(f"left out 1 with {kind}: ")
        with pytest.raises(ContractError, match=message):
            raise ContractError(note)

    @pytest.mark.parametrize("kind", ["empty text", "no text", "unreadable text"])
    def test_in_a_folder(self, files, tmp_path, kind):
        for number, caption in enumerate(CAPTIONS):
            (tmp_path / f"{number}.txt").write_text(caption)
        bad = tmp_path / "1.txt"
        bad.unlink()
        if kind != "no text":
            bad.write_bytes(b"\n \n" if kind == "empty text" else b"\xff\xfe")
        with pytest.raises(ContractError, match=r"1\.(txt|png): expected"):
            read(tmp_path)
        pairs = read(tmp_path, policy="skip")
        assert len(pairs) == 2
        assert pairs.notes[0].startswith(f"left out 1 with {kind}: ")

    def test_nothing_is_left(self, tmp_path):
        path = csv(tmp_path / "a.csv", ["x.png", "y.png"], ["a", "b"])
        message = (
            r"a\.csv: expected at least one item, got none: left out 2 with an unreadable image: .*row 1"
        )
        with pytest.raises(ContractError, match=message):
            read(path, policy="skip")

    def test_zero_pairs(self, tmp_path):
        with pytest.raises(ContractError, match="expected rows after the header, got none"):
            read(csv(tmp_path / "a.csv", [], []))
        (tmp_path / "empty").mkdir()
        with pytest.raises(ContractError, match="images with text files: expected at least one item"):
            read(tmp_path / "empty")
        with pytest.raises(ContractError, match="no such file or folder"):
            read(tmp_path / "nothing")
        pq.write_table(
            pa.table({"image": pa.array([], pa.binary()), "text": pa.array([], pa.string())}),
            tmp_path / "a.parquet",
        )
        with pytest.raises(ContractError, match="expected at least one item, got none"):
            read(tmp_path / "a.parquet")

    def test_less_checking_finds_less(self, files, contents, tmp_path):
        (tmp_path / files[1]).write_bytes(contents[1][:-60])
        path = csv(tmp_path / "a.csv", files, CAPTIONS)
        assert len(read(path, check="header")) == 3
        (tmp_path / files[1]).write_bytes(b"<html>")
        with pytest.raises(ContractError, match="expected an image"):
            read(path, check="header")
        os.unlink(tmp_path / files[1])
        assert len(read(path, check="none")) == 3

    @pytest.mark.parametrize(("option", "value"), [("check", "all"), ("policy", "ignore")])
    def test_options(self, files, tmp_path, option, value):
        with pytest.raises(ValueError, match=f"got '{value}'"):
            read(csv(tmp_path / "a.csv", files, CAPTIONS), **{option: value})
