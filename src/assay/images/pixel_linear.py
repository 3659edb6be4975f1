"""Softmax regression on pixels: one linear layer, the least that is learned.

Reference:
    Cox. "The Regression Analysis of Binary Sequences". J. of the Royal Statistical Society B 20(2), 1958,
    with several classes.
    Verified: the gradient of the loss at the end, and scikit-learn's LogisticRegression at the same penalty.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.run import Run
from assay.data.labelled import LabelledImages
from assay.images.classifier import NetworkClassifier
from assay.images.preprocessing import Preprocessing
from assay.images.probe import linear_probe
from assay.nn.checkpoint import (
    NameTable,
    config_from_json,
    config_to_json,
    fill,
    read_config,
    read_tensors,
    write_checkpoint,
)
from assay.train.seeding import seeded

_TYPE = "assay-pixel-linear"
_TABLES = (NameTable((("classifier", "classifier"),)),)


@dataclass(frozen=True, kw_only=True)
class PixelLinearConfig:
    """Sizes: channels, height and width of an image, and classes."""

    shape: tuple[int, ...]
    num_classes: int


class PixelLinear(nn.Module):
    """One linear layer on all numbers of an image."""

    def __init__(self, config: PixelLinearConfig) -> None:
        super().__init__()
        self.config = config
        self.num_features = math.prod(config.shape)
        self.classifier = nn.Linear(self.num_features, config.num_classes)

    def embed(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        """The numbers themselves."""
        return images.flatten(1)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The logits of every class."""
        return self.classifier(self.embed(images))

    def save_pretrained(self, folder: Path | str, classes: Sequence[str] | None = None) -> None:
        """Writes config.json and model.safetensors."""
        dtype = self.classifier.weight.dtype
        config = config_to_json(
            self.config, family="PixelLinear", model_type=_TYPE, dtype=dtype, classes=classes
        )
        write_checkpoint(Path(folder), config, _TABLES[0].to_disk(self.state_dict()))

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """The layer of a folder that `save_pretrained` wrote.

        Raises:
            ValueError: the folder holds no such layer.
        """
        written = read_config(Path(folder))
        if written.get("model_type") != _TYPE:
            raise ValueError(f"{folder}: expected the model type {_TYPE}, got {written.get('model_type')!r}")
        model = cls(PixelLinearConfig(**config_from_json(written, PixelLinearConfig)))
        fill(model, read_tensors(Path(folder)), _TABLES, where=str(folder))
        return model.eval()


@dataclass(frozen=True, kw_only=True)
class PixelLinearClassifier:
    """Softmax regression on pixels.

    Args:
        penalties: of the squared weights, per image; the best on a fifth of the images is taken.
    """

    penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1)

    def __post_init__(self) -> None:
        if not self.penalties or not min(self.penalties) > 0:
            raise ValueError(f"expected penalties above 0, got {self.penalties}")

    def fit(self, data: LabelledImages, *, run: Run | None = None) -> NetworkClassifier:
        """The fitted classifier.

        Raises:
            ValueError: there are fewer than 2 images.
        """
        run = run or Run()
        preprocessing = Preprocessing.of(data)
        with seeded(run):
            x = preprocessing(torch.tensor(data.images))
            network = PixelLinear(PixelLinearConfig(shape=tuple(x.shape[1:]), num_classes=len(data.classes)))
            weight, bias = linear_probe(
                x.flatten(1),
                torch.tensor(data.labels),
                classes=len(data.classes),
                penalties=self.penalties,
                run=run,
            )
            with torch.no_grad():
                network.classifier.weight.copy_(weight)
                network.classifier.bias.copy_(bias)
        return NetworkClassifier(network, data.classes, preprocessing)
