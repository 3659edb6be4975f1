"""The pictures of pairs as what towers are given: decoded once, and normalised."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.data.pairs import Pairs
from assay.data.pictures import decode
from assay.image_text.processor import Colour

_HELD = 2 << 30  # bytes of decoded pictures that are kept; beyond, they are decoded when they are drawn
_PIXELS = 1 << 18  # shown to a tower at a time: with more, its maps do not stay in a core's cache


class Pictures:
    """The pictures of pairs as uint8 [count, size, size, 3].

    Args:
        pairs: whose pictures.
        size: side in pixels.
    """

    def __init__(self, pairs: Pairs, size: int) -> None:
        self._pairs, self._size = pairs, size
        self._held = pairs.images(size=size) if len(pairs) * size * size * 3 <= _HELD else None

    def __len__(self) -> int:
        return len(self._pairs)

    def __call__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures at these positions."""
        return self._pairs.images(indices, self._size) if self._held is None else self._held[indices]


class Originals:
    """The pictures of pairs as uint8 [height, width, 3], each of its own size.

    Args:
        pairs: whose pictures.
        held: bytes of decoded pictures that are kept.
    """

    def __init__(self, pairs: Pairs, held: int = _HELD) -> None:
        self._pairs, self._room = pairs, held
        self._held: dict[int, NDArray[np.uint8]] = {}

    def __call__(self, indices: Iterable[int]) -> list[NDArray[np.uint8]]:
        """The pictures at these positions."""
        return [self._one(int(index)) for index in indices]

    def _one(self, index: int) -> NDArray[np.uint8]:
        if index in self._held:
            return self._held[index]
        source = self._pairs.encoded(index)
        name = f"{self._pairs.name}, pair {index}" if isinstance(source, bytes) else ""
        picture = decode(source, name=name)
        if picture.nbytes <= self._room:
            self._held[index] = picture
            self._room -= picture.nbytes
        return picture


def as_input(images: NDArray[np.uint8] | Tensor, mean: Colour, std: Colour) -> Tensor:
    """Pictures, uint8 [count, height, width, 3], as a tower's input, float32 [count, 3, height, width].

    The memory stays in the order of pictures (channels last), in which convolutions are faster.
    """
    x = torch.as_tensor(images).float()
    scale = torch.tensor([1 / (255 * s) for s in std], device=x.device)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=x.device)
    return (x * scale - shift).permute(0, 3, 1, 2)


def at_once(size: int) -> int:
    """How many pictures of `size` pixels a tower is best shown at a time where nothing is learnt."""
    return max(1, _PIXELS // size**2)
