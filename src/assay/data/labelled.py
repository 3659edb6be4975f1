"""Labelled images: arrays of pictures, each of one class."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.files import write_json
from assay.data.faults import Faults, Policy
from assay.data.pictures import MAX_PIXELS, Fit, PictureError, decode, resize
from assay.data.table import ContractError, nearest

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""How the names of image files end."""

_LABEL_NAMES = ("label", "labels", "class", "category", "target", "y", "fine_label", "class_name")
_GREYS = (0.299, 0.587, 0.114)  # The weights of red, green and blue in grey, ITU-R BT.601.


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images of one size, each with a label.

    Args:
        images: uint8 [n, height, width, 3], or [n, height, width] if they are grey.
        labels: int64 [n], positions in `classes`.
        classes: the names of the classes.
        name: what the user calls it.
        groups: int64 [n], equal for images that must not be parted between training and test, or None.
        test: bool [n], the images that belong to the test part by convention, or None.
        notes: what the reader of a report should know.

    Raises:
        ContractError: the arrays do not fit together.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    name: str = "images"
    groups: np.ndarray | None = None
    test: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape, kind = self.images.shape, self.images.dtype
        if kind != np.uint8 or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3):
            raise ContractError(
                f"{self.name}: expected images uint8 [n, height, width(, 3)], got {kind} {shape}"
            )
        for what in ("labels", "groups", "test"):
            values = getattr(self, what)
            if values is not None and values.shape != shape[:1]:
                raise ContractError(f"{self.name}: expected {shape[0]} {what}, got {list(values.shape)}")
        if len(self) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ContractError(
                f"{self.name}: expected labels from 0 to {len(self.classes) - 1}, got "
                f"{self.labels.min()} to {self.labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"LabelledImages({self.name!r}, {self.images.shape}, {len(self.classes)} classes)"

    def take(self, indices: Any) -> "LabelledImages":
        """The images at `indices`: positions, a boolean mask or a slice; all classes stay."""
        groups = None if self.groups is None else self.groups[indices]
        test = None if self.test is None else self.test[indices]
        return replace(
            self, images=self.images[indices], labels=self.labels[indices], groups=groups, test=test
        )

    def fingerprint(self) -> str:
        """SHA-256 of images, labels and classes as 64 hexadecimal digits, wherever they came from."""
        digest = hashlib.sha256(json.dumps([self.classes, self.images.shape]).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels.astype("<i8")).data)
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Sizes, classes with their numbers of images, and notes, as JSON values."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return {
            "images": len(self),
            "shape": list(self.images.shape[1:]),
            "classes": dict(zip(self.classes, counts.tolist(), strict=True)),
            "notes": list(self.notes),
        }

    def save(self, folder: Path) -> None:
        """Writes the images into `folder`, as NumPy arrays and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for what in ("images", "labels", "groups", "test"):
            values = getattr(self, what)
            if values is not None:
                np.save(folder / f"{what}.npy", values, allow_pickle=False)
        write_json(
            folder / "labelled.json",
            {"name": self.name, "classes": list(self.classes), "notes": list(self.notes)},
        )

    @classmethod
    def open(cls, folder: Path) -> "LabelledImages":
        """The images that `save` wrote, mapped into memory.

        Raises:
            ContractError: there are none, or they are damaged.
        """
        try:
            about = json.loads((folder / "labelled.json").read_text("utf-8"))
            arrays = {
                what: np.load(folder / f"{what}.npy", mmap_mode="r", allow_pickle=False)
                for what in ("images", "labels", "groups", "test")
                if (folder / f"{what}.npy").exists()
            }
            return cls(
                **arrays,
                classes=tuple(about["classes"]),
                name=about["name"],
                notes=tuple(about["notes"]),
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise ContractError(f"{folder}: expected images that `save` wrote ({error})") from None


def read_labelled(
    source: str | PathLike[str],
    *,
    size: int = 64,
    fit: Fit = "crop",
    grey: bool = False,
    image: str | None = None,
    label: str | None = None,
    split: str | None = None,
    policy: Policy = "refuse",
    max_pixels: int = MAX_PIXELS,
) -> LabelledImages:
    """The labelled images at `source`, all of one size.

    Args:
        source: a folder with a folder of images for each class; or a table with a column of images and one of
            labels, as `assay.data.image_tables` reads them.
        size: the side in pixels that they get.
        fit: how they get it; see `assay.data.pictures.resize`.
        grey: one channel in place of three.
        image, label: the columns of a table, where their names do not tell.
        split: the part of a folder of `datasets`.
        policy: what becomes of images that cannot be read and rows without a label: "refuse" makes the first
            one an error, "skip" leaves them out and counts them.
        max_pixels: see `assay.data.pictures.decode`.

    Raises:
        ContractError: there is nothing to read, or something is wrong; the message names file, row or column.
    """
    from assay.data.image_tables import is_datasets_folder, open_image_table

    path, faults = Path(source), Faults(policy)
    if not path.exists():
        raise ContractError(f"{path}: no such file or folder")
    notes: tuple[str, ...] = ()
    if path.is_dir() and not is_datasets_folder(path):
        items, classes = _of_folder(path)
    else:
        table = open_image_table(path, split=split)
        notes = table.notes
        items, classes = _of_table(table, image, label, faults)
    images, labels = [], []
    for where, picture, number in items():
        try:
            square = decode(picture, name=where, max_pixels=max_pixels, size=size if fit == "crop" else None)
        except PictureError as error:
            faults.add("an unreadable image", str(error))
            continue
        square = resize(square, size, fit=fit)
        images.append(np.rint(square @ np.array(_GREYS)).astype(np.uint8) if grey else square)
        labels.append(number)
    faults.check_some_left(str(path), len(images))
    return LabelledImages(
        np.stack(images), np.array(labels, np.int64), classes, path.name, notes=(*notes, *faults.notes())
    )


_Items = Callable[[], Iterator[tuple[str, bytes | Path, int]]]


def _of_folder(path: Path) -> tuple[_Items, tuple[str, ...]]:
    folders = sorted(
        (child for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")), key=_order
    )
    files = [image_files(folder) for folder in folders]
    kept = [(folder, some) for folder, some in zip(folders, files, strict=True) if some]
    if not kept:
        raise ContractError(
            f"{path}: expected a folder of images ({', '.join(SUFFIXES[:4])}, ...) for each class, got "
            f"{', '.join(repr(folder.name) for folder in folders[:5]) or 'no folders'}"
        )

    def items() -> Iterator[tuple[str, bytes | Path, int]]:
        for number, (_, some) in enumerate(kept):
            yield from ((str(file), file, number) for file in some)

    return items, tuple(folder.name for folder, _ in kept)


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder and the folders inside it, in order of their paths."""
    return sorted(file for file in folder.rglob("*") if is_image_file(file))


