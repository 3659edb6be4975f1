"""The nearest picture: an image has the text of the training picture whose pixels are most like its own.

The floor of the wing. Whoever does not beat it has learnt little about pictures.

Reference:
    Cover, Hart. "Nearest Neighbor Pattern Classification". IEEE Transactions on Information Theory 13, 1967
    Implements: the rule with the cosine of small pictures.
    Verified: loops, 1e-5 (float32).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assay.core.files import write_json
from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.contract import check_trainable
from assay.image_text.model import Images, Searcher, gallery_of
from assay.image_text.processor import resized
from assay.image_text.templates import normalised

_AT_ONCE = 512
_UNKNOWN = -1.0  # the least cosine, for texts that no training picture has


@dataclass(eq=False)
class PixelNeighboursModel(Searcher):
    """Training pictures and their texts.

    Args:
        pixels: of length 1, float32 [pictures, size * size * 3].
        texts: what is said of a picture -> the pictures it is said of.
        size: side of the pictures.
        gallery: what is searched.
    """

    pixels: np.ndarray
    texts: dict[str, list[int]]
    size: int
    gallery: Pairs | None = None

    def scores(self, images: Images, texts: Sequence[str]) -> np.ndarray:
        """The greatest cosine of each image with a training picture of each text; -1 for an unknown text."""
        known = [self.texts.get(text.strip().lower(), []) for text in texts]
        found = np.full((len(images), len(texts)), _UNKNOWN, np.float32)
        columns = np.flatnonzero([bool(own) for own in known])
        if not len(columns):
            return found
        order = np.concatenate([known[c] for c in columns])
        starts = np.cumsum([0, *(len(known[c]) for c in columns)])[:-1]
        for start in range(0, len(images), _AT_ONCE):
            part = self._vectors(images, start, min(start + _AT_ONCE, len(images)))
            cosines = (part @ self.pixels.T)[:, order]
            found[start : start + len(part), columns] = np.maximum.reduceat(cosines, starts, axis=1)
        return found

    def _vectors(self, images: Images, start: int, stop: int) -> np.ndarray:
        if isinstance(images, Pairs):
            return vectors(images.images(range(start, stop), self.size))
        side = self.size
        return vectors(np.stack([resized(image, side, side, "bicubic") for image in images[start:stop]]))

    def save(self, folder: Path) -> None:
        """Writes pixels and texts."""
        from safetensors.numpy import save_file

        save_file({"pixels": self.pixels}, folder / "pixels.safetensors")
        write_json(folder / "pixels.json", {"size": self.size, "texts": self.texts})
        if self.gallery is not None:
            self.gallery.save(folder / "gallery")

    @classmethod
    def load(cls, folder: Path) -> "PixelNeighboursModel":
        """The model that `save` wrote.

        Raises:
            ValueError: the folder holds no such model.
        """
        from safetensors.numpy import load_file

        try:
            about = json.loads((folder / "pixels.json").read_text("utf-8"))
            pixels = load_file(folder / "pixels.safetensors")["pixels"]
            gallery = Pairs.open(folder / "gallery") if (folder / "gallery").is_dir() else None
            return cls(pixels, about["texts"], about["size"], gallery)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder}: expected pictures and their texts, got {error!r}") from None


def vectors(images: np.ndarray) -> np.ndarray:
    """The pictures, uint8 [count, size, size, 3], as rows of length 1."""
    return normalised(images.reshape(len(images), -1).astype(np.float32) / 255)


@dataclass(frozen=True, kw_only=True)
class PixelNeighbours:
    """Remembers the training pictures.

    Args:
        size: side in pixels that they are shrunk to.

    Raises:
        ValueError: the side is not above 0.
    """

    size: int = 16

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"expected size above 0, got {self.size}")

    def fit(self, pairs: Pairs, *, run: Run | None = None) -> PixelNeighboursModel:
        """The fitted model."""
        check_trainable(pairs)
        texts: dict[str, list[int]] = {}
        for index in range(len(pairs)):
            for text in pairs.texts(index):
                texts.setdefault(text.strip().lower(), []).append(index)
        return PixelNeighboursModel(
            vectors(pairs.images(size=self.size)), texts, self.size, gallery_of(pairs)
        )
