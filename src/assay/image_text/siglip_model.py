"""SigLIP's architecture: a learned probe attends to the patches, and texts are seen without a mask.

Reference:
    Zhai, Mustafa, Kolesnikov, Beyer. "Sigmoid Loss for Language Image Pre-Training". ICCV 2023.
        arXiv:2303.15343v4
    Verified: transformers' SiglipModel, features, logits and gradients of all weights, both ways through the
        files, 1e-10 in float64.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from assay.image_text.siglip_towers import Towers, TowersConfig, Vision, VisionConfig


@dataclass(frozen=True, kw_only=True)
class SigLIPVisionConfig(VisionConfig):
    """An image tower's sizes, with the side of its images in pixels."""

    image_size: int = 224


@dataclass(frozen=True, kw_only=True)
class SigLIPConfig(TowersConfig):
    """Both towers."""

    model_type: ClassVar[str] = "siglip"
    architecture: ClassVar[str] = "SiglipModel"
    vision: ClassVar[type[VisionConfig]] = SigLIPVisionConfig

    vision_config: SigLIPVisionConfig = field(default_factory=SigLIPVisionConfig)


class SigLIPVision(Vision):
    """Images to one state each, found by attention to all patches."""

    def __init__(self, config: SigLIPVisionConfig) -> None:
        patch, side = config.patch_size, config.image_size // config.patch_size
        super().__init__(config, nn.Conv2d(config.num_channels, config.hidden_size, patch, patch), side**2)
        self.config = config

    def embed(self, images: Float[Tensor, "batch channels side side"]) -> Float[Tensor, "batch width"]:
        """The pooled state.

        Raises:
            ValueError: images of another size than the configuration's.
        """
        side = self.config.image_size
        if images.shape[-2:] != (side, side):
            raise ValueError(f"expected images of {side} x {side} pixels, got {tuple(images.shape[-2:])}")
        x = self.patch_embedding(images).flatten(2).mT.contiguous()  # Or each normalisation copies it.
        return self.pooled(x + self.position_embedding.weight)

    def forward(self, images: Tensor) -> Tensor:
        """As `embed`."""
        return self.embed(images)


class SigLIPModel(Towers):
    """Both towers, the scale and the bias of the logits.

    Args:
        config: sizes; the towers' states must be of one size.

    Raises:
        ValueError: they are not.
    """

    configuration = SigLIPConfig

    def __init__(self, config: SigLIPConfig) -> None:
        super().__init__(config, SigLIPVision(config.vision_config))
