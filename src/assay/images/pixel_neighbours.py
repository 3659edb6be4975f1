"""Nearest neighbours among pixels: a picture is what the training pictures that look most like it are.

Nothing is learned; it is the floor that a network has to beat.

Reference:
    Cover, Hart. "Nearest Neighbor Pattern Classification". IEEE Trans. Information Theory 13(1), 1967.
    Wu, Xiong, Yu, Lin. "Unsupervised Feature Learning via Non-Parametric Instance Discrimination". CVPR 2018.
    arXiv:1805.01978v1
    Implements: votes weighted by exp(similarity / temperature) of the latter, Sec. 3.4, over cosines of
        standardised pixels in place of learned features.
    Departs: one vote more is shared by all classes, so that no class is impossible.
    Verified: loops over single pictures, 1e-6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from assay.core.run import Run
from assay.data.labelled import LabelledImages
from assay.images.classifier import ImageClassifier
from assay.images.preprocessing import Preprocessing

_BATCH = 512
_FILE = "pictures.safetensors"


def votes(
    similarity: Float[Tensor, "queries pictures"],
    labels: Int[Tensor, " pictures"],
    *,
    classes: int,
    neighbours: int,
    temperature: float,
) -> Float[Tensor, "queries classes"]:
    """The probability of every class by the votes of the most similar pictures.

    Args:
        similarity: in [-1, 1].
        labels: of the pictures.
        classes: how many there are.
        neighbours: how many pictures vote, at most all.
        temperature: above 0; a picture's vote is exp(similarity / temperature).
    """
    best, which = similarity.topk(min(neighbours, similarity.shape[1]), dim=1)
    weight = ((best - best[:, :1]) / temperature).exp()
    counted = similarity.new_zeros(len(similarity), classes).scatter_add_(1, labels[which], weight)
    average = weight.mean(1, keepdim=True)  # The vote that all classes share.
    return (counted + average / classes) / (weight.sum(1, keepdim=True) + average)


class PixelNeighboursModel(ImageClassifier):
    """The training pictures themselves.

    Args:
        pictures: uint8.
        labels: their classes.
        classes: names of the classes.
        preprocessing: standardises pixels.
        neighbours, temperature: see `votes`.
    """

    family = "pixel-neighbours"

    def __init__(
        self,
        pictures: UInt8[np.ndarray, "pictures height width *channels"],
        labels: Int[np.ndarray, " pictures"],
        classes: Sequence[str],
        preprocessing: Preprocessing,
        *,
        neighbours: int,
        temperature: float,
    ) -> None:
        super().__init__(classes, preprocessing)
        self.pictures, self.labels = pictures, labels
        self.neighbours, self.temperature = neighbours, temperature

    def log_probs(
        self, images: UInt8[np.ndarray, "images height width *channels"]
    ) -> Float[np.ndarray, "images classes"]:
        """log p of every class for pictures of the size and the channels of those learned from."""
        known, labels = self._unit(self.pictures), torch.tensor(self.labels)
        found = [np.zeros((0, len(self.classes)))]
        for first in range(0, len(images), _BATCH):
            similarity = self._unit(images[first : first + _BATCH]) @ known.T
            probability = votes(
                similarity,
                labels,
                classes=len(self.classes),
                neighbours=self.neighbours,
                temperature=self.temperature,
            )
            found.append(probability.double().log().numpy())
        return np.concatenate(found)

    def _unit(self, images: np.ndarray) -> Tensor:
        return torch.nn.functional.normalize(self.preprocessing(torch.tensor(images)).flatten(1), dim=1)

    def _facts(self) -> dict[str, Any]:
        return {"neighbours": self.neighbours, "temperature": self.temperature}

    def _save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        pictures = np.ascontiguousarray(self.pictures)
        save_file({"pictures": pictures, "labels": np.ascontiguousarray(self.labels)}, folder / _FILE)

    @classmethod
    def _load(
        cls, folder: Path, classes: Sequence[str], preprocessing: Preprocessing, facts: dict[str, Any]
    ) -> Self:
        from safetensors.numpy import load_file

        arrays = load_file(folder / _FILE)
        numbers = {name: facts[name] for name in ("neighbours", "temperature")}
        return cls(arrays["pictures"], arrays["labels"], classes, preprocessing, **numbers)


@dataclass(frozen=True, kw_only=True)
class PixelNeighbours:
    """Nearest neighbours among pixels.

    Args:
        neighbours: how many pictures vote.
        temperature: a picture's vote is exp(cosine / temperature).
    """

    neighbours: int = 20
    temperature: float = 0.07

    def __post_init__(self) -> None:
        if self.neighbours < 1 or not self.temperature > 0:
            raise ValueError(f"expected neighbours of at least 1 and a temperature above 0, got {self}")

    def fit(self, data: LabelledImages, *, run: Run | None = None) -> PixelNeighboursModel:
        """The training pictures, kept.

        Raises:
            ValueError: there is none.
        """
        if not len(data):
            raise ValueError(f"{data.name}: expected at least 1 image to compare with, got none")
        return PixelNeighboursModel(
            np.array(data.images),
            np.array(data.labels),
            data.classes,
            Preprocessing.of(data),
            neighbours=self.neighbours,
            temperature=self.temperature,
        )
