"""ResNet: a convolutional network whose blocks learn what to add to their input.

Because every block's output is its input plus a correction, a deep network can do at least what a shallow one
does, and gradients reach the first layers; without these shortcuts more depth makes even training worse.

Reference:
    He, Zhang, Ren, Sun. "Deep Residual Learning for Image Recognition". CVPR 2016. arXiv:1512.03385v1
    Implements: Eq. (1) and (2); Fig. 5, both blocks; Table 1; the CIFAR-10 nets of Sec. 4.2; shortcuts A
        and B of Sec. 4.1, and none, which makes the plain networks that the paper compares with.
    Departs: the stride of a bottleneck is on its 3x3 convolution, as in torchvision and in most published
        weights, unless `downsample_in_bottleneck` asks for the paper's place, the first 1x1. The last gain of
        a block starts at 1 (torchvision), not 0 (timm).
    Verified: against naive loops in float64, 1e-10; transformers' ResNetForImageClassification, logits and
        gradients, 1e-10 in float64; published numbers of parameters.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from assay.nn.activation import activation
from assay.nn.checkpoint import (
    NameTable,
    Pair,
    config_from_json,
    config_to_json,
    fill,
    read_config,
    read_tensors,
    write_checkpoint,
)

Layer = Literal["basic", "bottleneck"]
Stem = Literal["imagenet", "cifar"]
Shortcut = Literal["projection", "padding", "none"]

_REDUCTION = 4  # of channels inside a bottleneck


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Sizes of a ResNet, by Hugging Face's names.

    Args:
        num_channels: of an image.
        num_classes: of the classifier; 0 for none, and then the logits are the features.
        embedding_size: channels after the stem.
        hidden_sizes: channels at the end of every stage.
        depths: blocks of every stage.
        layer_type: "basic" is two 3x3 convolutions, "bottleneck" 1x1, 3x3, 1x1.
        downsample_in_first_stage: whether the first stage has stride 2 too.
        downsample_in_bottleneck: the stride on the first 1x1 and not on the 3x3.
        hidden_act: name of the activation after the stem and after every addition; inside a block it is
            relu, as in transformers.
        stem: "imagenet" is 7x7 with stride 2 and max-pooling, "cifar" 3x3 with stride 1.
        shortcut: where shapes differ, "projection" (option B) is a 1x1 convolution, "padding" (option A)
            takes every second pixel and adds channels of zeros; "none" leaves out all shortcuts.
    """

    num_channels: int = 3
    num_classes: int = 1000
    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    layer_type: Layer = "bottleneck"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False
    hidden_act: str = "relu"
    stem: Stem = "imagenet"
    shortcut: Shortcut = "projection"

    def __post_init__(self) -> None:
        for name, options in (("layer_type", Layer), ("stem", Stem), ("shortcut", Shortcut)):
            if getattr(self, name) not in get_args(options):
                raise ValueError(
                    f"expected {name} of {', '.join(get_args(options))}, got {getattr(self, name)!r}"
                )
        if not self.depths or len(self.hidden_sizes) != len(self.depths):
            raise ValueError(f"expected one width per stage, got {self.hidden_sizes} for {self.depths}")
        if self.shortcut == "padding" and list(self.hidden_sizes) != sorted(self.hidden_sizes):
            raise ValueError(f"padding cannot take channels away, got the widths {self.hidden_sizes}")

    @classmethod
    def resnet(cls, depth: int, **changes: Any) -> "ResNetConfig":
        """The network of Table 1 with 18, 34, 50, 101 or 152 layers."""
        depths = {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }
        if depth not in depths:
            raise ValueError(f"expected a depth of {', '.join(map(str, depths))}, got {depth}")
        basic = depth < 50
        sizes = (64, 128, 256, 512) if basic else (256, 512, 1024, 2048)
        facts: dict[str, Any] = {
            "depths": depths[depth],
            "hidden_sizes": sizes,
            "layer_type": "basic" if basic else "bottleneck",
        }
        return cls(**facts | changes)

    @classmethod
    def cifar(cls, depth: int, *, width: int = 16, **changes: Any) -> "ResNetConfig":
        """The network of Sec. 4.2 with 6n + 2 layers: three stages of n blocks, shortcuts of option A."""
        blocks, rest = divmod(depth - 2, 6)
        if blocks < 1 or rest:
            raise ValueError(f"expected a depth of 6n + 2, got {depth}")
        facts: dict[str, Any] = {
            "embedding_size": width,
            "hidden_sizes": (width, 2 * width, 4 * width),
            "depths": (blocks,) * 3,
            "layer_type": "basic",
            "stem": "cifar",
            "shortcut": "padding",
            "num_classes": 10,
        }
        return cls(**facts | changes)

    @property
    def is_standard(self) -> bool:
        """Whether transformers knows this architecture."""
        return self.stem == "imagenet" and self.shortcut == "projection"


