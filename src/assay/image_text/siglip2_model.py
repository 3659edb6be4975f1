"""SigLIP 2's NaFlex: images keep their proportions, as as many patches as fit, and positions are resized.

Reference:
    Tschannen et al. "SigLIP 2: Multilingual Vision-Language Encoders with Improved Semantic Understanding,
        Localization, and Dense Features". 2025. arXiv:2502.14786v1 (Section 2.4.2)
    Omits: the losses beyond the sigmoid loss (captions, self-distillation, masked prediction); checkpoints of
        fixed size are of `SigLIPModel`'s architecture.
    Verified: transformers' Siglip2Model, features, logits and gradients of all weights, both ways through the
        files, 1e-5 in float64, because it resizes positions in float32; equal to `SigLIPModel` on a square.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from assay.image_text.contrast import BIAS_OF_SIGMOID, LOG_SCALE_OF_SIGMOID, unit
from assay.image_text.siglip_model import (
    TEXT_NAMES,
    VISION_NAMES,
    AttentionPool,
    SigLIPText,
    SigLIPTextConfig,
    check_sizes,
    parts,
)
from assay.image_text.text_transformer import blocks, picked
from assay.nn.checkpoint import NameTable, fill, read_config, read_tensors, write_checkpoint

LONGEST_SIDE = 64
"""Patches in a row or a column that positions are resized to at most, as in the original."""


@dataclass(frozen=True, kw_only=True)
class SigLIP2VisionConfig:
    """An image tower's sizes, under the names that config.json uses; `num_patches` is that of the table."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    num_patches: int = 256
    patch_size: int = 16
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6


@dataclass(frozen=True, kw_only=True)
class SigLIP2Config:
    """Both towers."""

    text_config: SigLIPTextConfig = field(default_factory=SigLIPTextConfig)
    vision_config: SigLIP2VisionConfig = field(default_factory=SigLIP2VisionConfig)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "SigLIP2Config":
        """The configuration that a config.json holds.

        Raises:
            ValueError: it is another model's.
        """
        text, vision = parts(value, "siglip2")
        return cls(
            text_config=picked(SigLIPTextConfig, text), vision_config=picked(SigLIP2VisionConfig, vision)
        )

    def to_json(self) -> dict[str, Any]:
        """What config.json holds."""
        return {"model_type": "siglip2", "architectures": ["Siglip2Model"], **asdict(self)}


class SigLIP2Vision(nn.Module):
    """Patches of images of any proportions to one state per image."""

    def __init__(self, config: SigLIP2VisionConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.num_features = width
        self.patch_embedding = nn.Linear(config.num_channels * config.patch_size**2, width)
        self.position_embedding = nn.Embedding(config.num_patches, width)
        self.blocks = nn.ModuleList(blocks(config))
        self.post_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.head = AttentionPool(
            width,
            config.num_attention_heads,
            config.intermediate_size,
            config.hidden_act,
            config.layer_norm_eps,
        )
        nn.init.normal_(self.position_embedding.weight, std=width**-0.5)

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

    def embed(
        self,
        patches: Float[Tensor, "batch places values"],
        padding: Bool[Tensor, "batch places"],
        grids: Int[Tensor, "batch 2"],
    ) -> Float[Tensor, "batch width"]:
        """The pooled states.

        Args:
            patches: values by (row, column, channel) within a patch, patches row by row, then filling.
            padding: where there is only filling.
            grids: rows and columns of patches of each image.

        Raises:
            ValueError: a grid has more patches than places, or a side too many.
        """
        x = self.patch_embedding(patches)
        rows = []
        for (height, width), count in zip(grids.tolist(), (~padding).sum(dim=1).tolist(), strict=True):
            if height * width != count:
                raise ValueError(f"expected {height} x {width} patches in an image, got {count}")
            rows.append(F.pad(self.positions(height, width), (0, 0, 0, x.shape[1] - count)))
        x = x + torch.stack(rows)
        bias = torch.zeros_like(padding, dtype=x.dtype).masked_fill(padding, -torch.inf)[:, None, None]
        for block in self.blocks:
            x = block(x, bias=bias)
        return self.head(self.post_norm(x), padding)


class SigLIP2Model(nn.Module):
    """Both towers, the scale and the bias of the logits.

    Args:
        config: sizes; the towers' states must be of one size.

    Raises:
        ValueError: they are not.
    """

    names = NameTable((*VISION_NAMES, *TEXT_NAMES))

    def __init__(self, config: SigLIP2Config) -> None:
        super().__init__()
        self.config = config
        check_sizes(config.text_config, config.vision_config.hidden_size)
        self.text_model = SigLIPText(config.text_config)
        self.vision_model = SigLIP2Vision(config.vision_config)
        self.logit_scale = nn.Parameter(torch.tensor([LOG_SCALE_OF_SIGMOID]))
        self.logit_bias = nn.Parameter(torch.tensor([BIAS_OF_SIGMOID]))

    def encode_image(self, patches: Tensor, padding: Tensor, grids: Tensor) -> Float[Tensor, "batch dim"]:
        """Images in the common space, of any length; arguments as of `SigLIP2Vision.embed`."""
        return self.vision_model.embed(patches, padding, grids)

    def encode_text(self, tokens: Tensor) -> Float[Tensor, "batch dim"]:
        """Texts in the common space, of any length."""
        return self.text_model(tokens)

    def forward(
        self, patches: Tensor, padding: Tensor, grids: Tensor, tokens: Tensor
    ) -> Float[Tensor, "images texts"]:
        """The logits of every image with every text."""
        images = unit(self.encode_image(patches, padding, grids))
        return self.logit_scale.exp() * images @ unit(self.encode_text(tokens)).T + self.logit_bias

    def save_pretrained(self, folder: Path) -> None:
        """Writes config.json and model.safetensors in Hugging Face's layout."""
        write_checkpoint(folder, self.config.to_json(), self.names.to_disk(self.state_dict()))

    @classmethod
    def from_pretrained(cls, folder: Path) -> "SigLIP2Model":
        """The model in a folder of Hugging Face's layout.

        Raises:
            ValueError: it is no SigLIP 2 of flexible size, or tensors are not those of this model.
        """
        config = read_config(folder)
        try:
            model = cls(SigLIP2Config.from_json(config))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{folder / 'config.json'}: {error}") from None
        fill(model, read_tensors(folder), [cls.names], where=str(folder), ignorable=("position_ids",))
        return model
