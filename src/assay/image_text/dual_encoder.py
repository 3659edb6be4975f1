"""Two towers and what brings their features into one space; the scale and the bias of the logits."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.image_text.contrast import LARGEST_LOG_SCALE
from assay.image_text.siglip2_model import Patches
from assay.image_text.towers import (
    ImageConfig,
    TextTowerConfig,
    build_image,
    build_text,
    from_json,
    to_json,
)


@dataclass(frozen=True, kw_only=True)
class DualConfig:
    """Both towers and the size of the common space.

    Args:
        image, text: configurations of the towers.
        dim: of the common space.
        log_scale: logarithm of the scale at the start.
        bias: of the logits at the start; None for logits without one.
        standardise: image features are brought to mean 0 and deviation 1 before they are projected, as is
            good for those of a tower that is not trained.
        dropout: share of the image features left out in training.
    """

    image: ImageConfig
    text: TextTowerConfig
    dim: int
    log_scale: float
    bias: float | None = None
    standardise: bool = False
    dropout: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON."""
        plain = {name: getattr(self, name) for name in ("dim", "log_scale", "bias", "standardise", "dropout")}
        return {"image": to_json(self.image), "text": to_json(self.text), **plain}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "DualConfig":
        """The configuration that `to_json` wrote."""
        return cls(**{**value, "image": from_json(value["image"]), "text": from_json(value["text"])})


class Projection(nn.Module):
    """Features, standardised where that is wanted, times a matrix.

    Args:
        features: how many there are.
        dim: how many come out.
        standardise: whether a mean is subtracted and a deviation divided by.
        dropout: share of the features left out in training.
    """

    def __init__(self, features: int, dim: int, *, standardise: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim, features) * features**-0.5)
        self.dropout = dropout
        self.standardise = standardise
        self.mean = nn.Buffer(torch.zeros(features), persistent=standardise)
        self.deviation = nn.Buffer(torch.ones(features), persistent=standardise)

    def measure(self, features: Float[Tensor, "count features"]) -> None:
        """Takes mean and deviation from these features, if any are wanted."""
        if self.standardise:
            self.mean.copy_(features.mean(dim=0))
            self.deviation.copy_(features.std(dim=0, correction=0).clamp_min(1e-6))

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch dim"]:
        """The projected features."""
        if self.standardise:
            x = (x - self.mean) / self.deviation
        x = nn.functional.dropout(x, self.dropout, self.training)
        return nn.functional.linear(x, self.weight)


class DualEncoder(nn.Module):
    """Images and texts to features in one space.

    Args:
        config: towers and sizes.
    """

    logit_bias: nn.Parameter | None

    def __init__(self, config: DualConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model: Any = build_image(config.image)
        self.text_model: Any = build_text(config.text)
        self.visual_projection = Projection(
            self.vision_model.num_features,
            config.dim,
            standardise=config.standardise,
            dropout=config.dropout,
        )
        self.text_projection = Projection(self.text_model.num_features, config.dim)
        self.logit_scale = nn.Parameter(torch.tensor(config.log_scale))
        if config.bias is None:
            self.register_parameter("logit_bias", None)
        else:
            self.logit_bias = nn.Parameter(torch.tensor(config.bias))
        self.locked = self.steady = False

    def lock(self) -> None:
        """Freezes the image tower: neither weights nor running statistics change any more."""
        self.locked = True
        self.vision_model.requires_grad_(False)
        self.train(self.training)

    def keep_statistics(self) -> None:
        """Lets the image tower learn, but normalise by the running statistics it came with, as when asked."""
        self.steady = True
        self.train(self.training)

    def train(self, mode: bool = True) -> "DualEncoder":
        """As of any module, except that an image tower that is locked or steady stays in evaluation."""
        super().train(mode)
        if self.locked or self.steady:
            self.vision_model.train(False)
        return self

    def encode_image(
        self, images: Tensor | Patches, keep: Tensor | None = None
    ) -> Float[Tensor, "batch dim"]:
        """Images in the common space, of any length; `keep` as in `CLIPVision.embed`."""
        return self.visual_projection(self.image_states(images, keep))

    def image_states(
        self, images: Tensor | Patches, keep: Tensor | None = None
    ) -> Float[Tensor, "batch features"]:
        """What the image tower says, before the projection; without a graph if it is locked."""
        arguments = (images,) if keep is None else (images, keep)
        if not self.locked:
            return self.vision_model.embed(*arguments)
        with torch.no_grad():
            return self.vision_model.embed(*arguments)

    def encode_text(self, tokens: Tensor) -> Float[Tensor, "batch dim"]:
        """Texts in the common space, of any length."""
        return self.text_projection(self.text_model(tokens))


@torch.no_grad()
def clamp_scale(module: nn.Module) -> None:
    """Brings the scale of the logits back to [1, 100], after the step, so that it goes on learning."""
    module.logit_scale.clamp_(0, LARGEST_LOG_SCALE)  # type: ignore[union-attr,operator]
