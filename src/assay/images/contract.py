"""The data contract of the images wing: labelled images, and which of them a trial learns from."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.files import write_json
from assay.data.labelled import LabelledImages
from assay.data.table import ContractError

_TEST_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images, and how many of them a trial takes.

    Args:
        pool: all images.
        labels: share of the training images whose labels are given, in (0, 1]; the others are left out.
        max_train, max_test: at most so many training images, before `labels`, and test images; None for all.

    Raises:
        ContractError: there are fewer than two classes with two images each, or a number is out of its range.
    """

    pool: LabelledImages
    labels: float = 1.0
    max_train: int | None = None
    max_test: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.labels <= 1:
            raise ContractError(f"labels: expected a share in (0, 1], got {self.labels!r}")
        for name in ("max_train", "max_test"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ContractError(f"{name}: expected at least 1 image, got {value!r}")
        counts = np.bincount(self.pool.labels, minlength=len(self.pool.classes))
        if (counts >= 2).sum() < 2:
            raise ContractError(
                f"{self.pool.name}: expected at least 2 classes with 2 images each, to learn from and to be "
                f"tested on, got {_told(self.pool, counts)}"
            )

    @property
    def name(self) -> str:
        """That of the images, and the share of labels if it is not all."""
        return self.pool.name if self.labels == 1 else f"{self.pool.name}-labels-{self.labels:g}"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.pool.classes

    def fingerprint(self) -> str:
        """SHA-256 of the images and of the numbers."""
        told = json.dumps([self.pool.fingerprint(), self.labels, self.max_train, self.max_test])
        return hashlib.sha256(told.encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """What the images say of themselves, and how many are taken."""
        train, test = split(self, seed=0)
        told = {"training images": len(train), "test images": len(test)}
        return self.pool.describe() | told | ({"labels": self.labels} if self.labels < 1 else {})

    def save(self, folder: Path) -> None:
        """Writes the data into an empty folder; `open` reads it back."""
        self.pool.save(folder)
        numbers = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "pool"}
        write_json(folder / "taken.json", numbers)

    @classmethod
    def open(cls, folder: Path) -> "ImageData":
        """The data that `save` wrote."""
        return cls(LabelledImages.open(folder), **json.loads((folder / "taken.json").read_text("utf-8")))


def _told(pool: LabelledImages, counts: np.ndarray) -> str:
    some = list(zip(pool.classes, counts.tolist(), strict=True))
    return ", ".join(f"{name}: {count}" for name, count in some[:5]) + (", ..." if len(some) > 5 else "")


def split(data: ImageData, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """The training and the test part; one split per seed, the same for every method.

    The test part is the one that belongs there by convention; without one it is a quarter of the images: of
    the groups, where images must not be parted, and else of every class. Fewer labels are a subset of more.
    """
    pool, rng = data.pool, np.random.default_rng([seed, 0])
    for_test = np.asarray(pool.test) if pool.test is not None else _drawn(pool, rng)
    train, test = (_balanced(pool.labels, np.flatnonzero(mask), rng) for mask in (~for_test, for_test))
    train, test = train[: data.max_train], test[: data.max_test]
    train = train[: max(len(np.unique(pool.labels[train])), round(data.labels * len(train)))]
    return pool.take(np.sort(train)), pool.take(np.sort(test))


def _drawn(pool: LabelledImages, rng: np.random.Generator) -> np.ndarray:
    """Which images are tested on, where no convention says so."""
    if pool.groups is not None:
        groups = rng.permutation(np.unique(pool.groups))
        return np.isin(pool.groups, groups[: max(1, round(_TEST_SHARE * len(groups)))])
    chosen = np.zeros(len(pool), bool)
    for label in range(len(pool.classes)):
        rows = rng.permutation(np.flatnonzero(pool.labels == label))
        if len(rows) > 1:
            chosen[rows[: max(1, round(_TEST_SHARE * len(rows)))]] = True
    return chosen


def _balanced(labels: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`rows` in a random order of which every beginning has the classes in their proportions.

    Each class is spread evenly over the order; the first images of all classes come first.
    """
    rows = rng.permutation(rows)
    place = np.zeros(len(rows))
    for label in np.unique(labels[rows]):
        own = labels[rows] == label
        place[own] = np.arange(own.sum()) / own.sum()
    return rows[np.argsort(place, kind="stable")]
