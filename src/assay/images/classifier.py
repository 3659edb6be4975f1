"""What every fitted image classifier offers: probabilities, classes of new pictures, saving and loading."""

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from assay.core.files import write_json
from assay.core.method import locate
from assay.images.findings import Findings
from assay.images.preprocessing import Preprocessing
from assay.train.moments import Moment

FAMILIES = {
    "network": "assay.images.classifier:NetworkClassifier",
    "pixel-neighbours": "assay.images.pixel_neighbours:PixelNeighboursModel",
}
"""What a saved classifier may be."""

NETWORKS = {
    "ResNet": "assay.images.resnet:ResNet",
    "ViT": "assay.images.vit:ViT",
    "Swin": "assay.images.swin:Swin",
    "EfficientNetLite0": "assay.images.efficientnet_lite:EfficientNetLite0",
    "PixelLinear": "assay.images.pixel_linear:PixelLinear",
    "TransformersResNet": "assay.images.peers:TransformersResNet",
}
"""The networks that a `NetworkClassifier` may have, by the names of their classes."""

_BATCH = 256
_FILE = "classifier.json"


class ImageClassifier(ABC):
    """Pictures in, probabilities of classes out.

    Args:
        classes: their names.
        preprocessing: what pictures go through first.
    """

    family: ClassVar[str]

    def __init__(self, classes: Sequence[str], preprocessing: Preprocessing) -> None:
        self.classes, self.preprocessing = tuple(classes), preprocessing
        self.findings: Findings | None = None

    @abstractmethod
    def log_probs(
        self, images: UInt8[np.ndarray, "images height width *channels"]
    ) -> Float[np.ndarray, "images classes"]:
        """log p of every class for pictures of the size and the channels of those learned from."""

    def on(self, device: str) -> Self:
        """The same classifier, which from now on computes on a device if it can."""
        return self

    @property
    def classes_(self) -> Any:
        """The names of the classes, in the order of `predict_proba`."""
        return np.array(self.classes)

    def predict_proba(self, source: Any) -> Float[np.ndarray, "images classes"]:
        """The probability of every class for each picture of `source`; see `Preprocessing.pictures`."""
        return np.exp(self.log_probs(self.preprocessing.pictures(source)))

    def predict(self, source: Any) -> list[str]:
        """The most probable class of each picture of `source`; see `Preprocessing.pictures`."""
        return [self.classes[i] for i in self.predict_proba(source).argmax(1)]

    def save(self, folder: Path) -> None:
        """Writes the model into `folder`."""
        write_json(folder / _FILE, {"family": self.family, "classes": list(self.classes)} | self._facts())
        self.preprocessing.save(folder)
        self._save(folder)
        if self.findings is not None:
            self.findings.save(folder)

    @abstractmethod
    def _facts(self) -> dict[str, Any]:
        """What `_load` needs to know beforehand."""

    @abstractmethod
    def _save(self, folder: Path) -> None:
        """Writes what was learned."""

    @classmethod
    @abstractmethod
    def _load(
        cls, folder: Path, classes: Sequence[str], preprocessing: Preprocessing, facts: dict[str, Any]
    ) -> Self:
        """The model whose files are in `folder`."""

    @staticmethod
    def load(folder: Path) -> "ImageClassifier":
        """The model that `save` wrote.

        Raises:
            ValueError: the folder holds no such model.
        """
        try:
            facts = json.loads((folder / _FILE).read_text("utf-8"))
            cls = locate(FAMILIES[facts["family"]])
            classes = facts["classes"]
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(f"{folder}: expected an image classifier, got {error!r}") from None
        model = cls._load(folder, classes, Preprocessing.load(folder), facts)
        model.findings = Findings.load(folder)
        return model


class NetworkClassifier(ImageClassifier):
    """A network that gives logits.

    Args:
        network: one of `NETWORKS`.
        classes: their names.
        preprocessing: what pictures go through first.
        history: the network now and then while it was trained; not saved.
    """

    family = "network"

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        preprocessing: Preprocessing,
        history: Sequence[Moment] = (),
    ) -> None:
        super().__init__(classes, preprocessing)
        self.network, self.history = network.eval(), tuple(history)

    def log_probs(
        self, images: UInt8[np.ndarray, "images height width *channels"]
    ) -> Float[np.ndarray, "images classes"]:
        """log p of every class for pictures of the size and the channels of those learned from."""
        found = [np.zeros((0, len(self.classes)))]
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            for first in range(0, len(images), _BATCH):
                batch = torch.from_numpy(np.array(images[first : first + _BATCH])).to(device)
                logits = self.network(self.preprocessing(batch))
                found.append(logits.double().log_softmax(1).cpu().numpy())
        return np.concatenate(found)

    def at(self, moment: Moment) -> "NetworkClassifier":
        """The classifier as it was then."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(moment.weights, strict=False)  # What is frozen is not in it.
        return NetworkClassifier(network, self.classes, self.preprocessing)

    def on(self, device: str) -> Self:
        """The same classifier, whose network is moved to a device."""
        self.network.to(device)
        return self

    def _facts(self) -> dict[str, Any]:
        return {"network": type(self.network).__name__}

    def _save(self, folder: Path) -> None:
        save: Any = self.network.save_pretrained
        save(folder, self.classes)

    @classmethod
    def _load(
        cls, folder: Path, classes: Sequence[str], preprocessing: Preprocessing, facts: dict[str, Any]
    ) -> Self:
        kind = locate(NETWORKS[facts["network"]])
        return cls(kind.from_pretrained(folder), classes, preprocessing)
