"""Swin: a transformer whose patches attend inside windows, which are shifted in every second block.

Its cost grows with the number of pixels and not with their square, and its maps get coarser from stage to
stage like those of a convolutional network.

Reference:
    Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo. "Swin Transformer: Hierarchical Vision Transformer using Shifted
    Windows". ICCV 2021. arXiv:2103.14030v2
    Implements: Fig. 3; Eq. (3), blocks in pairs; Eq. (4), relative positions; the cyclic shift of Sec. 3.2,
        Fig. 4; patch merging of Sec. 3.1.
    Departs: window and shift fit each image by themselves (where the map is smaller than the window, the
        middle of the table of relative positions serves), so that a call leaves no trace in the next one.
    Omits: dropout, which published configurations set to 0; a configuration with another value is refused.
    Verified: attention over an explicit map of regions, 1e-10; transformers' SwinForImageClassification,
        logits and gradients, 1e-10 in float64; published numbers of parameters.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from assay.images.vit import resized_positions
from assay.nn.attention import SelfAttention
from assay.nn.checkpoint import (
    NameTable,
    config_from_json,
    config_to_json,
    fill,
    read_config,
    read_tensors,
    write_checkpoint,
)
from assay.nn.drop_path import DropPath, drop_path_rates
from assay.nn.transformer import MLP

_CPU = torch.device("cpu")
_MASKED = -100.0  # Not -inf: published weights were trained with it, and with large logits the two differ.


@dataclass(frozen=True, kw_only=True)
class SwinConfig:
    """Sizes of a Swin transformer, by Hugging Face's names; the defaults are Swin-T of the paper.

    Args:
        num_channels: of an image.
        num_classes: of the classifier; 0 for none, and then the logits are the features.
        image_size: side that absolute positions are made for, if there are any.
        patch_size: side of a patch.
        embed_dim: width of a token in the first stage; it doubles from stage to stage.
        depths: blocks of every stage.
        num_heads: of every stage.
        window_size: side of a window, in patches.
        mlp_ratio: width inside the blocks' two-layer networks, in widths of a token.
        hidden_act: name of their activation.
        qkv_bias: whether queries, keys and values have biases.
        layer_norm_eps: added to variances in the blocks and at the end.
        use_absolute_embeddings: whether a table of positions is added to the patches.
        initializer_range: standard deviation of the first weights.
        drop_path_rate: in training, of the last block; it grows from 0 over the blocks of all stages.
    """

    num_channels: int = 3
    num_classes: int = 1000
    image_size: int = 224
    patch_size: int = 4
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int = 7
    mlp_ratio: float = 4.0
    hidden_act: str = "gelu"
    qkv_bias: bool = True
    layer_norm_eps: float = 1e-5
    use_absolute_embeddings: bool = False
    initializer_range: float = 0.02
    drop_path_rate: float = 0.1

    def __post_init__(self) -> None:
        if not self.depths or len(self.depths) != len(self.num_heads):
            raise ValueError(
                f"expected one number of heads per stage, got {self.num_heads} for {self.depths}"
            )
        if self.window_size < 1:
            raise ValueError(f"expected a window of at least 1 patch, got {self.window_size}")


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # What is kept must serve in training too.
def relative_index(window: int, table: int, device: torch.device = _CPU) -> Int[Tensor, "tokens tokens"]:
    """Which row of the table of relative positions belongs to each query (row) and key (column).

    Args:
        window: side of the windows in use, in patches.
        table: side of the windows that the table is for, M; it has (2M - 1)^2 rows.
        device: where it lives.
    """
    axes = torch.meshgrid(*[torch.arange(window, device=device)] * 2, indexing="ij")
    down, right = (axis.flatten()[:, None] - axis.flatten()[None, :] + table - 1 for axis in axes)
    return down * (2 * table - 1) + right


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def shift_mask(
    height: int, width: int, window: int, shift: int, device: torch.device = _CPU
) -> Bool[Tensor, "windows 1 tokens tokens"]:
    """Which pairs in a window were apart before the cyclic shift, and must not see each other, Fig. 4."""

    def region(size: int) -> Tensor:
        place = torch.arange(size, device=device)
        return (place >= size - window).long() + (place >= size - shift).long()

    regions = region(height)[:, None] * 3 + region(width)[None, :]
    of_window = cut(regions[None, :, :, None], window)[0, :, :, 0]
    return of_window[:, None, :, None] != of_window[:, None, None, :]


def cut(
    x: Shaped[Tensor, "batch height width dim"], window: int
) -> Shaped[Tensor, "batch windows tokens dim"]:
    """The windows of a map row by row; they divide it."""
    batch, height, width, dim = x.shape
    x = x.view(batch, height // window, window, width // window, window, dim)
    return x.transpose(2, 3).reshape(batch, -1, window * window, dim)


def joined(
    x: Float[Tensor, "batch windows tokens dim"], height: int, width: int, window: int
) -> Float[Tensor, "batch height width dim"]:
    """The map whose windows `cut` gives."""
    x = x.view(len(x), height // window, width // window, window, window, x.shape[-1])
    return x.transpose(2, 3).reshape(len(x), height, width, x.shape[-1])


def resized_bias_table(
    table: Float[Tensor, "offsets heads"], old: int, new: int
) -> Float[Tensor, "new_offsets heads"]:
    """A table of relative positions for another window, by bicubic interpolation for every head.

    Args:
        table: of (2 old - 1)^2 rows.
        old: the side of its window.
        new: the side wanted.
    """
    if old == new:
        return table
    picture = table.T.unflatten(1, (2 * old - 1, 2 * old - 1))[None]
    return F.interpolate(picture, (2 * new - 1, 2 * new - 1), mode="bicubic")[0].flatten(1).T.contiguous()


class SwinBlock(nn.Module):
    """Attention inside windows and a two-layer network, Eq. (3).

    Args:
        config: of the whole network.
        dim: width of a token.
        num_heads: of the attention.
        shift: of the windows, in patches, towards the upper left.
        drop_path_rate: probability in training that a branch is left out.
    """

    def __init__(
        self, config: SwinConfig, dim: int, num_heads: int, *, shift: int, drop_path_rate: float
    ) -> None:
        super().__init__()
        self.window, self.shift = config.window_size, shift
        self.norm1 = nn.LayerNorm(dim, eps=config.layer_norm_eps)
        self.attention = SelfAttention(dim, num_heads, qkv_bias=config.qkv_bias)
        self.bias_table = nn.Parameter(torch.zeros((2 * self.window - 1) ** 2, num_heads))
        self.norm2 = nn.LayerNorm(dim, eps=config.layer_norm_eps)
        self.mlp = MLP(dim, int(config.mlp_ratio * dim), config.hidden_act)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, z: Float[Tensor, "batch height width dim"]) -> Float[Tensor, "batch height width dim"]:
        """The map one block further."""
        z = z + self.drop_path(self._mixed(self.norm1(z)))
        return z + self.drop_path(self.mlp(self.norm2(z)))

    def _mixed(self, z: Tensor) -> Tensor:
        height, width = z.shape[1:3]
        smaller = min(height, width)
        window = min(self.window, smaller)
        shift = self.shift if smaller > self.window else 0  # One window covers the map: nothing to shift.
        right, below = -width % window, -height % window
        if right or below:  # After the normalisation, and seen by the others, as in published models.
            z = F.pad(z, (0, 0, 0, right, 0, below))
        size = (height + below, width + right)
        if shift:
            z = z.roll((-shift, -shift), (1, 2))
        index = relative_index(window, self.window, z.device)
        bias = self.bias_table[index.flatten()].unflatten(0, index.shape).permute(2, 0, 1)  # Eq. (4)
        if shift:
            bias = bias + shift_mask(*size, window, shift, z.device) * _MASKED
        z = joined(self.attention(cut(z, window), bias=bias), *size, window)
        if shift:
            z = z.roll((shift, shift), (1, 2))
        return z[:, :height, :width]


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, z: Float[Tensor, "batch height width dim"]) -> Float[Tensor, "batch h w wide"]:
        """A map of half the sides; where they are odd, zeros are added."""
        height, width = z.shape[1:3]
        if height % 2 or width % 2:
            z = F.pad(z, (0, 0, 0, width % 2, 0, height % 2))
        # (row, column): (0, 0), (1, 0), (0, 1), (1, 1).
        corners = [z[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1)))


class Swin(nn.Module):
    """A Swin transformer for images of any size.

    Args:
        config: its sizes.
    """

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.embed_dim
        self.patches = nn.Conv2d(config.num_channels, dim, config.patch_size, config.patch_size)
        self.patch_norm = nn.LayerNorm(dim)
        self.position_embeddings = None
        if config.use_absolute_embeddings:
            count = (config.image_size // config.patch_size) ** 2
            self.position_embeddings = nn.Parameter(torch.zeros(1, count, dim))
        rates = iter(drop_path_rates(config.drop_path_rate, sum(config.depths)))
        self.stages, self.merging = nn.ModuleList(), nn.ModuleList()
        for i, (depth, heads) in enumerate(zip(config.depths, config.num_heads, strict=True)):
            if i > 0:
                self.merging.append(PatchMerging(dim))
                dim *= 2
            shifts = [0 if j % 2 == 0 else config.window_size // 2 for j in range(depth)]
            blocks = [SwinBlock(config, dim, heads, shift=s, drop_path_rate=next(rates)) for s in shifts]
            self.stages.append(nn.Sequential(*blocks))
        self.norm = nn.LayerNorm(dim, eps=config.layer_norm_eps)
        self.num_features = dim
        self.classifier = nn.Linear(dim, config.num_classes) if config.num_classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.trunc_normal_(module.weight, std=config.initializer_range)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, SwinBlock):
                nn.init.trunc_normal_(module.bias_table, std=config.initializer_range)

    def pyramid(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch h w dim"], ...]:
        """The maps at the end of every stage, from fine to coarse, the width last."""
        side = self.config.patch_size
        right, below = -images.shape[-1] % side, -images.shape[-2] % side
        z = self.patch_norm(self.patches(F.pad(images, (0, right, 0, below))).permute(0, 2, 3, 1))
        if self.position_embeddings is not None:
            old = self.config.image_size // side
            positions = resized_positions(self.position_embeddings, (old, old), (z.shape[1], z.shape[2]))
            z = z + positions.view(1, *z.shape[1:])
        maps = []
        for i, stage in enumerate(self.stages):
            z = stage(self.merging[i - 1](z) if i > 0 else z)
            maps.append(z)
        return tuple(maps)

    def embed(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        """The mean of the normalised tokens of the last map."""
        return self.norm(self.pyramid(images)[-1]).mean((1, 2))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The logits of every class."""
        return self.classifier(self.embed(images))

    def save_pretrained(self, folder: Path | str, classes: Sequence[str] | None = None) -> None:
        """Writes config.json and model.safetensors as transformers does, with the classes' names."""
        config = config_to_json(
            self.config, family="Swin", model_type="swin", dtype=self.patches.weight.dtype, classes=classes
        )
        table = _TABLES[0 if self.config.num_classes else 1]
        write_checkpoint(Path(folder), config, table.to_disk(self.state_dict()))

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, window_size: int | None = None) -> Self:
        """The network of a folder that transformers or `save_pretrained` wrote, in evaluation mode.

        Tensors under the names of the authors' repository are read too.

        Args:
            folder: of config.json and model.safetensors.
            window_size: a window in place of the folder's, for which the tables of relative positions are
                interpolated.

        Raises:
            ValueError: the folder holds no such network.
        """
        folder = Path(folder)
        written = read_config(folder)
        if written.get("model_type") != "swin":
            raise ValueError(f"{folder}: expected the model type swin, got {written.get('model_type')!r}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if written.get(name, 0):
                raise ValueError(
                    f"{folder}: expected {name} 0, got {written[name]}; there is no dropout here"
                )
        facts, tensors = config_from_json(written, SwinConfig), read_tensors(folder)
        if window_size is not None:
            old = facts.get("window_size", SwinConfig.window_size)
            facts["window_size"] = window_size
            for name in tensors:
                if name.endswith("relative_position_bias_table"):
                    tensors[name] = resized_bias_table(tensors[name], old, window_size)
        model = cls(SwinConfig(**facts))
        ignorable = ("relative_position_index", "attn_mask")
        fill(model, tensors, _TABLES, where=str(folder), ignorable=ignorable)
        return model.eval()


_THERE = "swin.encoder.layers.{}.blocks.{}"
_QKV = tuple(f"{_THERE}.attention.self.{name}" for name in ("query", "key", "value"))
_HUGGING_FACE = NameTable(
    (
        ("patches", "swin.embeddings.patch_embeddings.projection"),
        ("patch_norm", "swin.embeddings.norm"),
        ("position_embeddings", "swin.embeddings.position_embeddings"),
        ("stages.{}.{}.norm1", f"{_THERE}.layernorm_before"),
        ("stages.{}.{}.attention.qkv", _QKV),
        ("stages.{}.{}.bias_table", f"{_THERE}.attention.self.relative_position_bias_table"),
        ("stages.{}.{}.attention.out", f"{_THERE}.attention.output.dense"),
        ("stages.{}.{}.norm2", f"{_THERE}.layernorm_after"),
        ("stages.{}.{}.mlp.fc1", f"{_THERE}.intermediate.dense"),
        ("stages.{}.{}.mlp.fc2", f"{_THERE}.output.dense"),
        ("merging.{}.norm", "swin.encoder.layers.{}.downsample.norm"),
        ("merging.{}.reduction", "swin.encoder.layers.{}.downsample.reduction"),
        ("norm", "swin.layernorm"),
        ("classifier", "classifier"),
    )
)
_AUTHORS = NameTable(
    (
        ("patches", "patch_embed.proj"),
        ("patch_norm", "patch_embed.norm"),
        ("position_embeddings", "absolute_pos_embed"),
        ("stages.{}.{}.bias_table", "layers.{}.blocks.{}.attn.relative_position_bias_table"),
        ("stages.{}.{}.attention.qkv", "layers.{}.blocks.{}.attn.qkv"),
        ("stages.{}.{}.attention.out", "layers.{}.blocks.{}.attn.proj"),
        *((f"stages.{{}}.{{}}.{n}", f"layers.{{}}.blocks.{{}}.{n}") for n in ("norm1", "norm2")),
        *((f"stages.{{}}.{{}}.mlp.{n}", f"layers.{{}}.blocks.{{}}.mlp.{n}") for n in ("fc1", "fc2")),
        ("merging.{}.norm", "layers.{}.downsample.norm"),
        ("merging.{}.reduction", "layers.{}.downsample.reduction"),
        ("norm", "norm"),
        ("classifier", "head"),
    )
)
_TABLES = (_HUGGING_FACE, _HUGGING_FACE.without("swin."), _AUTHORS)
