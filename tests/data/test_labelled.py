import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.data.labelled import LabelledImages, is_image_file, read_labelled
from assay.data.pairs import image_type
from assay.data.pictures import decode, encode_png, resize
from assay.data.table import ContractError


@pytest.fixture
def data(rng) -> LabelledImages:
    return LabelledImages(
        images=rng.integers(0, 256, (6, 5, 4, 3), np.uint8),
        labels=np.array([0, 1, 2, 1, 0, 1]),
        classes=("cat", "dog", "bird"),
        name="mine",
        groups=np.array([0, 0, 1, 1, 2, 2]),
        test=np.array([False] * 4 + [True] * 2),
        notes=("of a friend",),
    )


class TestLabelledImages:
    def test_taking_some(self, data):
        for chosen in ([5, 0], np.array([True, False] * 3), slice(1, 4)):
            some = data.take(chosen)
            for what in ("images", "labels", "groups", "test"):
                np.testing.assert_array_equal(getattr(some, what), getattr(data, what)[chosen])
            assert some.classes == data.classes

    def test_saved_and_opened(self, data, tmp_path):
        data.save(tmp_path / "saved")
        opened = LabelledImages.open(tmp_path / "saved")
        for what in ("images", "labels", "groups", "test"):
            np.testing.assert_array_equal(getattr(opened, what), getattr(data, what))
        assert (opened.name, opened.classes, opened.notes) == (data.name, data.classes, data.notes)
        assert opened.fingerprint() == data.fingerprint()
        assert isinstance(opened.images, np.memmap)

    def test_without_groups_and_test(self, data, tmp_path):
        plain = LabelledImages(data.images, data.labels, data.classes)
        plain.save(tmp_path)
        assert LabelledImages.open(tmp_path).groups is None
        assert plain.take([0]).test is None

    def test_the_fingerprint_tells_what_differs(self, data):
        prints = {data.fingerprint(), data.take(slice(5)).fingerprint()}
        prints.add(LabelledImages(255 - data.images, data.labels, data.classes).fingerprint())
        prints.add(LabelledImages(data.images, data.labels[::-1].copy(), data.classes).fingerprint())
        prints.add(LabelledImages(data.images, data.labels, ("a", "b", "c")).fingerprint())
        assert len(prints) == 5
        assert LabelledImages(data.images, data.labels.astype(np.int32), data.classes).fingerprint() in prints

    def test_describe(self, data):
        about = data.describe()
        assert about["classes"] == {"cat": 2, "dog": 3, "bird": 1}
        assert (about["images"], about["shape"], about["notes"]) == (6, [5, 4, 3], ["of a friend"])
        assert len(data) == 6

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"images": np.zeros((6, 5, 4, 3))}, "expected images uint8"),
            ({"images": np.zeros((6, 5), np.uint8)}, "expected images uint8"),
            ({"images": np.zeros((6, 5, 4, 4), np.uint8)}, "expected images uint8"),
            ({"labels": np.zeros(5, int)}, r"expected 6 labels, got \[5\]"),
            ({"groups": np.zeros(5, int)}, r"expected 6 groups, got \[5\]"),
            ({"classes": ("cat", "dog")}, "expected labels from 0 to 1, got 0 to 2"),
            ({"labels": np.full(6, -1)}, "expected labels from 0 to 2, got -1 to -1"),
        ],
    )
    def test_what_does_not_fit_together(self, data, change, message):
        fields = {"images": data.images, "labels": data.labels, "classes": data.classes} | change
        with pytest.raises(ContractError, match=f"mine: {message}"):
            LabelledImages(**fields, name="mine")

    def test_what_is_damaged(self, data, tmp_path):
        with pytest.raises(ContractError, match="expected images that `save` wrote"):
            LabelledImages.open(tmp_path / "nothing")
        data.save(tmp_path)
        content = (tmp_path / "images.npy").read_bytes()
        (tmp_path / "images.npy").write_bytes(content[:-10])
        with pytest.raises(ContractError, match="expected images that `save` wrote"):
            LabelledImages.open(tmp_path)


@pytest.fixture
def folder(tmp_path, rng) -> Path:
    """A folder for each of three classes, of 2, 1 and 3 images; and what is to be passed over."""
    for name, count in (("10", 2), ("9", 1), ("cat", 3)):
        (tmp_path / "in" / name / "more").mkdir(parents=True)
        for number in range(count):
            where = tmp_path / "in" / name / ("more" if number == 2 else "")
            (where / f"{number}.PNG").write_bytes(encode_png(rng.integers(0, 256, (10, 16, 3), np.uint8)))
    (tmp_path / "in" / "empty").mkdir()
    (tmp_path / "in" / ".cache").mkdir()
    (tmp_path / "in" / ".cache" / "a.png").write_bytes(b"x")
    (tmp_path / "in" / "README.md").write_text("#")
    return tmp_path / "in"


