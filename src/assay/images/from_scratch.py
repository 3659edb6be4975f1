"""Networks trained from scratch on the labelled images alone: ResNet, ViT and Swin, for a laptop.

Their mathematics, references and verification are in `assay.images.resnet`, `.vit` and `.swin`.
"""

from dataclasses import dataclass

from torch import nn

from assay.data.labelled import LabelledImages
from assay.images.preprocessing import Preprocessing
from assay.images.resnet import ResNet, ResNetConfig
from assay.images.swin import Swin, SwinConfig
from assay.images.training import NetworkMethod
from assay.images.vit import ViT, ViTConfig

_LARGE = 56  # pixels; from here on a stem of stride 4 is affordable, and one of stride 1 is not


@dataclass(frozen=True, kw_only=True)
class ResNetClassifier(NetworkMethod):
    """A ResNet of three stages, the CIFAR network of He et al. with projections as shortcuts.

    See `assay.images.resnet`.

    Args:
        depth: layers, 6n + 2.
        width: channels of the first stage; the second has twice and the third four times as many.
        shortcuts: whether there are any; without, the network is plain.
    """

    depth: int = 8
    width: int = 16
    shortcuts: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise ValueError(f"expected a width of at least 1, got {self.width}")
        ResNetConfig.cifar(self.depth)

    def network(self, data: LabelledImages) -> nn.Module:
        """The network before training."""
        config = ResNetConfig.cifar(
            self.depth,
            width=self.width,
            num_channels=1 if data.images.ndim == 3 else 3,
            num_classes=len(data.classes),
            stem="imagenet" if min(data.images.shape[1:3]) >= _LARGE else "cifar",
            shortcut="projection" if self.shortcuts else "none",
        )
        return ResNet(config)


@dataclass(frozen=True, kw_only=True)
class ViTClassifier(NetworkMethod):
    """A vision transformer that classifies the mean of its patches.

    See `assay.images.vit`.

    Args:
        patch_size: side of a patch in pixels; None for a quarter of the image's.
        hidden_size: width of a token.
        num_layers: blocks.
        num_heads: of each block.
        mlp_ratio: width inside the blocks' two-layer networks, in widths of a token.
        drop_path_rate: in training, of the last block.
    """

    learning_rate: float = 0.01
    patch_size: int | None = None
    hidden_size: int = 96
    num_layers: int = 4
    num_heads: int = 4
    mlp_ratio: float = 2.0
    drop_path_rate: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch_size is not None and self.patch_size < 1:
            raise ValueError(f"expected a patch_size of at least 1, got {self.patch_size}")
        if self.hidden_size % self.num_heads:
            raise ValueError(f"expected a hidden_size divisible by {self.num_heads}, got {self.hidden_size}")

    def _sizes(self, data: LabelledImages) -> tuple[int, int]:
        """The side of a patch, and that of the images rounded up to whole patches."""
        side = max(data.images.shape[1:3])
        patch = max(1, side // 4) if self.patch_size is None else self.patch_size
        return patch, -(-side // patch) * patch

    def preprocessing(self, data: LabelledImages) -> Preprocessing:
        """What images go through before the network."""
        return Preprocessing.of(data, size=self._sizes(data)[1])

    def network(self, data: LabelledImages) -> nn.Module:
        """The network before training."""
        patch, side = self._sizes(data)
        config = ViTConfig(
            num_channels=1 if data.images.ndim == 3 else 3,
            num_classes=len(data.classes),
            image_size=side,
            patch_size=patch,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            intermediate_size=round(self.mlp_ratio * self.hidden_size),
            drop_path_rate=self.drop_path_rate,
            pooling="mean",
        )
        return ViT(config)


@dataclass(frozen=True, kw_only=True)
class SwinClassifier(NetworkMethod):
    """A Swin transformer of two stages.

    See `assay.images.swin`.

    Args:
        patch_size: side of a patch in pixels.
        embed_dim: width of a token in the first stage; twice as many in the second.
        depths: blocks of the stages.
        num_heads: of the stages.
        window_size: side of a window in patches.
        mlp_ratio: width inside the blocks' two-layer networks, in widths of a token.
        drop_path_rate: in training, of the last block.
    """

    patch_size: int = 4
    embed_dim: int = 64
    depths: tuple[int, ...] = (2, 2)
    num_heads: tuple[int, ...] = (2, 4)
    window_size: int = 4
    mlp_ratio: float = 2.0
    drop_path_rate: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch_size < 1:
            raise ValueError(f"expected a patch_size of at least 1, got {self.patch_size}")
        self._config(1, 2, 4)

    def _config(self, channels: int, classes: int, side: int) -> SwinConfig:
        return SwinConfig(
            num_channels=channels,
            num_classes=classes,
            image_size=side,
            patch_size=self.patch_size,
            embed_dim=self.embed_dim,
            depths=self.depths,
            num_heads=self.num_heads,
            window_size=self.window_size,
            mlp_ratio=self.mlp_ratio,
            drop_path_rate=self.drop_path_rate,
        )

    def network(self, data: LabelledImages) -> nn.Module:
        """The network before training."""
        channels = 1 if data.images.ndim == 3 else 3
        return Swin(self._config(channels, len(data.classes), max(data.images.shape[1:3])))
