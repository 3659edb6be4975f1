"""What the data must be, and which images a trial learns from and is tested on."""

import itertools

import numpy as np
import pytest

from assay.data.labelled import LabelledImages
from assay.data.table import ContractError
from assay.images.contract import ImageData, split


def pool(counts=(40, 20, 10), *, groups=None, test=None):
    labels = np.repeat(np.arange(len(counts)), counts)
    numbers = np.arange(len(labels))
    images = np.stack([numbers % 256, numbers // 256], 1).astype(np.uint8)[:, None, :]
    names = tuple("abcdef"[: len(counts)])
    return LabelledImages(images, labels, names, "pool", groups=groups, test=test)


def ids(part):
    return set((part.images[:, 0, 0] + 256 * part.images[:, 0, 1].astype(int)).tolist())


def test_parts_are_disjoint_and_whole_and_follow_the_seed():
    data = ImageData(pool())
    train, test = split(data, 0)
    assert ids(train) | ids(test) == set(range(70))
    assert not ids(train) & ids(test)
    assert ids(split(data, 0)[1]) == ids(test)
    assert ids(split(data, 1)[1]) != ids(test)
    assert np.bincount(test.labels).tolist() == [10, 5, 2]  # A quarter of every class.


def test_a_conventional_test_part_is_kept():
    mask = np.arange(70) % 7 == 0
    for seed in range(3):
        _, test = split(ImageData(pool(test=mask)), seed)
        assert ids(test) == set(range(0, 70, 7))


def test_groups_are_not_parted():
    groups = np.arange(70) // 2
    train, test = split(ImageData(pool(groups=groups)), 0)
    assert not set(train.groups) & set(test.groups)
    assert len(set(test.groups)) == round(35 / 4)


def test_limits_keep_the_proportions_of_classes():
    train, test = split(ImageData(pool((400, 200, 100)), max_train=70, max_test=35), 3)
    assert np.bincount(train.labels).tolist() == [40, 20, 10]
    assert np.bincount(test.labels).tolist() == [20, 10, 5]


def test_fewer_labels_are_a_subset_of_more_and_every_class_stays():
    parts = [ids(split(ImageData(pool(), labels=share), 5)[0]) for share in (0.01, 0.1, 0.5, 1.0)]
    assert len(parts[0]) == 3
    for few, more in itertools.pairwise(parts):
        assert few < more
    train, test = split(ImageData(pool(), labels=0.01), 5)
    assert sorted(train.labels) == [0, 1, 2]
    assert ids(test) == ids(split(ImageData(pool()), 5)[1])


def test_a_class_of_one_image_is_for_training():
    train, test = split(ImageData(pool((5, 5, 1))), 0)
    assert 2 in train.labels
    assert 2 not in test.labels


@pytest.mark.parametrize("counts", [(5,), (5, 1), (1, 1, 1), (0, 0)])
def test_two_classes_of_two_images_are_needed(counts):
    with pytest.raises(ContractError, match="pool: expected at least 2 classes with 2 images each"):
        ImageData(pool(counts))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": 0.0}, r"labels: expected a share in \(0, 1\], got 0.0"),
        ({"labels": 1.5}, r"labels: expected a share in"),
        ({"max_train": 0}, "max_train: expected at least 1 image, got 0"),
        ({"max_test": -1}, "max_test: expected at least 1 image, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    with pytest.raises(ContractError, match=message):
        ImageData(pool(), **changes)


def test_is_written_and_opened(tmp_path):
    data = ImageData(pool(groups=np.arange(70) // 2), labels=0.5, max_train=30, max_test=9)
    data.save(tmp_path)
    again = ImageData.open(tmp_path)
    assert again.fingerprint() == data.fingerprint()
    assert again.name == data.name == "pool-labels-0.5"
    assert [ids(p) for p in split(again, 2)] == [ids(p) for p in split(data, 2)]


def test_every_number_is_part_of_the_fingerprint():
    changes = ({}, {"labels": 0.5}, {"max_train": 30}, {"max_test": 30})
    assert len({ImageData(pool(), **change).fingerprint() for change in changes}) == 4


def test_the_reader_is_told_how_many_are_taken():
    told = ImageData(pool(), labels=0.5, max_test=7).describe()
    assert told["classes"] == {"a": 40, "b": 20, "c": 10}
    assert (told["training images"], told["test images"], told["labels"]) == (26, 7, 0.5)
    assert "labels" not in ImageData(pool()).describe()