class TestFolders:
    def test_a_folder_for_each_class(self, folder):
        data = read_labelled(folder, size=8)
        assert data.classes == ("9", "10", "cat")
        assert data.labels.tolist() == [0, 1, 1, 2, 2, 2]
        assert data.name == "in"
        np.testing.assert_array_equal(data.images[0], resize(decode(folder / "9" / "0.PNG"), 8))

    def test_sizes_fits_and_grey(self, folder):
        whole = decode(folder / "9" / "0.PNG")
        for fit in ("pad", "stretch"):
            data = read_labelled(folder, size=6, fit=fit)
            np.testing.assert_array_equal(data.images[0], resize(whole, 6, fit=fit))
        grey = read_labelled(folder, size=6, grey=True)
        assert grey.images.shape == (6, 6, 6)
        expected = resize(whole, 6) @ np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(grey.images[0], expected, atol=0.5)

    def test_faults(self, folder):
        (folder / "10" / "0.PNG").write_bytes(b"<html>")
        with pytest.raises(ContractError, match=r"10/0\.PNG: expected an image, got something else"):
            read_labelled(folder)
        data = read_labelled(folder, size=4, policy="skip")
        assert data.labels.tolist() == [0, 1, 2, 2, 2]
        assert data.notes[0].startswith("left out 1 with an unreadable image: ")
        with pytest.raises(ContractError, match="expected at most 100 pixels, got 16 x 10"):
            read_labelled(folder, max_pixels=100)

    def test_no_folders_of_images(self, tmp_path, folder):
        with pytest.raises(ContractError, match=r"expected a folder of images .* got no folders"):
            read_labelled(folder / "9" / "more")
        with pytest.raises(ContractError, match="no such file or folder"):
            read_labelled(tmp_path / "nothing")

    def test_all_at_fault(self, folder):
        with pytest.raises(ContractError, match="expected at least one item, got none: left out 6 with"):
            read_labelled(folder, max_pixels=1, policy="skip")


class TestTables:
    def test_the_same_images_are_the_same_data(self, folder, tmp_path):
        expected = read_labelled(folder, size=8).fingerprint()
        files = [file for name in ("9", "10", "cat") for file in sorted((folder / name).rglob("*.PNG"))]
        names = ["9", "10", "10", "cat", "cat", "cat"]
        lines = [f"{file.relative_to(tmp_path)},{name}" for file, name in zip(files, names, strict=True)]
        (tmp_path / "a.csv").write_text("\n".join(["path,label", *lines]))
        assert read_labelled(tmp_path / "a.csv", size=8).fingerprint() == expected
        content = {"image": [file.read_bytes() for file in files], "y": names}
        pq.write_table(pa.table(content), tmp_path / "a.parquet")
        assert read_labelled(tmp_path / "a.parquet", size=8).fingerprint() == expected
        assert (
            read_labelled(tmp_path / "a.parquet", size=8, label="y", image="image").fingerprint() == expected
        )

    def test_class_names_of_datasets(self, tmp_path, picture):
        features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
        metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
        images = pa.array([{"bytes": picture(), "path": None}] * 3, image_type())
        table = pa.table({"image": images, "label": [1, 0, -1]}).replace_schema_metadata(metadata)
        (tmp_path / "data").mkdir()
        pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
        with pytest.raises(ContractError, match="row 3: expected a label in column 'label', got -1"):
            read_labelled(tmp_path / "data")
        data = read_labelled(tmp_path / "data", size=4, policy="skip")
        assert (data.classes, data.labels.tolist()) == (("cat", "dog"), [1, 0])

    def test_missing_images_and_labels(self, tmp_path, picture):
        content = {"image": [picture(), None, picture()], "class": ["a", "b", None]}
        pq.write_table(pa.table(content), tmp_path / "a.parquet")
        with pytest.raises(ContractError, match="row 2: expected an image in column 'image', got none"):
            read_labelled(tmp_path / "a.parquet")
        data = read_labelled(tmp_path / "a.parquet", size=4, policy="skip")
        assert data.labels.tolist() == [0]
        assert len(data.notes) == 2

    def test_no_labels(self, write):
        path = write("a.csv", "path,kind\na.png,x\n")
        with pytest.raises(ContractError, match=r"expected a column of labels, .* got 'kind'"):
            read_labelled(path)
        with pytest.raises(ContractError, match="no column 'knd'; did you mean 'kind'"):
            read_labelled(path, label="knd")
        with pytest.raises(ContractError, match=r"row 1: .*a\.png: no such file"):
            read_labelled(path, label="kind")


def test_what_is_an_image_file(tmp_path):
    for name in ("a.jpg", "b.JPEG", "c.txt", ".d.png"):
        (tmp_path / name).touch()
    (tmp_path / "e.png").mkdir()
    found = sorted(path.name for path in tmp_path.iterdir() if is_image_file(path))
    assert found == ["a.jpg", "b.JPEG"]
