"""The towers a method may be built of, by name or by their configuration.

An image tower has `num_features` and `embed(images) -> features`; a text tower has `num_features` and turns
tokens into features. Beside those of other wings there are two small ones that are worth most on a CPU.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.image_text.bert import Bert, BertConfig
from assay.image_text.clip_model import CLIPVision, CLIPVisionConfig
from assay.image_text.processor import HALF, Colour
from assay.image_text.sentences import Sentences, SentencesConfig
from assay.image_text.siglip2_model import SigLIP2Vision, SigLIP2VisionConfig
from assay.image_text.text_transformer import TextConfig, TextTransformer, end_of_text, picked
from assay.images.efficientnet_lite import MEAN, STD, EfficientNetLite0
from assay.images.resnet import ResNet, ResNetConfig
from assay.images.swin import Swin, SwinConfig
from assay.images.vit import ViT, ViTConfig


@dataclass(frozen=True, kw_only=True)
class WordsConfig:
    """A text tower without order: the mean of a text's token embeddings, and what two layers add to it.

    Args:
        width: of an embedding.
        vocab_size: of the tokenizer, which is trained on the captions.
    """

    width: int = 256
    vocab_size: int = 8000


class Words(nn.Module):
    """The text tower of `WordsConfig`; token 0 is filling, and a row of nothing else counts as zeros."""

    def __init__(self, config: WordsConfig) -> None:
        super().__init__()
        self.config, self.num_features = config, config.width
        self.embedding = nn.EmbeddingBag(config.vocab_size, config.width, mode="mean", padding_idx=0)
        self.fc1 = nn.Linear(config.width, 2 * config.width)
        self.fc2 = nn.Linear(2 * config.width, config.width)
        nn.init.normal_(self.embedding.weight, std=0.02)  # Small, so that unseen words say little.

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch width"]:
        """The features."""
        mean = self.embedding(tokens)
        return mean + self.fc2(nn.functional.gelu(self.fc1(mean)))


class Causal(nn.Module):
    """CLIP's text transformer, read at the end token."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config, self.num_features = config, config.hidden_size
        self.transformer = TextTransformer(config, causal=True)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch width"]:
        """The features."""
        return self.transformer.at(tokens, end_of_text(tokens, self.config.eos_token_id))


@dataclass(frozen=True, kw_only=True)
class PretrainedConfig:
    """EfficientNet-Lite0 as a tower, whose weights of ImageNet are fetched when it is first used.

    Args:
        grid: the last map is averaged over so many rows and columns of cells, whose means are the features; 1
            for one mean, which does not say where a thing is.
        earlier: the same for the last maps of the six stages before, whose channels tell colours, strokes and
            parts where the last one's tell kinds of things; empty for none of them.
    """

    grid: int = 2
    earlier: tuple[int, ...] = (8, 8, 4, 4, 4, 2)

    def __post_init__(self) -> None:
        grids = (self.grid, *self.earlier)
        if len(self.earlier) not in (0, len(_STAGE_ENDS)) or min(grids) < 1:
            raise ValueError(
                f"expected a grid above 0 and none or {len(_STAGE_ENDS)} earlier ones, got {self.grid} and "
                f"{self.earlier}"
            )


_STAGE_ENDS = (0, 2, 4, 7, 10, 14)  # The last blocks of EfficientNet-Lite0's stages but for the last one.


