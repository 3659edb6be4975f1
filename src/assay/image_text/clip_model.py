"""CLIP's architecture: a vision transformer and a causal text transformer that meet in one space.

Reference:
    Radford, Kim, Hallacy, Ramesh, Goh, Agarwal, Sastry, Askell, Mishkin, Clark, Krueger, Sutskever.
        "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021. arXiv:2103.00020v1
    Implements: Sections 2.3 and 2.4 (vision transformer, text transformer, learned temperature).
    Omits: the modified ResNets.
    Verified: transformers' CLIPModel, features, logits and gradients of all weights, both ways through
        the files, 1e-10 in float64.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.image_text.contrast import LOG_SCALE_OF_SOFTMAX, unit
from assay.image_text.text_transformer import (
    TextConfig,
    TextTransformer,
    block_names,
    blocks,
    end_of_text,
    picked,
    state_at,
    text_names,
)
from assay.nn.checkpoint import NameTable, fill, read_config, read_tensors, write_checkpoint


@dataclass(frozen=True, kw_only=True)
class CLIPVisionConfig:
    """An image tower's sizes, under the names that config.json uses; defaults are those of the format."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class CLIPConfig:
    """Both towers, and the size of the space they share; see `TextConfig` and `CLIPVisionConfig`."""

    text_config: TextConfig = field(default_factory=TextConfig)
    vision_config: CLIPVisionConfig = field(default_factory=CLIPVisionConfig)
    projection_dim: int = 512
    logit_scale_init_value: float = LOG_SCALE_OF_SOFTMAX

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "CLIPConfig":
        """The configuration that a config.json holds.

        Raises:
            ValueError: it is another model's.
        """
        if value.get("model_type") != "clip":
            raise ValueError(f"expected a configuration of clip, got {value.get('model_type')!r}")
        rest = {key: value[key] for key in ("projection_dim", "logit_scale_init_value") if key in value}
        text, vision = value.get("text_config") or {}, value.get("vision_config") or {}
        return cls(
            text_config=picked(TextConfig, text), vision_config=picked(CLIPVisionConfig, vision), **rest
        )

    def to_json(self) -> dict[str, Any]:
        """What config.json holds."""
        value = {"model_type": "clip", "architectures": ["CLIPModel"], **asdict(self)}
        for part in ("text_config", "vision_config"):
            value[part]["projection_dim"] = self.projection_dim
        return value


class CLIPVision(nn.Module):
    """Images to one state each: that of the class token."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.config = config
        width, patch = config.hidden_size, config.patch_size
        self.num_features = width
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.patch_embedding = nn.Conv2d(config.num_channels, width, patch, patch, bias=False)
        self.position_embedding = nn.Embedding((config.image_size // patch) ** 2 + 1, width)
        self.pre_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.blocks = nn.ModuleList(blocks(config))
        self.post_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        nn.init.normal_(self.position_embedding.weight, std=width**-0.5)

    def embed(
        self, images: Float[Tensor, "batch channels side side"], keep: Int[Tensor, "batch kept"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """The class token's last state.

        Args:
            images: of the configuration's size.
            keep: patches that are seen; None for all.

        Raises:
            ValueError: images of another size.
        """
        side = self.config.image_size
        if images.shape[-2:] != (side, side):
            raise ValueError(f"expected images of {side} x {side} pixels, got {tuple(images.shape[-2:])}")
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)
        patches = patches + self.position_embedding.weight[1:]
        if keep is not None:  # After the positions, so that a patch knows where it was.
            patches = patches.gather(1, keep[:, :, None].expand(-1, -1, patches.shape[2]))
        first = self.class_embedding + self.position_embedding.weight[0]
        x = self.pre_norm(torch.cat([first.expand(len(images), 1, -1), patches], dim=1))
        *before, last = self.blocks
        for block in before:
            x = block(x)
        return self.post_norm(state_at(last, x, torch.zeros(len(x), dtype=torch.int64, device=x.device)))

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """As `embed`."""
        return self.embed(images, keep)


class CLIPModel(nn.Module):
    """Both towers and their projections.

    Args:
        config: sizes.
    """

    names = NameTable(
        (
            ("vision_model.class_embedding", "vision_model.embeddings.class_embedding"),
            ("vision_model.patch_embedding", "vision_model.embeddings.patch_embedding"),
            ("vision_model.position_embedding", "vision_model.embeddings.position_embedding"),
            ("vision_model.pre_norm", "vision_model.pre_layrnorm"),  # Its name on disk, misspelt.
            *block_names("vision_model", "vision_model"),
            ("vision_model.post_norm", "vision_model.post_layernorm"),
            *text_names("text_model", "text_model"),
            ("visual_projection", "visual_projection"),
            ("text_projection", "text_projection"),
            ("logit_scale", "logit_scale"),
        )
    )

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = TextTransformer(config.text_config, causal=True)
        self.vision_model = CLIPVision(config.vision_config)
        text, vision = config.text_config.hidden_size, config.vision_config.hidden_size
        self.visual_projection = nn.Linear(vision, config.projection_dim, bias=False)
        self.text_projection = nn.Linear(text, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale_init_value))
        nn.init.normal_(self.visual_projection.weight, std=vision**-0.5)
        nn.init.normal_(self.text_projection.weight, std=text**-0.5)

    def encode_image(self, images: Tensor, keep: Tensor | None = None) -> Float[Tensor, "batch dim"]:
        """Images in the common space, of any length; `keep` as in `CLIPVision.embed`."""
        return self.visual_projection(self.vision_model.embed(images, keep))

    def encode_text(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch dim"]:
        """Texts in the common space, of any length: the states at their end tokens."""
        ends = end_of_text(tokens, self.config.text_config.eos_token_id)
        return self.text_projection(self.text_model.at(tokens, ends))

    def forward(self, images: Tensor, tokens: Tensor) -> Float[Tensor, "images texts"]:
        """The logits of every image with every text."""
        texts = unit(self.encode_text(tokens))
        return self.logit_scale.exp() * unit(self.encode_image(images)) @ texts.T

    def save_pretrained(self, folder: Path) -> None:
        """Writes config.json and model.safetensors in Hugging Face's layout."""
        write_checkpoint(folder, self.config.to_json(), self.names.to_disk(self.state_dict()))

    @classmethod
    def from_pretrained(cls, folder: Path) -> "CLIPModel":
        """The model in a folder of Hugging Face's layout.

        Raises:
            ValueError: it is no CLIP, or tensors are missing, left over or of another shape.
        """
        config = read_config(folder)
        try:
            model = cls(CLIPConfig.from_json(config))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{folder / 'config.json'}: {error}") from None
        fill(model, read_tensors(folder), [cls.names], where=str(folder), ignorable=("position_ids",))
        return model
