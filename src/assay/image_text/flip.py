"""FLIP: CLIP that sees half of each picture's patches, and so twice as many pictures in the same time.

Reference:
    Li, Fan, Hu, Feichtenhofer, He. "Scaling Language-Image Pre-training via Masking". CVPR 2023.
        arXiv:2212.00794v2
    Implements: Section 3: random patches left out after positions are added, other ones for each image, in
        training only; then a short tuning with all patches.
    Departs: the scale is clamped after the step and not inside the forward pass; as `clip` besides.
    Verified: without masking the weights are CLIP's to the bit; kept sets are uniform; multiply-adds counted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.clip_model import CLIPVisionConfig
from assay.image_text.contrast import LOG_SCALE_OF_SOFTMAX
from assay.image_text.model import ImageTextModel
from assay.image_text.ranks import softmax_loss_of_ranks
from assay.image_text.towers import ImageConfig, image_config
from assay.image_text.training import TwoTowers
from assay.images.vit import ViTConfig
from assay.train.seeding import seeded


@dataclass(frozen=True, kw_only=True)
class FLIP(TwoTowers):
    """CLIP with masked images.

    Args:
        image: a vision transformer.
        mask: share of the patches left out, in [0, 1).
        tuning: share of the training, its end, that sees all patches.
    """

    image: str | ImageConfig = "vit"
    examples: int = 50_000
    learning_rate: float = 0.02
    mask: float = 0.5
    tuning: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mask", "tuning"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"expected {name} in [0, 1), got {getattr(self, name)}")
        if not isinstance(image_config(self.image, self.side), CLIPVisionConfig | ViTConfig):
            raise ValueError(
                f"expected a vision transformer, whose patches can be left out, got {self.image!r}"
            )

    def fit(self, pairs: Pairs, *, run: Run) -> ImageTextModel:
        """The fitted model."""
        with seeded(run):
            module, tokenizer = self.towers(pairs, run, log_scale=LOG_SCALE_OF_SOFTMAX)
            places = num_patches(image_config(self.image, self.side))

            def encode(images: Tensor, done: float) -> Tensor:
                if self.mask == 0 or done >= 1 - self.tuning:
                    return module.encode_image(images)
                keep = kept_patches(len(images), places, self.mask, images.device)
                return module.encode_image(images, keep)

            def loss(images, texts, groups):
                return softmax_loss_of_ranks(images, texts, module.logit_scale, groups=groups)

            history, moments = self.contrast(
                module, tokenizer, pairs, self.inputs(pairs), loss, run, encode_image=encode
            )
            return self.fitted(module, tokenizer, pairs, history, moments)


def kept_patches(count: int, places: int, mask: float, device: torch.device | str = "cpu") -> Tensor:
    """The patches that are seen, int64 [count, int(places (1 - mask))]: a uniform draw for each image."""
    seen = max(1, int(places * (1 - mask)))
    return torch.rand(count, places, device=device).argsort(dim=1)[:, :seen]


def num_patches(config: ImageConfig) -> int:
    """How many patches an image has."""
    if isinstance(config, ViTConfig):
        rows, columns = config.grid
        return rows * columns
    assert isinstance(config, CLIPVisionConfig)
    return (config.image_size // config.patch_size) ** 2
