"""What SigLIP and SigLIP 2 have in common: all but how an image becomes patches with positions.

Reference:
    Zhai, Mustafa, Kolesnikov, Beyer. "Sigmoid Loss for Language Image Pre-Training". ICCV 2023.
        arXiv:2303.15343v4
    Zhai, Kolesnikov, Houlsby, Beyer. "Scaling Vision Transformers". CVPR 2022. arXiv:2106.04560v2
        (Section 3.2: the pooling head)
    Verified: through the parity of the whole models.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from assay.image_text.contrast import BIAS_OF_SIGMOID, LOG_SCALE_OF_SIGMOID, unit
from assay.image_text.text_transformer import (
    TextConfig,
    TextTransformer,
    block_names,
    blocks,
    picked,
    text_names,
)
from assay.nn.attention import SelfAttention
from assay.nn.checkpoint import NameTable, fill, read_config, read_tensors, write_checkpoint
from assay.nn.transformer import MLP


@dataclass(frozen=True, kw_only=True)
class SigLIPTextConfig(TextConfig):
    """A text tower's sizes; `projection_size` is that of the common space, None for the tower's width."""

    vocab_size: int = 32000
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_attention_heads: int = 12
    max_position_embeddings: int = 64
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    projection_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """An image tower's sizes, under the names that config.json uses; defaults are those of the format."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    patch_size: int = 16
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6