def is_image_file(path: Path) -> bool:
    """Whether a file's name says that it is an image, and not a hidden one."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _order(path: Path) -> list[tuple[int, int, str]]:
    """Class "10" comes after class "9"."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _of_table(
    table: Any, image: str | None, label: str | None, faults: Faults
) -> tuple[_Items, tuple[str, ...]]:
    column = table.image_column(image)
    label = _label_column(table, column, label)
    values = table.table.column(label).to_pylist()
    names = table.class_names(label)
    if names is None:
        present = {str(value) for value in values if value is not None}
        names = sorted(present, key=lambda name: _order(Path(name or " ")))
        numbers = {name: number for number, name in enumerate(names)}
        labels = [None if value is None else numbers[str(value)] for value in values]
    else:
        labels = [value if isinstance(value, int) and 0 <= value < len(names) else None for value in values]
    pictures = table.images(column)

    def items() -> Iterator[tuple[str, bytes | Path, int]]:
        for row, number in enumerate(labels):
            where = f"{table.where}, row {row + 1}"
            if number is None:
                faults.add("no label", f"{where}: expected a label in column {label!r}, got {values[row]!r}")
                continue
            picture = source_of(pictures[row])
            if picture is None:
                faults.add("no image", f"{where}: expected an image in column {column!r}, got none")
                continue
            yield f"{where}: {picture}" if isinstance(picture, Path) else where, picture, number

    return items, tuple(names)


def source_of(image: Any) -> bytes | Path | None:
    """What an Arrow struct of bytes and path holds, or None."""
    content = image["bytes"].as_buffer() if image.is_valid else None
    if content is not None:
        return content.to_pybytes()
    path = image["path"].as_py() if image.is_valid else None
    return Path(path) if path else None


def _label_column(table: Any, image: str, label: str | None) -> str:
    names = [name for name in table.table.column_names if name != image]
    if label is not None:
        if label not in names:
            raise ContractError(f"{table.where}: no column {label!r}{nearest(label, names)}")
        return label
    lower = {name.lower(): name for name in reversed(names)}
    found = [lower[name] for name in _LABEL_NAMES if name in lower]
    if not found:
        raise ContractError(
            f"{table.where}: expected a column of labels, called {', '.join(_LABEL_NAMES[:5])} or alike, got "
            f"{', '.join(map(repr, names)) or 'no other column'}; the option `label` names it"
        )
    return found[0]
