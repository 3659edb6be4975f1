"""ViT, the vision transformer: an image cut into patches, which attend to each other.

It knows next to nothing of images beforehand, only which patch is where by a learned table, so that it needs
more of them than a convolutional network before it overtakes it.

Reference:
    Dosovitskiy, Beyer, Kolesnikov, Weissenborn, Zhai, Unterthiner, Dehghani, Minderer, Heigold, Gelly,
    Uszkoreit, Houlsby. "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale".
    ICLR 2021. arXiv:2010.11929v2
    Implements: Eq. (1) to (4); Sec. 3.2, tables of positions interpolated for other resolutions; the mean
        of the patches in place of the class token (Appendix D.3).
    Departs: positions are interpolated by antialiased bicubic, as in timm.
    Omits: dropout, which published configurations set to 0; a configuration with another value is refused.
    Verified: transformers' ViTForImageClassification, logits and gradients, 1e-10 in float64; attention
        against a triple loop; published numbers of parameters.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.nn.checkpoint import (
    NameTable,
    config_from_json,
    config_to_json,
    fill,
    read_config,
    read_tensors,
    write_checkpoint,
)
from assay.nn.drop_path import drop_path_rates
from assay.nn.transformer import Block

Pooling = Literal["cls", "mean"]


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Sizes of a ViT, by Hugging Face's names; the defaults are ViT-B/16 of the paper.

    Args:
        num_channels: of an image.
        num_classes: of the classifier; 0 for none, and then the logits are the features.
        image_size: height and width that the table of positions is made for; one number for a square.
        patch_size: height and width of a patch.
        hidden_size: width of a token.
        num_hidden_layers: blocks.
        num_attention_heads: of every block.
        intermediate_size: width inside the blocks' two-layer networks.
        hidden_act: name of their activation.
        qkv_bias: whether queries, keys and values have biases.
        layer_norm_eps: added to variances: 1e-6 in the paper's code and timm, 1e-12 where a file of
            transformers says nothing.
        initializer_range: standard deviation of the first weights.
        drop_path_rate: in training, of the last block; it grows from 0 block by block.
        pooling: features are those of the class token, or the mean of the patches.
    """

    num_channels: int = 3
    num_classes: int = 1000
    image_size: int | tuple[int, int] = 224
    patch_size: int | tuple[int, int] = 16
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    qkv_bias: bool = True
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    drop_path_rate: float = 0.0
    pooling: Pooling = "cls"

    def __post_init__(self) -> None:
        if self.pooling not in get_args(Pooling):
            raise ValueError(f"expected a pooling of {', '.join(get_args(Pooling))}, got {self.pooling!r}")
        if any(size % patch for size, patch in zip(_pair(self.image_size), self.patch, strict=True)):
            raise ValueError(
                f"expected an image size divisible by the patch size {self.patch_size}, got {self.image_size}"
            )

    @property
    def patch(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return _pair(self.patch_size)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the table of positions."""
        (height, width), (rows, columns) = _pair(self.image_size), self.patch
        return height // rows, width // columns


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def resized_positions(
    table: Float[Tensor, "1 positions dim"], old: tuple[int, int], new: tuple[int, int]
) -> Float[Tensor, "1 new_positions dim"]:
    """A table of positions for another grid of patches; the same table, bit for bit, for the same grid.

    Args:
        table: any number of rows that belong to no patch, which stay, and then those of the grid row by row.
        old: rows and columns of the grid that the table is for.
        new: those wanted. That their product is the same does not make the grids equal.
    """
    if old == new:
        return table
    special = table.shape[1] - old[0] * old[1]
    picture = table[:, special:].unflatten(1, old).permute(0, 3, 1, 2)
    picture = F.interpolate(picture, new, mode="bicubic", align_corners=False, antialias=True)
    return torch.cat([table[:, :special], picture.flatten(2).mT], 1)


class ViT(nn.Module):
    """A vision transformer for images of any size that is a multiple of the patch.

    Args:
        config: its sizes.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        dim, rows, columns = config.hidden_size, *config.grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + rows * columns, dim))
        self.patches = nn.Conv2d(config.num_channels, dim, config.patch, config.patch)
        rates = drop_path_rates(config.drop_path_rate, config.num_hidden_layers)
        self.blocks = nn.ModuleList(
            Block(
                dim,
                config.num_attention_heads,
                config.intermediate_size,
                layer_norm_eps=config.layer_norm_eps,
                hidden_act=config.hidden_act,
                qkv_bias=config.qkv_bias,
                drop_path_rate=rate,
            )
            for rate in rates
        )
        self.norm = nn.LayerNorm(dim, eps=config.layer_norm_eps)
        self.num_features = dim
        self.classifier = nn.Linear(dim, config.num_classes) if config.num_classes else nn.Identity()
        self._draw(config.initializer_range)

    def _draw(self, spread: float) -> None:
        for parameter in (self.cls_token, self.position_embeddings):
            nn.init.trunc_normal_(parameter, std=spread)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.trunc_normal_(module.weight, std=spread)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def tokens(
        self,
        images: Float[Tensor, "batch channels height width"],
        keep: Int[Tensor, "batch kept"] | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """The class token and the patches after all blocks, not yet normalised.

        Args:
            images: of a height and width that the patch divides.
            keep: which patches of every image go through the blocks, counted row by row; None for all.
                They are chosen after positions were added, so each keeps that of its place.

        Raises:
            ValueError: the patch does not divide the images.
        """
        height, width = images.shape[-2:]
        rows, columns = self.config.patch
        if height % rows or width % columns:
            raise ValueError(
                f"expected images divisible by patches of {rows}x{columns}, got {height}x{width}"
            )
        grid = (height // rows, width // columns)
        patches = self.patches(images).flatten(2).mT
        positions = resized_positions(self.position_embeddings, self.config.grid, grid)
        z = patches + positions[:, 1:]  # Eq. (1)
        if keep is not None:
            z = z.gather(1, keep[:, :, None].expand(-1, -1, z.shape[2]))
        z = torch.cat([(self.cls_token + positions[:, :1]).expand(len(z), -1, -1), z], 1)
        for block in self.blocks:
            z = block(z)
        return z

    def embed(
        self,
        images: Float[Tensor, "batch channels height width"],
        keep: Int[Tensor, "batch kept"] | None = None,
    ) -> Float[Tensor, "batch features"]:
        """The normalised class token, Eq. (4), or the normalised mean of the patches."""
        z = self.tokens(images, keep)
        pooled = z[:, 0] if self.config.pooling == "cls" else z[:, 1:].mean(1)
        return self.norm(pooled)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The logits of every class."""
        return self.classifier(self.embed(images))

    def save_pretrained(self, folder: Path | str, classes: tuple[str, ...] | None = None) -> None:
        """Writes config.json and model.safetensors as transformers does, with the classes' names."""
        config = config_to_json(
            self.config, family="ViT", model_type="vit", dtype=self.cls_token.dtype, classes=classes
        )
        table = _TABLES[0 if self.config.num_classes else 1]
        write_checkpoint(Path(folder), config, table.to_disk(self.state_dict()))

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """The network of a folder that transformers or `save_pretrained` wrote, in evaluation mode.

        Tensors under timm's names are read too. The pooling layer of transformers' ViTModel, which is behind
        the features, is left out.

        Raises:
            ValueError: the folder holds no such network.
        """
        folder = Path(folder)
        model = cls(_config(folder))
        ignorable = ("pooler.dense.weight", "pooler.dense.bias", "position_ids")
        fill(model, read_tensors(folder), _TABLES, where=str(folder), ignorable=ignorable)
        return model.eval()


def _config(folder: Path) -> ViTConfig:
    written = read_config(folder)
    if written.get("model_type") != "vit":
        raise ValueError(f"{folder}: expected the model type vit, got {written.get('model_type')!r}")
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        if written.get(name, 0):
            raise ValueError(
                f"{folder}: expected {name} 0, since there is no dropout here, got {written[name]}"
            )
    # What a file does not say has the format's default, which is not always the paper's.
    return ViTConfig(**config_from_json({"layer_norm_eps": 1e-12} | written, ViTConfig))


_QKV = tuple(f"vit.encoder.layer.{{}}.attention.attention.{name}" for name in ("query", "key", "value"))
_HUGGING_FACE = NameTable(
    (
        ("cls_token", "vit.embeddings.cls_token"),
        ("position_embeddings", "vit.embeddings.position_embeddings"),
        ("patches", "vit.embeddings.patch_embeddings.projection"),
        ("blocks.{}.norm1", "vit.encoder.layer.{}.layernorm_before"),
        ("blocks.{}.attention.qkv", _QKV),
        ("blocks.{}.attention.out", "vit.encoder.layer.{}.attention.output.dense"),
        ("blocks.{}.norm2", "vit.encoder.layer.{}.layernorm_after"),
        ("blocks.{}.mlp.fc1", "vit.encoder.layer.{}.intermediate.dense"),
        ("blocks.{}.mlp.fc2", "vit.encoder.layer.{}.output.dense"),
        ("norm", "vit.layernorm"),
        ("classifier", "classifier"),
    )
)
_TIMM = NameTable(
    (
        ("cls_token", "cls_token"),
        ("position_embeddings", "pos_embed"),
        ("patches", "patch_embed.proj"),
        ("blocks.{}.norm1", "blocks.{}.norm1"),
        ("blocks.{}.attention.qkv", "blocks.{}.attn.qkv"),
        ("blocks.{}.attention.out", "blocks.{}.attn.proj"),
        ("blocks.{}.norm2", "blocks.{}.norm2"),
        ("blocks.{}.mlp.fc1", "blocks.{}.mlp.fc1"),
        ("blocks.{}.mlp.fc2", "blocks.{}.mlp.fc2"),
        ("norm", "norm"),
        ("classifier", "head"),
    )
)
_TABLES = (_HUGGING_FACE, _HUGGING_FACE.without("vit."), _TIMM)
