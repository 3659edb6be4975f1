"""transformers' ResNet, trained by the same loop: what the field's own code does with these images."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from jaxtyping import Float
from torch import Tensor, nn

from assay.data.labelled import LabelledImages
from assay.images.training import NetworkMethod


class TransformersResNet(nn.Module):
    """A `ResNetForImageClassification` that gives bare logits.

    Args:
        model: an instance of that class.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The logits of every class."""
        return self.model(images).logits

    def save_pretrained(self, folder: Path | str, classes: Sequence[str] | None = None) -> None:
        """Writes config.json and model.safetensors, as transformers does."""
        if classes is not None:
            self.model.config.id2label = dict(enumerate(classes))
            self.model.config.label2id = {name: i for i, name in enumerate(classes)}
        self.model.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """The network of a folder that `save_pretrained` wrote."""
        transformers: Any = importlib.import_module("transformers")
        return cls(transformers.ResNetForImageClassification.from_pretrained(folder).eval())


@dataclass(frozen=True, kw_only=True)
class TransformersResNetClassifier(NetworkMethod):
    """transformers' ResNet of three stages, whose stem has stride 4.

    Args:
        depths: blocks of the stages.
        width: channels of the first stage; the second has twice and the third four times as many.
    """

    libraries: ClassVar[tuple[str, ...]] = ("transformers",)

    depths: tuple[int, ...] = (1, 1, 1)
    width: int = 32

    def network(self, data: LabelledImages) -> nn.Module:
        """The network before training."""
        transformers: Any = importlib.import_module("transformers")
        config = transformers.ResNetConfig(
            num_channels=1 if data.images.ndim == 3 else 3,
            embedding_size=self.width,
            hidden_sizes=[self.width * 2**i for i in range(len(self.depths))],
            depths=list(self.depths),
            layer_type="basic",
            num_labels=len(data.classes),
        )
        return TransformersResNet(transformers.ResNetForImageClassification(config))
