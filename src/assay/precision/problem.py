"""The data contract of the precision wing: labelled images, and over how many positions a loss is averaged.

In exact arithmetic the number of positions means nothing: a loss averaged over n times as many has gradients
n times smaller, and a learning rate n times greater makes up for it. In few bits it decides where on the
number line the gradients lie, and with that whether they are there at all.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.files import write_json
from assay.data.labelled import LabelledImages
from assay.data.table import ContractError


@dataclass(frozen=True, eq=False)
class Problem:
    """What is learned.

    Args:
        images: with their labels.
        positions: how many positions per image the loss counts as averaged over, at least 1.

    Raises:
        ContractError: there are fewer than 4 images or 2 classes, or no position.
    """

    images: LabelledImages
    positions: int = 1

    def __post_init__(self) -> None:
        if len(self.images) < 4 or len(self.images.classes) < 2:
            raise ContractError(
                f"{self.images.name}: expected at least 4 images and 2 classes, got {len(self.images)} and "
                f"{len(self.images.classes)}"
            )
        if isinstance(self.positions, bool) or not isinstance(self.positions, int) or self.positions < 1:
            raise ContractError(f"positions: expected a whole number from 1 up, got {self.positions!r}")

    @property
    def name(self) -> str:
        """What the user calls the images."""
        return self.images.name

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Any) -> "Problem":
        """Only these images."""
        return replace(self, images=self.images.take(indices))

    def rows(self) -> np.ndarray:
        """The pixels in [0, 1], float32 [images, pixels and channels]."""
        return np.asarray(self.images.images, np.float32).reshape(len(self), -1) / np.float32(255)

    def fingerprint(self) -> str:
        """A digest of images, labels and positions."""
        return hashlib.sha256(f"{self.images.fingerprint()} {self.positions}".encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """What the images are, and how the loss is averaged."""
        known = self.images.describe()
        note = (
            f"the loss counts as averaged over {self.positions:,} positions per image, and the learning rate "
            "makes up for it; formats are emulated exactly where the device does not have them, so times are "
            "no measure of the formats"
        )
        return {**known, "positions": self.positions, "notes": [*known["notes"], note], "note": note}

    def save(self, folder: Path) -> None:
        """Writes the problem into an empty folder; `open` reads it back."""
        self.images.save(folder / "images")
        write_json(folder / "problem.json", {"positions": self.positions})

    @classmethod
    def open(cls, folder: Path) -> "Problem":
        """The problem that `save` wrote."""
        facts = json.loads((folder / "problem.json").read_text("utf-8"))
        return cls(LabelledImages.open(folder / "images"), facts["positions"])
