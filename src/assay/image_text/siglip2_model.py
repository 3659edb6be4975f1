"""SigLIP 2's NaFlex: images keep their proportions, as as many patches as fit, and positions are resized.

Reference:
    Tschannen et al. "SigLIP 2: Multilingual Vision-Language Encoders with Improved Semantic Understanding,
        Localization, and Dense Features". 2025. arXiv:2502.14786v1 (Section 2.4.2)
    Omits: the losses beyond the sigmoid loss (captions, self-distillation, masked prediction); checkpoints of
        fixed size are of `SigLIPModel`'s architecture.
    Verified: transformers' Siglip2Model, features, logits and gradients of all weights, both ways through the
        files, 1e-5 in float64, because it resizes positions in float32; equal to `SigLIPModel` on a square.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from assay.image_text.siglip_towers import Towers, TowersConfig, Vision, VisionConfig
from assay.nn.linear import Linear

LONGEST_SIDE = 64
"""Patches in a row or a column that positions are resized to at most, as in the original."""


@dataclass(frozen=True)
class Patches:
    """Images of any proportions as patches; it is moved and split as a tensor is.

    Args:
        values: [batch, places, values], by (row, column, channel) within a patch, patches row by row, then
            filling.
        padding: bool [batch, places], true where there is only filling.
        grids: int64 [batch, 2], rows and columns of patches of each image.
    """

    values: Tensor
    padding: Tensor
    grids: Tensor

    @classmethod
    def of(cls, values: np.ndarray, padding: np.ndarray, grids: np.ndarray) -> "Patches":
        """What `NaFlexProcessor` made."""
        return cls(*(torch.from_numpy(array) for array in (values, padding, grids)))

    @classmethod
    def cut(cls, images: Float[Tensor, "batch channels height width"], side: int) -> "Patches":
        """Images of one size, of which every patch has `side` pixels a side."""
        rows, columns = images.shape[2] // side, images.shape[3] // side
        cells = images[:, :, : rows * side, : columns * side].unflatten(3, (columns, side))
        values = cells.unflatten(2, (rows, side)).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        padding = torch.zeros(values.shape[:2], dtype=torch.bool, device=images.device)
        return cls(
            values, padding, torch.tensor([[rows, columns]], device=images.device).expand(len(values), -1)
        )

    def __len__(self) -> int:
        return len(self.values)

    def to(self, *args: object, **kwargs: object) -> "Patches":
        """All of it elsewhere; arguments as of `torch.Tensor.to`, and no dtype."""
        return Patches(*(t.to(*args, **kwargs) for t in (self.values, self.padding, self.grids)))  # type: ignore

    def split(self, count: int) -> "Sequence[Patches]":
        """Parts of `count` images each."""
        parts = (t.split(count) for t in (self.values, self.padding, self.grids))
        return [Patches(*each) for each in zip(*parts, strict=True)]


@dataclass(frozen=True, kw_only=True)
class SigLIP2VisionConfig(VisionConfig):
    """An image tower's sizes; `num_patches` is that of the table of positions, a square number."""

    num_patches: int = 256


@dataclass(frozen=True, kw_only=True)
class SigLIP2Config(TowersConfig):
    """Both towers."""

    model_type: ClassVar[str] = "siglip2"
    architecture: ClassVar[str] = "Siglip2Model"
    vision: ClassVar[type[VisionConfig]] = SigLIP2VisionConfig

    vision_config: SigLIP2VisionConfig = field(default_factory=SigLIP2VisionConfig)


class SigLIP2Vision(Vision):
    """Patches of images of any proportions to one state per image."""

    def __init__(self, config: SigLIP2VisionConfig) -> None:
        values = config.num_channels * config.patch_size**2
        super().__init__(config, Linear(values, config.hidden_size), config.num_patches)
        self.config = config

    def positions(self, height: int, width: int) -> Float[Tensor, "places width"]:
        """The table resized to a grid, row by row.

        Raises:
            ValueError: a side is below 1 or above `LONGEST_SIDE`.
        """
        if not (1 <= height <= LONGEST_SIDE and 1 <= width <= LONGEST_SIDE):
            raise ValueError(f"expected grids of 1 to {LONGEST_SIDE} patches a side, got {height} x {width}")
        side = round(self.config.num_patches**0.5)
        table = self.position_embedding.weight.T.reshape(1, -1, side, side)
        if (height, width) == (side, side):
            return self.position_embedding.weight
        wide = table.float() if table.itemsize < 4 else table  # Half precision has no such interpolation.
        resized = F.interpolate(wide, (height, width), mode="bilinear", align_corners=False, antialias=True)
        return resized[0].flatten(1).T.to(table.dtype)

    def embed(self, images: Patches | Tensor) -> Float[Tensor, "batch width"]:
        """The pooled states of patches, or of images of one size, which are cut into them.

        Raises:
            ValueError: a grid has another number of patches than there are, or a side too many.
        """
        if isinstance(images, Tensor):
            images = Patches.cut(images, self.config.patch_size)
        x, padding = self.patch_embedding(images.values), images.padding
        grids, which = images.grids.unique(dim=0, return_inverse=True)
        counts = grids.prod(dim=1)
        if wrong := ((~padding).sum(dim=1) != counts[which]).nonzero()[:, 0].tolist():
            (height, width), count = images.grids[wrong[0]].tolist(), int((~padding[wrong[0]]).sum())
            raise ValueError(f"expected {height} x {width} patches in an image, got {count}")
        tables = [
            F.pad(self.positions(height, width), (0, 0, 0, x.shape[1] - height * width))
            for height, width in grids.tolist()
        ]
        x = x + torch.stack(tables)[which]
        return self.pooled(x, padding if bool(padding.any()) else None)

    def forward(self, images: Patches | Tensor) -> Tensor:
        """As `embed`."""
        return self.embed(images)


class SigLIP2Model(Towers):
    """Both towers, the scale and the bias of the logits; images are `Patches`.

    Args:
        config: sizes; the towers' states must be of one size.

    Raises:
        ValueError: they are not.
    """

    configuration = SigLIP2Config

    def __init__(self, config: SigLIP2Config) -> None:
        super().__init__(config, SigLIP2Vision(config.vision_config))
