"""EfficientNet, probed: one linear layer on what a network has learnt to see in ImageNet.

The network has seen 1.3 million photographs with labels of 1,000 kinds. Its features tell other things apart
too, so that few labels are enough. Nothing of it is trained.

Reference:
    Kornblith, Shlens, Le. "Do Better ImageNet Models Transfer Better?". CVPR 2019. arXiv:1805.08974v3
    (logistic regression on fixed features).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from assay.core.run import Run
from assay.data.labelled import LabelledImages
from assay.images.classifier import NetworkClassifier
from assay.images.efficientnet_lite import MEAN, STD, EfficientNetLite0, check_size
from assay.images.preprocessing import Preprocessing
from assay.images.probe import linear_probe
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
        check_size(self.size)
        if not self.penalties or not min(self.penalties) > 0:
            raise ValueError(f"expected penalties above 0, got {self.penalties}")
        if self.max_images is not None and self.max_images < 2:
            raise ValueError(f"expected max_images of at least 2, got {self.max_images}")

    def fit(self, data: LabelledImages, *, run: Run | None = None) -> NetworkClassifier:
        """The network with a fitted classifier.

        Raises:
            ValueError: there are fewer than 2 images.
            FetchError: the weights cannot be fetched.
        """
        run = run or Run()
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