@dataclass(frozen=True, kw_only=True)
class TowersConfig:
    """Both towers; a model's own class says how its files call it and what its image tower is."""

    model_type: ClassVar[str]
    architecture: ClassVar[str]
    vision: ClassVar[type[VisionConfig]]

    text_config: SigLIPTextConfig = field(default_factory=SigLIPTextConfig)
    vision_config: Any

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The configuration that a config.json holds.

        Raises:
            ValueError: it is another model's, or the image tower has no pooling head.
        """
        if value.get("model_type") != cls.model_type:
            raise ValueError(f"expected a configuration of {cls.model_type}, got {value.get('model_type')!r}")
        text, vision = value.get("text_config") or {}, value.get("vision_config") or {}
        if not vision.get("vision_use_head", True):
            raise ValueError("expected an image tower with a pooling head, got vision_use_head false")
        return cls(text_config=picked(SigLIPTextConfig, text), vision_config=picked(cls.vision, vision))

    def to_json(self) -> dict[str, Any]:
        """What config.json holds."""
        return {"model_type": self.model_type, "architectures": [self.architecture], **asdict(self)}


class AttentionPool(nn.Module):
    """y + MLP(LN(y)), where y is what a learned probe finds by attention to the tokens."""

    def __init__(self, width: int, num_heads: int, hidden_dim: int, act: str, eps: float) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.attention = SelfAttention(width, num_heads)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, hidden_dim, act)
        nn.init.xavier_uniform_(self.attention.qkv.weight)
        for layer in (self.attention.qkv, self.attention.out):
            nn.init.zeros_(layer.bias)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], padding: Bool[Tensor, "batch tokens"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """One state per image; where `padding` is true there is nothing to attend to."""
        y = self.attention.at(self.probe[0], x, padding)
        return y + self.mlp(self.norm(y))


class Vision(nn.Module):
    """Patches with positions to one state per image, found by attention to all of them.

    Args:
        config: sizes.
        patch_embedding: pixels to the state of a patch.
        places: positions in the table.
    """

    def __init__(self, config: VisionConfig, patch_embedding: nn.Module, places: int) -> None:
        super().__init__()
        width = self.num_features = config.hidden_size
        self.patch_embedding = patch_embedding
        self.position_embedding = nn.Embedding(places, width)
        self.blocks = nn.ModuleList(blocks(config))
        self.post_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.pool = AttentionPool(
            width,
            config.num_attention_heads,
            config.intermediate_size,
            config.hidden_act,
            config.layer_norm_eps,
        )
        nn.init.normal_(self.position_embedding.weight, std=width**-0.5)

    def pooled(
        self, x: Float[Tensor, "batch tokens width"], padding: Bool[Tensor, "batch tokens"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """The state that the pool makes of the patches; None for `padding` where nothing is filling."""
        bias = None
        if padding is not None:
            bias = torch.zeros_like(padding, dtype=x.dtype).masked_fill(padding, -torch.inf)[:, None, None]
        for block in self.blocks:
            x = block(x, bias=bias)
        return self.pool(self.post_norm(x), padding)


class Text(nn.Module):
    """Texts to one state each: that of the last place, whatever stands there."""

    def __init__(self, config: SigLIPTextConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = TextTransformer(config, causal=False)
        self.head = nn.Linear(config.hidden_size, config.projection_size or config.hidden_size)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch dim"]:
        """The features.

        Raises:
            ValueError: the texts are not filled up to the one length the weights were trained with.
        """
        if tokens.shape[1] != self.config.max_position_embeddings:
            raise ValueError(
                f"expected texts filled up to {self.config.max_position_embeddings} tokens, with which the "
                f"features are trained, got {tokens.shape[1]}"
            )
        last = torch.full((len(tokens),), tokens.shape[1] - 1, device=tokens.device)
        return self.head(self.transformer.at(tokens, last))


class Towers(nn.Module):
    """Both towers, the scale and the bias of the logits.

    Args:
        config: sizes; the towers' states must be of one size.
        vision_model: the image tower, with `embed`.

    Raises:
        ValueError: they are not.
    """

    configuration: ClassVar[type[TowersConfig]]
    names: ClassVar[NameTable] = NameTable(
        (
            ("vision_model.patch_embedding", "vision_model.embeddings.patch_embedding"),
            ("vision_model.position_embedding", "vision_model.embeddings.position_embedding"),
            *block_names("vision_model", "vision_model"),
            ("vision_model.post_norm", "vision_model.post_layernorm"),
            ("vision_model.pool.probe", "vision_model.head.probe"),
            ("vision_model.pool.attention.qkv.weight", "vision_model.head.attention.in_proj_weight"),
            ("vision_model.pool.attention.qkv.bias", "vision_model.head.attention.in_proj_bias"),
            ("vision_model.pool.attention.out", "vision_model.head.attention.out_proj"),
            ("vision_model.pool.norm", "vision_model.head.layernorm"),
            ("vision_model.pool.mlp.fc1", "vision_model.head.mlp.fc1"),
            ("vision_model.pool.mlp.fc2", "vision_model.head.mlp.fc2"),
            *text_names("text_model.transformer", "text_model"),
            ("text_model.head", "text_model.head"),
            ("logit_scale", "logit_scale"),
            ("logit_bias", "logit_bias"),
        )
    )

    def __init__(self, config: TowersConfig, vision_model: nn.Module) -> None:
        super().__init__()
        self.config = config
        text, width = config.text_config, config.vision_config.hidden_size
        if (size := text.projection_size or text.hidden_size) != width:
            raise ValueError(f"expected texts and images of one size, got {size} and {width}")
        self.text_model = Text(text)
        self.vision_model: Any = vision_model
        self.logit_scale = nn.Parameter(torch.tensor([LOG_SCALE_OF_SIGMOID]))
        self.logit_bias = nn.Parameter(torch.tensor([BIAS_OF_SIGMOID]))

    def encode_image(self, images: Any) -> Float[Tensor, "batch dim"]:
        """Images in the common space, of any length; what the image tower's `embed` takes."""
        return self.vision_model.embed(images)

    def encode_text(self, tokens: Tensor) -> Float[Tensor, "batch dim"]:
        """Texts in the common space, of any length."""
        return self.text_model(tokens)

    def forward(self, images: Any, tokens: Tensor) -> Float[Tensor, "images texts"]:
        """The logits of every image with every text."""
        texts = unit(self.encode_text(tokens))
        return self.logit_scale.exp() * unit(self.encode_image(images)) @ texts.T + self.logit_bias

    def save_pretrained(self, folder: Path) -> None:
        """Writes config.json and model.safetensors in Hugging Face's layout."""
        write_checkpoint(folder, self.config.to_json(), self.names.to_disk(self.state_dict()))

    @classmethod
    def from_pretrained(cls, folder: Path) -> Self:
        """The model in a folder of Hugging Face's layout.

        Raises:
            ValueError: it is another model's, or tensors are missing, left over or of another shape.
        """
        config = read_config(folder)
        try:
            model = cls(cls.configuration.from_json(config))  # pyright: ignore
        except (TypeError, ValueError) as error:
            raise ValueError(f"{folder / 'config.json'}: {error}") from None
        fill(model, read_tensors(folder), [cls.names], where=str(folder), ignorable=("position_ids",))
        return model
