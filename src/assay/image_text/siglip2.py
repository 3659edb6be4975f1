"""SigLIP 2's NaFlex: SigLIP on pictures of any proportions, cut into as many patches as fit a budget.

A tower for squares sees everything squeezed into one; here a wide picture is a wide grid of patches, and the
learned positions are stretched to it.

Reference:
    Tschannen, Gritsenko, Wang, Naeem, Alabdulmohsin, Parthasarathy, Evans, Beyer, Xia, Mustafa, Henaff,
        Harmsen, Steiner, Zhai. "SigLIP 2: Multilingual Vision-Language Encoders with Improved Semantic
        Understanding, Localization, and Dense Features". 2025. arXiv:2502.14786v1
    Implements: the sigmoid loss over all pairs; NaFlex (Section 2.4.2): native proportions, a budget of
        patches, positions resized to each grid, filling that nothing attends to; captions in several
        languages, if the pairs have them.
    Departs: trained so from the start and with one budget, where the paper adapts a model of fixed size late
        and draws a budget for each batch; parts of the pictures are drawn, of other proportions; small
        towers and Muon, as `clip`.
    Omits: what the paper adds to SigLIP's loss: a decoder that captions and localises; self-distillation of
        parts to the whole by a teacher that is a running mean; prediction of masked patches. The distillation
        of small models by selected data, and the filters against bias in it.
    Verified: see `siglip2_model` (architecture), `processor` (patches) and `contrast` (loss).
"""

from dataclasses import dataclass

import numpy as np

from assay.data.augment import random_jitter, uniforms
from assay.data.pairs import Pairs
from assay.image_text.captions import Inputs
from assay.image_text.pictures import Originals
from assay.image_text.processor import NaFlexProcessor
from assay.image_text.siglip import SigLIP
from assay.image_text.siglip2_model import Patches, SigLIP2VisionConfig
from assay.image_text.towers import ImageConfig, image_config

_SHARE, _STRETCH, _COLOUR = (0.7, 1.0), (0.85, 1.18), 0.3  # As of `assay.data.augment.emoji_recipe`.


@dataclass(frozen=True, kw_only=True)
class SigLIP2(SigLIP):
    """Two towers trained by the sigmoid loss, the image tower on patches of pictures of any proportions.

    Args:
        image: naflex, or its configuration.
        size: is not given; pictures keep their proportions.
        max_num_patches: of a picture, which is scaled so that it has about as many and no more.
    """

    image: str | ImageConfig = "naflex"
    examples: int = 60_000
    learning_rate: float = 0.02
    max_num_patches: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(image_config(self.image, self.side), SigLIP2VisionConfig):
            raise ValueError(f"expected an image tower for pictures of any proportions, got {self.image!r}")
        if self.size is not None:
            raise ValueError(f"expected no size, as pictures keep their proportions, got {self.size}")
        if self.max_num_patches < 1:
            raise ValueError(f"expected max_num_patches above 0, got {self.max_num_patches}")

    @property
    def processor(self) -> NaFlexProcessor:
        """How images are cut into patches."""
        config = image_config(self.image, self.side)
        assert isinstance(config, SigLIP2VisionConfig)
        return NaFlexProcessor(patch_size=config.patch_size, max_num_patches=self.max_num_patches)

    def inputs(self, pairs: Pairs) -> Inputs:
        """What the image tower is given: patches, of changed parts of pictures if `augment` asks for it."""
        originals, processor = Originals(pairs), self.processor

        def make(indices: np.ndarray, rng: np.random.Generator) -> Patches:
            shown = originals(indices)
            if self.augment:
                shown = changed(shown, int(rng.integers(2**31)), indices)
            return Patches.of(*processor(shown))

        return make


def changed(pictures: list[np.ndarray], seed: int, items: np.ndarray) -> list[np.ndarray]:
    """A part of each picture, of slightly other proportions and colours, drawn by seed and item.

    Args:
        pictures: uint8 [height, width, 3], of any sizes.
        seed: of what is drawn.
        items: numbers of the pictures; what is drawn for one depends on no other.
    """
    draws = uniforms(seed, 0, items, 4)
    share = _SHARE[0] + draws[:, 0] * (_SHARE[1] - _SHARE[0])
    stretch = np.exp(np.log(_STRETCH[0]) + draws[:, 1] * np.log(_STRETCH[1] / _STRETCH[0]))
    found = []
    for i, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        tall = min(height, max(1, round(height * (share[i] / stretch[i]) ** 0.5)))
        wide = min(width, max(1, round(width * (share[i] * stretch[i]) ** 0.5)))
        top, left = int(draws[i, 2] * (height - tall + 1)), int(draws[i, 3] * (width - wide + 1))
        part = picture[None, top : top + tall, left : left + wide]
        found.append(random_jitter(part, seed, 0, items[i : i + 1], strength=_COLOUR)[0])
    return found
