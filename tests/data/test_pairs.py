import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from assay.data.pairs import Pairs, image_type, read_pairs
from assay.data.pictures import PictureError, decode, encode_png, resize
from assay.data.table import ContractError


@pytest.fixture
def arrays(rng) -> list[np.ndarray]:
    return [rng.integers(0, 256, (6 + i, 9, 3), np.uint8) for i in range(5)]


@pytest.fixture
def pairs(arrays, tmp_path) -> Pairs:
    """Pairs whose images are bytes, arrays and files."""
    (tmp_path / "two.png").write_bytes(encode_png(arrays[2]))
    images = [encode_png(arrays[0]), arrays[1], tmp_path / "two.png", arrays[3], arrays[4]]
    texts = {"en": ["a", ["b", "bee"], "c", [], "e"], "zh": ["甲", "乙", [], ["丁", " "], "戊"]}
    columns = {"weight": [1, 2, 3, 4, 5], "town": ["Köln", None, "Oslo", "Oslo", ""]}
    return Pairs.of(images, texts, groups=["x", "y", "x", "z", "y"], columns=columns, name="mine")


class TestContent:
    def test_texts_by_language_and_all_together(self, pairs):
        assert len(pairs) == 5
        assert pairs.languages == ("en", "zh")
        assert pairs.texts(1) == ("b", "bee", "乙")
        assert pairs.texts(1, "en") == ("b", "bee")
        assert pairs.texts(2, "zh") == pairs.texts(3, "en") == ()
        assert pairs.texts(3, "zh") == ("丁",)

    def test_groups_and_columns(self, pairs):
        assert pairs.groups.tolist() == [0, 1, 0, 2, 1]
        assert pairs.columns == ("weight", "town")
        assert pairs.column("weight").tolist() == [1, 2, 3, 4, 5]
        assert pairs.column("town").tolist() == ["Köln", None, "Oslo", "Oslo", ""]

    def test_without_groups_each_is_its_own(self, arrays):
        assert Pairs.of(arrays, ["t"] * 5).groups.tolist() == [0, 1, 2, 3, 4]
        assert Pairs.of(arrays, ["t"] * 5).languages == ("und",)

    @pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
    @pytest.mark.parametrize("threads", [1, 3])
    def test_images_are_those_given(self, pairs, arrays, fit, threads):
        images = pairs.images([4, 2, 0], 5, fit=fit, threads=threads)
        for image, index in zip(images, [4, 2, 0], strict=True):
            np.testing.assert_array_equal(image, resize(arrays[index], 5, fit=fit))

    def test_all_images(self, pairs):
        assert pairs.images(size=4).shape == (5, 4, 4, 3)
        assert pairs.images([], 4).shape == (0, 4, 4, 3)

    def test_encoded_gives_bytes_or_the_path(self, pairs, arrays, tmp_path):
        np.testing.assert_array_equal(decode(pairs.encoded(1)), arrays[1])
        assert pairs.encoded(2) == tmp_path / "two.png"

    def test_a_path_that_is_relative_stays_right_when_the_folder_changes(self, arrays, tmp_path, monkeypatch):
        (tmp_path / "a.png").write_bytes(encode_png(arrays[0]))
        monkeypatch.chdir(tmp_path)
        pairs = Pairs.of([Path("a.png")], ["a"])
        monkeypatch.chdir("/")
        assert pairs.images(size=6).shape == (1, 6, 6, 3)

    @pytest.mark.parametrize(
        "chosen", [[3, 1], np.array([True, False, True, True, False]), slice(1, 4), np.array([2, 2])]
    )
    def test_taking_some(self, pairs, chosen):
        kept = np.arange(5)[chosen]
        some = pairs.take(chosen)
        assert len(some) == len(kept)
        assert some.table is pairs.table
        np.testing.assert_array_equal(some.groups, pairs.groups[kept])
        np.testing.assert_array_equal(some.images(size=4), pairs.images(kept, 4))
        assert [some.texts(i) for i in range(len(some))] == [pairs.texts(int(i)) for i in kept]
        assert some.take([0]).texts(0) == pairs.texts(int(kept[0]))

    def test_describe(self, pairs):
        about = pairs.describe()
        assert (about["pairs"], about["groups"], about["texts"]) == (5, 3, {"en": 5, "zh": 4})
        assert about["example"] == ["a", "甲"]
        assert pairs.take([]).describe()["texts"] == {"en": 0, "zh": 0}
        assert repr(pairs) == "Pairs('mine', 5 pairs, en, zh)"


