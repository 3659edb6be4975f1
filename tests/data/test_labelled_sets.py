import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from assay.data import labelled_sets
from assay.data.fetch import FetchError, cache_folder
from assay.data.labelled_sets import FASHION_MNIST, emoji_groups, fashion_mnist, read_idx
from assay.data.table import ContractError


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


class TestIdx:
    @pytest.mark.parametrize("shape", [(7,), (2, 3), (4, 5, 6), (0, 28, 28)])
    def test_what_was_written(self, rng, shape):
        array = rng.integers(0, 256, shape, np.uint8)
        np.testing.assert_array_equal(read_idx(idx(array)), array)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "labels: expected an IDX file, got something else"),
            (b"\x1f\x8b\x08\x01....", "expected an IDX file, got something else"),
            (b"\0\0\x0d\x01....", "expected unsigned bytes .type 0x08., got the type 0x0d"),
            (b"\0\0\x08\x03....", "expected 3 sizes, got a shorter file"),
            (idx(np.zeros((2, 3), np.uint8))[:-1], r"expected 6 values for \(2, 3\), got 5"),
            (idx(np.zeros((2, 3), np.uint8)) + b"x", r"expected 6 values for \(2, 3\), got 7"),
            (b"\0\0\x08\x02" + b"\xff" * 8, "expected 18,446,744,065,119,617,025 values"),
        ],
    )
    def test_what_is_damaged(self, content, message):
        with pytest.raises(ContractError, match=message):
            read_idx(content, "labels")


class TestFashionMnist:
    @pytest.fixture
    def packed(self, tmp_path, monkeypatch, rng):
        """A package of the same form with few images, and how often it is fetched."""
        parts = {
            "train-images-idx3": rng.integers(0, 256, (5, 28, 28), np.uint8),
            "t10k-images-idx3": rng.integers(0, 256, (3, 28, 28), np.uint8),
            "train-labels-idx1": np.array([0, 1, 2, 9, 4], np.uint8),
            "t10k-labels-idx1": np.array([9, 0, 1], np.uint8),
        }
        with tarfile.open(tmp_path / "package.tar", "w") as archive:
            for name, array in parts.items():
                content = gzip.compress(idx(array))
                entry = tarfile.TarInfo(f"./usr/share/datasets/fashion-mnist/{name}-ubyte.gz")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        calls: list[tuple[str, ...]] = []

        def fetch(*package: str) -> Path:
            calls.append(package)
            return tmp_path / "package.tar"

        monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(labelled_sets, "fetch_debian", fetch)
        return parts, calls

    def test_training_and_test_images_one_after_the_other(self, packed):
        parts, _ = packed
        data = fashion_mnist()
        np.testing.assert_array_equal(data.images[:5], parts["train-images-idx3"])
        np.testing.assert_array_equal(data.images[5:], parts["t10k-images-idx3"])
        assert data.labels.tolist() == [0, 1, 2, 9, 4, 9, 0, 1]
        assert data.test is not None
        assert data.test.tolist() == [False] * 5 + [True] * 3
        assert data.classes[9] == "ankle boot"

    def test_it_is_fetched_once_and_again_when_damaged(self, packed, tmp_path):
        _, calls = packed
        first = fashion_mnist().fingerprint()
        assert fashion_mnist().fingerprint() == first
        assert calls == [FASHION_MNIST]
        (kept,) = (tmp_path / "cache" / "images").iterdir()
        (kept / "images.npy").write_bytes(b"")
        assert fashion_mnist().fingerprint() == first
        assert len(calls) == 2

    def test_where_there_is_no_apt_the_error_says_so(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(FetchError, match=r"apt-get is not installed: .*; own data needs"):
            fashion_mnist()

    def test_the_real_one(self):
        if not (cache_folder("packages") / FASHION_MNIST[2]).exists():
            pytest.skip("Fashion-MNIST is not in the cache")
        data = fashion_mnist()
        assert data.test is not None
        assert data.images.shape == (70_000, 28, 28)
        assert np.bincount(data.labels[data.test]).tolist() == [1_000] * 10
        assert np.bincount(data.labels[~data.test]).tolist() == [6_000] * 10
        assert data.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]  # As the authors' page shows them.


class TestEmojiGroups:
    def test_nine_groups(self, smoke_emoji):
        data = emoji_groups("smoke", size=16)
        assert data.images.shape == (len(smoke_emoji), 16, 16, 3)
        assert len(data.classes) == 9
        assert "food-drink" in data.classes
        expected = smoke_emoji.column("emoji_group")
        assert [data.classes[label] for label in data.labels] == list(expected)

    def test_groups_are_concepts_and_test_is_by_vendor(self, smoke_emoji):
        data = emoji_groups("smoke", size=16)
        assert data.groups is not None
        assert data.test is not None
        pairs = set(zip(data.groups.tolist(), smoke_emoji.column("concept"), strict=True))
        assert len(pairs) == len(np.unique(data.groups))
        vendors = smoke_emoji.column("vendor")
        assert set(vendors[data.test]) == {"twemoji", "openmoji"}
        assert not set(vendors[~data.test]) & {"twemoji", "openmoji"}
