"""The experiments of the wing's claims: the same network with and without what a paper says is needed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from assay.core.run import Run, Scale
from assay.data.labelled import LabelledImages
from assay.images.contract import ImageData, split
from assay.images.from_scratch import SwinClassifier, ViTClassifier
from assay.images.metrics import log_loss, top_k_accuracy
from assay.images.preprocessing import Preprocessing
from assay.images.resnet import ResNet, ResNetConfig
from assay.images.swin import Swin, SwinBlock
from assay.images.task import task
from assay.images.training import trained
from assay.images.vit import ViT
from assay.train.seeding import seeded

_RESIDUAL_EXAMPLES, _RESIDUAL_TRAIN = 12_800, 6_400
_FEW = 0.05
_PAIRED = ("trouser", "bag", "ankle boot")
_PAIRS, _PAIR_TESTS, _PAIR_EXAMPLES = 8_000, 2_000, 32_000


def depths(seed: int, scale: Scale) -> Mapping[str, float]:
    """The training loss, with its sign turned, of plain and residual nets of 8 and 44 layers, by SGD."""
    smoke = scale == "smoke"
    data = replace(task.load("fashion-mnist", scale=scale), max_train=60 if smoke else _RESIDUAL_TRAIN)
    train, _ = split(data, seed)
    found = {}
    for depth in (8, 14 if smoke else 44):
        for name, shortcut in (("plain", "none"), ("residual", "padding")):
            run = Run(seed=seed, scale=scale)
            with seeded(run):
                network = ResNet(ResNetConfig.cifar(depth, width=8, num_channels=1, shortcut=shortcut))
                model = trained(
                    network,
                    Preprocessing.of(train),
                    train,
                    run,
                    optimizer=torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4),
                    examples=120 if smoke else _RESIDUAL_EXAMPLES,
                    batch_size=64,
                    shift=0,
                    flip=False,
                )
                loss = log_loss(model.log_probs(train.images), train.labels)
            found[f"{name}, {'shallow' if depth == 8 else 'deep'}"] = -loss
    return found


def few_labels(seed: int, scale: Scale) -> Mapping[str, float]:
    """The accuracy of a pretrained probe and of a net from scratch, with few labels and with all of them."""
    data = task.load("emoji", scale=scale)
    found = {}
    for share, told in ((_FEW, "few"), (1.0, "all")):
        asked: ImageData = replace(data, labels=share)
        train, test = split(asked, seed)
        arms = {"probe": ("efficientnet-probe", {"max_images": None}), "scratch": ("resnet", {})}
        for name, (method, settings) in arms.items():
            run = Run(seed=seed, scale=scale)
            model = task.fit(task.method(method, asked, settings, scale), train, run)
            found[f"{name}, {told} labels"] = task.score(task.predict(model, test, run), test)["accuracy"]
        found[f"advantage, {told} labels"] = found[f"probe, {told} labels"] - found[f"scratch, {told} labels"]
    return found


class WithoutPositions(ViTClassifier):
    """A vision transformer that sees its patches as a set."""

    def network(self, data: LabelledImages) -> nn.Module:
        """The network, its table of positions held at zero."""
        network = super().network(data)
        assert isinstance(network, ViT)
        nn.init.zeros_(network.position_embeddings.requires_grad_(False))
        return network


class WithoutShift(SwinClassifier):
    """A Swin transformer whose windows stay where they are."""

    def network(self, data: LabelledImages) -> nn.Module:
        """The network with the shift of every block at zero."""
        network = super().network(data)
        assert isinstance(network, Swin)
        for block in network.modules():
            if isinstance(block, SwinBlock):
                block.shift = 0
        return network


def positions(seed: int, scale: Scale) -> Mapping[str, float]:
    """The accuracy of a vision transformer with and without its table of positions."""
    data = task.load("fashion-mnist", scale=scale)
    train, test = split(data, seed)
    found = {}
    for name, method in (("positions", ViTClassifier), ("none", WithoutPositions)):
        run = Run(seed=seed, scale=scale)
        model = task.fit(method(**_quick(scale)), train, run)
        found[name] = task.score(task.predict(model, test, run), test)["accuracy"]
    return found


def shifts(seed: int, scale: Scale) -> Mapping[str, float]:
    """The accuracy of one stage of Swin, with and without the shift, at telling pairs from mixed pairs.

    A pair stands in two windows side by side. Without the shift no token ever sees both, and the mean over
    tokens adds what each window says; a sum cannot tell whether two kinds are the same.
    """
    count, tests = (80, 20) if scale == "smoke" else (_PAIRS, _PAIR_TESTS)
    source = task.load("fashion-mnist", scale=scale).pool
    rng = np.random.default_rng([seed, 1])
    assert source.test is not None
    train = pairs_of(source.take(~source.test), count, rng)
    test = pairs_of(source.take(source.test), tests, rng)
    found = {}
    for name, method in (("shifted", SwinClassifier), ("fixed", WithoutShift)):
        run = Run(seed=seed, scale=scale)
        settings = {"depths": (4,), "num_heads": (2,), "examples": _PAIR_EXAMPLES} | _quick(scale)
        model = method(**settings).fit(train, run=run)
        found[name] = top_k_accuracy(model.log_probs(test.images), test.labels)
    return found


def pairs_of(source: LabelledImages, count: int, rng: np.random.Generator) -> LabelledImages:
    """Two pictures side by side, both of one kind of clothing or of two kinds, half of the time each.

    Args:
        source: Fashion-MNIST, of which three kinds are taken.
        count: pairs, of 32 x 32 pixels with a picture of 16 x 16 in the upper left and the upper right.
        rng: draws them.
    """
    kinds = [np.flatnonzero(source.labels == source.classes.index(name)) for name in _PAIRED]
    padded = np.pad(source.images, ((0, 0), (2, 2), (2, 2))).astype(np.float32)
    small = padded.reshape(len(padded), 16, 2, 16, 2).mean((2, 4)).round().astype(np.uint8)
    images, labels = np.zeros((count, 32, 32), np.uint8), np.arange(count) % 2
    for image, same in zip(images, labels, strict=True):
        left = rng.integers(len(kinds))
        right = left if same else (left + rng.integers(1, len(kinds))) % len(kinds)
        image[:16, :16] = small[rng.choice(kinds[left])]
        image[:16, 16:] = small[rng.choice(kinds[right])]
    return LabelledImages(images=images, labels=labels, classes=("different", "same"), name="pairs")


def _quick(scale: Scale) -> dict[str, Any]:
    return {"examples": 120, "batch_size": 20} if scale == "smoke" else {}
