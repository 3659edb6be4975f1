"""FLIP: CLIP that sees half of each picture's patches, and so twice as many pictures in the same time.

Reference:
    Li, Fan, Hu, Feichtenhofer, He. "Scaling Language-Image Pre-training via Masking". CVPR 2023.
        arXiv:2212.00794v2
    Implements: Section 3: random patches left out after positions are added, other ones for each image, in
        training only; then a short tuning with all patches.
    Departs: the scale is clamped after the step and not inside the forward pass; as `clip` besides.
    Verified: without masking the weights are CLIP's to the bit; kept sets are uniform; multiply-adds counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from assay.core.run import Run
from assay.data.augment import uniforms
from assay.data.pairs import Pairs
from assay.image_text.captions import Inputs
from assay.image_text.clip_model import CLIPVisionConfig
from assay.image_text.contrast import LOG_SCALE_OF_SOFTMAX
from assay.image_text.model import ImageTextModel
from assay.image_text.ranks import softmax_loss_of_ranks
from assay.image_text.towers import ImageConfig, image_config
from assay.image_text.training import TwoTowers
from assay.images.vit import ViTConfig
from assay.train.seeding import seeded


@dataclass(frozen=True)
class Masked:
    """Images and which patches of each are seen; it is moved and split as a tensor is."""

    images: Tensor
    keep: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def to(self, *args: object, **kwargs: object) -> "Masked":
        """Both elsewhere; arguments as of `torch.Tensor.to`, and no dtype."""
        return Masked(*(t.to(*args, **kwargs) for t in (self.images, self.keep)))  # type: ignore

    def split(self, count: int) -> "Sequence[Masked]":
        """Parts of `count` images each."""
        return [Masked(*part) for part in zip(self.images.split(count), self.keep.split(count), strict=True)]


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

    def inputs(self, pairs: Pairs) -> Inputs:
        """What the image tower is given: images, and the patches that are seen while some are left out."""
        pictures, places = super().inputs(pairs), num_patches(image_config(self.image, self.side))

        def make(indices: np.ndarray, rng: np.random.Generator) -> Masked:
            images = pictures(indices, rng)
            return Masked(images, kept_patches(int(rng.integers(2**31)), indices, places, self.mask))

        return make

    def fit(self, pairs: Pairs, *, run: Run | None = None) -> ImageTextModel:
        """The fitted model."""
        run = run or Run()
        with seeded(run):
            module, tokenizer = self.towers(pairs, run, log_scale=LOG_SCALE_OF_SOFTMAX)

            def encode(shown: Masked, done: float) -> Tensor:
                whole = self.mask == 0 or done >= 1 - self.tuning
                return module.encode_image(shown.images, None if whole else shown.keep)

            def loss(images, texts, groups):
                return softmax_loss_of_ranks(images, texts, module.logit_scale, groups=groups)

            history, moments = self.contrast(
                module, tokenizer, pairs, self.inputs(pairs), loss, run, encode_image=encode
            )
            return self.fitted(module, tokenizer, pairs, history, moments)


def kept_patches(seed: int, items: np.ndarray, places: int, mask: float) -> Tensor:
    """The patches that are seen, int64 [items, int(places (1 - mask))]: a uniform draw for each image.

    Args:
        seed: of what is drawn.
        items: numbers of the images; what is drawn for one depends on no other, nor on the rank it is on.
        places: patches of an image.
        mask: share of them that is left out.
    """
    seen = max(1, int(places * (1 - mask)))
    return torch.from_numpy(uniforms(seed, 0, items, places).argsort(axis=1)[:, :seen])


def num_patches(config: ImageConfig) -> int:
    """How many patches an image has."""
    if isinstance(config, ViTConfig):
        rows, columns = config.grid
        return rows * columns
    assert isinstance(config, CLIPVisionConfig)
    return (config.image_size // config.patch_size) ** 2
