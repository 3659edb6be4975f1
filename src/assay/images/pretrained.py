"""Classifiers that begin with EfficientNet-Lite0's weights of ImageNet: a linear probe, and fine-tuning.

The network has seen 1.3 million photographs with labels of 1,000 kinds. Its features tell other things apart
too, so that few labels are enough.

Reference:
    Kornblith, Shlens, Le. "Do Better ImageNet Models Transfer Better?". CVPR 2019. arXiv:1805.08974v3
    (the two protocols: logistic regression on fixed features, and fine-tuning).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from assay.core.run import Run
from assay.data.labelled import LabelledImages
from assay.images.classifier import NetworkClassifier
from assay.images.efficientnet_lite import MEAN, STD, EfficientNetLite0
from assay.images.preprocessing import Preprocessing
from assay.images.probe import linear_probe
from assay.images.training import check_settings, trained
from assay.train.optimizers import adamw
from assay.train.seeding import seeded

_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class EfficientNetProbe:
    """A linear layer on the features of the network as it is.

    Args:
        size: side in pixels to which images are scaled; the network was trained at 224.
        max_images: at most so many training images are looked at, as features are what costs; None for all.
        penalties: of the squared weights, per image; the best on a fifth of the images is taken.
    """

    size: int = 64
    max_images: int | None = 5_000
    penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1)

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ValueError(f"expected a size of at least 32, the network's stride, got {self.size}")
        if not self.penalties or not min(self.penalties) > 0:
            raise ValueError(f"expected penalties above 0, got {self.penalties}")
        if self.max_images is not None and self.max_images < 2:
            raise ValueError(f"expected max_images of at least 2, got {self.max_images}")

    def fit(self, data: LabelledImages, *, run: Run) -> NetworkClassifier:
        """The network with a fitted classifier.

        Raises:
            ValueError: there are fewer than 2 images.
            FetchError: the weights cannot be fetched.
        """
        if self.max_images is not None and self.max_images < len(data):
            chosen = run.rng("images").permutation(len(data))[: self.max_images]
            data = data.take(np.sort(chosen))
        with seeded(run):
            network = EfficientNetLite0(len(data.classes), pretrained=True).to(run.device).eval()
            classifier = network.classifier
            assert isinstance(classifier, nn.Linear)
            preprocessing = Preprocessing.of(data, size=self.size, statistics=(MEAN, STD))
            found = []
            with torch.no_grad():
                for first in range(0, len(data), _BATCH):
                    batch = torch.tensor(data.images[first : first + _BATCH]).to(run.device)
                    found.append(network.embed(preprocessing(batch)).cpu())
                    run.progress(min(1.0, (first + _BATCH) / len(data)) * 0.8, "features")
            weight, bias = linear_probe(
                torch.cat(found),
                torch.tensor(data.labels),
                classes=len(data.classes),
                penalties=self.penalties,
                run=run,
            )
            with torch.no_grad():
                classifier.weight.copy_(weight)
                classifier.bias.copy_(bias)
        return NetworkClassifier(network, data.classes, preprocessing)


@dataclass(frozen=True, kw_only=True)
class EfficientNetFineTune:
    """The whole network trained further, by AdamW, with the statistics of its normalisations kept.

    Args:
        size: side in pixels to which images are scaled; the network was trained at 224.
        examples: images seen in training, each counted as often as it is seen; a budget takes its place.
        batch_size: images per step.
        learning_rate: of AdamW.
        weight_decay: of tensors with two dimensions or more.
        drop_path_rate: in training, of the last block.
        shift: pixels by which an image is moved at most in training.
        flip: whether it is mirrored half of the time.
    """

    size: int = 64
    examples: int = 3_000
    batch_size: int = 64
    learning_rate: float = 0.001
    weight_decay: float = 0.01
    drop_path_rate: float = 0.0
    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        check_settings(
            self,
            positive=("examples", "batch_size", "learning_rate"),
            not_negative=("weight_decay", "shift", "drop_path_rate"),
        )
        if self.size < 32:
            raise ValueError(f"expected a size of at least 32, the network's stride, got {self.size}")

    def fit(self, data: LabelledImages, *, run: Run) -> NetworkClassifier:
        """The trained classifier.

        Raises:
            ValueError: there are fewer than 2 images.
            FetchError: the weights cannot be fetched.
        """
        with seeded(run):
            network = EfficientNetLite0(
                len(data.classes),
                pretrained=True,
                drop_path_rate=self.drop_path_rate,
                frozen_statistics=True,
            ).to(run.device)
            return trained(
                network,
                Preprocessing.of(data, size=self.size, statistics=(MEAN, STD)),
                data,
                run,
                optimizer=adamw(network, self.learning_rate, weight_decay=self.weight_decay),
                examples=self.examples,
                batch_size=self.batch_size,
                shift=self.shift,
                flip=self.flip,
            )