class Convolution(nn.Module):
    """A convolution without bias, which the normalisation after it would subtract."""

    def __init__(self, below: int, above: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(below, above, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(above)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """The normalised map."""
        return self.norm(self.conv(x))


class Padding(nn.Module):
    """Option A: every second pixel, and zeros for the channels that are not there yet."""

    def __init__(self, below: int, above: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = above - below, stride

    def forward(self, x: Tensor) -> Tensor:
        """A map of fewer pixels and more channels; half of the new ones before, half after the old."""
        before = self.more // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.more - before))


class ResidualBlock(nn.Module):
    """y = act(F(x) + S(x)), Eq. (1) and (2); without shortcut y = act(F(x))."""

    def __init__(self, config: ResNetConfig, below: int, above: int, stride: int) -> None:
        super().__init__()
        if config.layer_type == "basic":
            layers = [Convolution(below, above, 3, stride), Convolution(above, above, 3)]
        else:
            width = above // _REDUCTION
            first, second = (stride, 1) if config.downsample_in_bottleneck else (1, stride)
            layers = [Convolution(below, width, 1, first), Convolution(width, width, 3, second)]
            layers.append(Convolution(width, above, 1))
        self.layers = nn.ModuleList(layers)
        self.act = activation(config.hidden_act)
        self.plain = config.shortcut == "none"
        self.shortcut = None
        if (below != above or stride != 1) and not self.plain:
            padding = config.shortcut == "padding"
            self.shortcut = Padding(below, above, stride) if padding else Convolution(below, above, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output; the activation comes after the addition."""
        y = x
        for layer in self.layers[:-1]:
            y = F.relu(layer(y))
        y = self.layers[-1](y)
        if not self.plain:
            y = y + (x if self.shortcut is None else self.shortcut(x))
        return self.act(y)


class ResNet(nn.Module):
    """A ResNet for images of any size.

    Args:
        config: its sizes.
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        kernel, stride = (7, 2) if config.stem == "imagenet" else (3, 1)
        self.stem = Convolution(config.num_channels, config.embedding_size, kernel, stride)
        self.act = activation(config.hidden_act)
        self.stages = nn.ModuleList()
        below = config.embedding_size
        for i, (above, depth) in enumerate(zip(config.hidden_sizes, config.depths, strict=True)):
            first = 2 if i > 0 or config.downsample_in_first_stage else 1
            widths = [below] + [above] * (depth - 1)
            blocks = [ResidualBlock(config, w, above, first if j == 0 else 1) for j, w in enumerate(widths)]
            self.stages.append(nn.Sequential(*blocks))
            below = above
        self.num_features = below
        self.classifier = nn.Linear(below, config.num_classes) if config.num_classes else nn.Identity()

    def pyramid(self, images: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, ...]:
        """The maps at the end of every stage, from fine to coarse."""
        x = self.act(self.stem(images))
        if self.config.stem == "imagenet":
            x = F.max_pool2d(x, 3, 2, 1)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)

    def embed(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        """The mean of the last map over its pixels, before the classifier."""
        return self.pyramid(images)[-1].mean((2, 3))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The logits of every class."""
        return self.classifier(self.embed(images))

    def save_pretrained(self, folder: Path | str, classes: tuple[str, ...] | None = None) -> None:
        """Writes config.json and model.safetensors as transformers does, with the classes' names."""
        standard = self.config.is_standard
        config = config_to_json(
            self.config,
            family="ResNet",
            model_type="resnet" if standard else "assay-resnet",
            dtype=self.stem.conv.weight.dtype,
            classes=classes,
        )
        if standard:
            del config["stem"], config["shortcut"]
        table = _tables(self.config)[0 if self.config.num_classes else 1]
        write_checkpoint(Path(folder), config, table.to_disk(self.state_dict()))

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """The network of a folder that transformers or `save_pretrained` wrote, in evaluation mode.

        Tensors under the names of torchvision and timm are read too.

        Raises:
            ValueError: the folder holds no such network.
        """
        folder = Path(folder)
        model = cls(_config(folder))
        ignorable = ("num_batches_tracked",)
        tables = _tables(model.config)
        fill(model, read_tensors(folder), tables, where=str(folder), ignorable=ignorable)
        return model.eval()


def _config(folder: Path) -> ResNetConfig:
    written = read_config(folder)
    if written.get("model_type") not in ("resnet", "assay-resnet"):
        raise ValueError(f"{folder}: expected the model type resnet, got {written.get('model_type')!r}")
    return ResNetConfig(**config_from_json(written, ResNetConfig))


def _tables(config: ResNetConfig) -> tuple[NameTable, NameTable, NameTable]:
    """The layouts of transformers with and without classifier, and that of torchvision and timm."""
    block = "resnet.encoder.stages.{}.layers.{}"
    here = "stages.{}.{}"
    hugging_face = NameTable(
        (
            ("stem.conv", "resnet.embedder.embedder.convolution"),
            ("stem.norm", "resnet.embedder.embedder.normalization"),
            (f"{here}.layers.{{}}.conv", f"{block}.layer.{{}}.convolution"),
            (f"{here}.layers.{{}}.norm", f"{block}.layer.{{}}.normalization"),
            (f"{here}.shortcut.conv", f"{block}.shortcut.convolution"),
            (f"{here}.shortcut.norm", f"{block}.shortcut.normalization"),
            ("classifier", "classifier.1"),
        )
    )
    pairs: list[Pair] = [("stem.conv", "conv1"), ("stem.norm", "bn1"), ("classifier", "fc")]
    for s in range(len(config.depths)):  # torchvision counts from 1.
        for i in range(3):
            pairs.append((f"stages.{s}.{{}}.layers.{i}.conv", f"layer{s + 1}.{{}}.conv{i + 1}"))
            pairs.append((f"stages.{s}.{{}}.layers.{i}.norm", f"layer{s + 1}.{{}}.bn{i + 1}"))
        pairs.append((f"stages.{s}.{{}}.shortcut.conv", f"layer{s + 1}.{{}}.downsample.0"))
        pairs.append((f"stages.{s}.{{}}.shortcut.norm", f"layer{s + 1}.{{}}.downsample.1"))
    return hugging_face, hugging_face.without("resnet."), NameTable(tuple(pairs))