class TestFingerprint:
    def test_it_is_of_the_content_wherever_it_came_from(self, arrays, tmp_path):
        texts, contents = ["a", "b"], [encode_png(array) for array in arrays[:2]]
        for index, content in enumerate(contents):
            (tmp_path / f"{index}.png").write_bytes(content)
        files = [tmp_path / "0.png", tmp_path / "1.png"]
        one = Pairs.of(contents, texts, name="one", groups=[7, 9])
        assert one.fingerprint() == Pairs.of(files, texts, name="other").fingerprint()
        assert one.fingerprint() == Pairs.of(contents * 2, texts * 2).take([0, 1]).fingerprint()

    @pytest.mark.parametrize(
        "change",
        [
            {"texts": ["a", "c"]},
            {"texts": {"en": ["a", "b"]}},
            {"groups": [0, 0]},
            {"columns": {"weight": [1, 2]}},
            {"swap": True},
        ],
    )
    def test_it_tells_what_differs(self, arrays, change):
        images = [encode_png(array) for array in arrays[:2]]
        original = Pairs.of(images, ["a", "b"]).fingerprint()
        changed = {"texts": ["a", "b"], **change}
        if changed.pop("swap", False):
            images = images[::-1]
        assert Pairs.of(images, **changed).fingerprint() != original

    def test_a_file_that_has_gone(self, arrays, tmp_path):
        with pytest.raises(ContractError, match=r"gone\.png: cannot be read: No such file"):
            Pairs.of([tmp_path / "gone.png"], ["a"]).fingerprint()


class TestFiles:
    def test_saved_and_opened_it_is_the_same(self, pairs, tmp_path):
        some = pairs.take([4, 0, 2])
        some.save(tmp_path / "saved")
        opened = Pairs.open(tmp_path / "saved")
        assert opened.fingerprint() == some.fingerprint()
        assert (opened.name, opened.notes, opened.languages) == (some.name, some.notes, some.languages)
        assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["pairs.arrow", "pairs.json"]

    def test_many_blocks(self, tmp_path):
        count = 700
        image = encode_png(np.zeros((1, 1, 3), np.uint8))
        pairs = Pairs.of([image] * count, [str(i) for i in range(count)])
        pairs.save(tmp_path / "saved")
        opened = Pairs.open(tmp_path / "saved")
        assert [opened.texts(i)[0] for i in range(count)] == [str(i) for i in range(count)]

    def test_opening_copies_nothing(self, tmp_path):
        image = np.zeros(4_000_000, np.uint8).tobytes()  # Not decoded here.
        Pairs.of([image] * 8, ["a"] * 8).save(tmp_path / "saved")
        before = pa.total_allocated_bytes()
        opened = Pairs.open(tmp_path / "saved")
        assert opened.encoded(3) == image
        assert pa.total_allocated_bytes() - before < 1_000_000

    def test_what_is_damaged(self, pairs, tmp_path):
        with pytest.raises(ContractError, match="expected pairs that `save` wrote"):
            Pairs.open(tmp_path / "nothing")
        pairs.save(tmp_path / "saved")
        path = tmp_path / "saved" / "pairs.arrow"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ContractError, match="expected pairs that `save` wrote"):
            Pairs.open(tmp_path / "saved")

    def test_a_full_disk_leaves_nothing_half_written(self, pairs, tmp_path):
        folder = tmp_path / "saved"
        folder.mkdir()
        (folder / f".pairs.arrow-{os.getpid()}").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left"):
            pairs.save(folder)
        assert list(folder.iterdir()) == []


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"texts": ["a"]}, "expected 2 texts in und, as images, got 1"),
            ({"texts": {"en": ["a", "b"], "zh": ["c"]}}, "expected 2 texts in zh, as images, got 1"),
            ({"groups": [1]}, "expected 2 groups, as images, got 1"),
            ({"columns": {"town": []}}, "expected 2 town, as images, got 0"),
            ({"texts": ["a", " "]}, "mine: expected a text for pair 1, got none"),
            ({"columns": {"group": [1, 2]}}, "expected another name than 'group'"),
            ({"columns": {"texts_fr": [1, 2]}}, "expected another name than 'texts_fr'"),
        ],
    )
    def test_what_does_not_fit_together(self, arguments, message):
        with pytest.raises(ContractError, match=message):
            Pairs.of([b"1", b"2"], **{"texts": ["a", "b"], "name": "mine", **arguments})

    def test_an_unknown_language_or_column(self, pairs):
        with pytest.raises(ContractError, match="mine: expected a language of en, zh, got 'fr'"):
            pairs.texts(0, "fr")
        with pytest.raises(ContractError, match="no column 'wieght'; did you mean 'weight'"):
            pairs.column("wieght")

    def test_a_broken_image_is_named(self, arrays):
        pairs = Pairs.of([arrays[0], b"broken"], ["a", "b"], name="mine")
        for threads in (1, 2):
            with pytest.raises(PictureError, match="mine, pair 1: expected an image"):
                pairs.images(size=4, threads=threads)


def test_the_type_of_images_is_that_of_datasets():
    assert image_type() == pa.struct({"bytes": pa.binary(), "path": pa.string()})


def test_reading_is_that_of_the_readers(arrays, tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(arrays[0]))
    (tmp_path / "a.txt").write_text("a cat\n")
    pairs = read_pairs(tmp_path)
    assert (len(pairs), pairs.texts(0)) == (1, ("a cat",))
