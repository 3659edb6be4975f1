"""The pictures of pairs as what towers are given: decoded once, moved about, normalised."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.data.pairs import Pairs
from assay.image_text.processor import Colour

_HELD = 2 << 30  # bytes of decoded pictures that are kept; beyond, they are decoded when they are drawn


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


def as_input(images: NDArray[np.uint8] | Tensor, mean: Colour, std: Colour) -> Tensor:
    """Pictures, uint8 [count, height, width, 3], as a tower's input, float32 [count, 3, height, width].

    The memory stays in the order of pictures (channels last), in which convolutions are faster.
    """
    x = torch.as_tensor(images).float()
    scale = torch.tensor([1 / (255 * s) for s in std], device=x.device)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=x.device)
    return (x * scale - shift).permute(0, 3, 1, 2)


def moved(x: Tensor, rng: np.random.Generator, *, strength: float, background: float | None = None) -> Tensor:
    """The inputs, each scaled, turned and shifted a little, and its colours changed a little.

    Args:
        x: float [count, channels, height, width].
        rng: of the draws.
        strength: 1 for up to 30 % of size, 14 degrees and an eighth of the side; 0 for none.
        background: value outside of the picture; None for the mean of its corners.
    """
    if strength == 0:
        return x
    count = len(x)
    draws = torch.from_numpy(rng.standard_normal((count, 12)).clip(-2, 2)).float() * strength
    size, wide = 1 + 0.15 * draws[:, 0], 1 + 0.08 * draws[:, 1]
    angle = 0.12 * draws[:, 2]
    rows = torch.stack(
        [
            torch.stack([size * angle.cos(), -size * angle.sin(), 0.12 * draws[:, 3]], dim=1),
            torch.stack([size * wide * angle.sin(), size * wide * angle.cos(), 0.12 * draws[:, 4]], dim=1),
        ],
        dim=1,
    )
    corners = x[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].mean(dim=2) if background is None else background
    base = corners[:, :, None, None] if isinstance(corners, Tensor) else corners
    grid = torch.nn.functional.affine_grid(rows, list(x.shape), align_corners=False)
    there = torch.nn.functional.grid_sample(x - base, grid, align_corners=False) + base
    contrast, shade = 1 + 0.2 * draws[:, 5:8], 0.2 * draws[:, 8:11]
    if x.shape[1] != 3:
        return there
    return there * contrast[:, :, None, None] + shade[:, :, None, None]