class Pretrained(nn.Module):
    """The image tower of `PretrainedConfig`; `fetch` gives it the weights."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.config = config
        self.net = EfficientNetLite0(0)
        self._grids = dict(zip(_STAGE_ENDS, config.earlier, strict=False))
        self.num_features = self.net.num_features * config.grid**2
        for end, cells in self._grids.items():
            block: Any = self.net.blocks[end]
            self.num_features += block.project.conv.out_channels * cells**2

    def fetch(self) -> None:
        """Takes the weights of ImageNet."""
        self.net = EfficientNetLite0(0, pretrained=True)

    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """The means of the cells, map by map and cell by cell within each channel."""
        net = self.net
        x = nn.functional.relu6(net.stem(images.contiguous(memory_format=torch.channels_last)))
        found = []
        for number, block in enumerate(net.blocks):
            x = block(x)
            if number in self._grids:
                found.append(_cells(x, self._grids[number]))
        found.append(_cells(nn.functional.relu6(net.head(x)), self.config.grid))
        return torch.cat(found, dim=1)


def _cells(maps: Float[Tensor, "batch channels h w"], count: int) -> Float[Tensor, "batch features"]:
    """The means of `count` rows and columns of cells."""
    return nn.functional.adaptive_avg_pool2d(maps, count).flatten(1)


_RESNET = ResNetConfig(
    stem="cifar",
    embedding_size=32,
    hidden_sizes=(32, 64, 128, 256),
    depths=(1, 1, 1, 1),
    layer_type="basic",
    downsample_in_first_stage=True,
    num_classes=0,
)
_VIT = CLIPVisionConfig(
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=4,
    image_size=32,
    patch_size=4,
    hidden_act="gelu",
)
_NAFLEX = SigLIP2VisionConfig(
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_patches=64,
    patch_size=4,
    hidden_act="gelu",
)
_TRANSFORMER = TextConfig(
    vocab_size=4000,
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=2,
    num_attention_heads=4,
    hidden_act="gelu",
)

ImageConfig = (
    ResNetConfig | CLIPVisionConfig | ViTConfig | SwinConfig | PretrainedConfig | SigLIP2VisionConfig
)
TextTowerConfig = WordsConfig | TextConfig | BertConfig | SentencesConfig

IMAGE_TOWERS: dict[str, ImageConfig] = {
    "resnet": _RESNET,
    "vit": _VIT,
    "efficientnet-lite0": PretrainedConfig(),
    "naflex": _NAFLEX,
}
TEXT_TOWERS: dict[str, TextTowerConfig] = {
    "words": WordsConfig(),
    "transformer": _TRANSFORMER,
    "minilm": BertConfig(),
    "sentences": SentencesConfig(),
}
_IMAGE_KINDS: dict[str, tuple[type, Callable[[Any], nn.Module]]] = {
    "resnet": (ResNetConfig, ResNet),
    "clip-vit": (CLIPVisionConfig, CLIPVision),
    "vit": (ViTConfig, ViT),
    "swin": (SwinConfig, Swin),
    "efficientnet-lite0": (PretrainedConfig, Pretrained),
    "naflex": (SigLIP2VisionConfig, SigLIP2Vision),
}
_TEXT_KINDS: dict[str, tuple[type, Callable[[Any], nn.Module]]] = {
    "words": (WordsConfig, Words),
    "transformer": (TextConfig, Causal),
    "bert": (BertConfig, Bert),
    "sentences": (SentencesConfig, Sentences),
}


def image_config(tower: str | ImageConfig, size: int) -> ImageConfig:
    """The configuration of an image tower for images of `size` pixels.

    Raises:
        ValueError: there is no tower of that name.
    """
    config = _named(tower, IMAGE_TOWERS, "image")
    sized = isinstance(config, CLIPVisionConfig | ViTConfig)
    return replace(config, image_size=size) if sized else config


def image_size(tower: str | ImageConfig) -> int:
    """The side in pixels that suits a tower where nobody says another."""
    config = _named(tower, IMAGE_TOWERS, "image")
    if isinstance(config, PretrainedConfig):
        return 128
    return config.image_size if isinstance(config, CLIPVisionConfig) else 32


def text_config(tower: str | TextTowerConfig) -> TextTowerConfig:
    """The configuration of a text tower.

    Raises:
        ValueError: there is no tower of that name.
    """
    return _named(tower, TEXT_TOWERS, "text")


def colours(config: ImageConfig) -> tuple[Colour, Colour]:
    """Mean and deviation of the colours with which a tower is trained."""
    if not isinstance(config, PretrainedConfig):
        return HALF, HALF
    return (MEAN[0], MEAN[1], MEAN[2]), (STD[0], STD[1], STD[2])


def build_image(config: ImageConfig) -> nn.Module:
    """A new image tower."""
    return _kind(config, _IMAGE_KINDS)[1](config)


def build_text(config: TextTowerConfig) -> nn.Module:
    """A new text tower."""
    return _kind(config, _TEXT_KINDS)[1](config)


def to_json(config: ImageConfig | TextTowerConfig) -> dict[str, Any]:
    """The configuration as JSON; `from_json` reads it back."""
    kinds = {**_IMAGE_KINDS, **_TEXT_KINDS}
    return {"kind": _kind(config, kinds)[0], **asdict(config)}


def from_json(value: dict[str, Any]) -> Any:
    """The configuration that `to_json` wrote.

    Raises:
        ValueError: it is of no known kind.
    """
    kinds = {**_IMAGE_KINDS, **_TEXT_KINDS}
    if value.get("kind") not in kinds:
        raise ValueError(f"expected a tower of {', '.join(kinds)}, got {value.get('kind')!r}")
    plain = {name: tuple(x) if isinstance(x, list) else x for name, x in value.items()}
    return picked(kinds[value["kind"]][0], plain)


def _named(tower: Any, known: dict[str, Any], what: str) -> Any:
    if not isinstance(tower, str):
        return tower
    if tower not in known:
        raise ValueError(f"expected {what} to be {', '.join(known)} or a configuration, got {tower!r}")
    return known[tower]


def _kind(config: Any, kinds: dict[str, Any]) -> tuple[str, Callable[[Any], nn.Module]]:
    for name, (cls, build) in kinds.items():
        if type(config) is cls:
            return name, build
    raise ValueError(f"expected the configuration of a tower of {', '.join(kinds)}, got {config!r}")
