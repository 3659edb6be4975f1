"""CatLIP: the image tower learns to name the nouns of the captions, and only then meets a text tower.

Classification needs no text tower and no large batch, so that pre-training is faster; what the tower has
learnt is carried over by its weights, and its classifier by the names of its rows.

Reference:
    Mehta, Horton, Faghri, Sekhavat, Najibi, Farajtabar, Tuzel, Rastegari. "CatLIP: CLIP-level Visual
        Recognition Accuracy with 2.7x Faster Pre-training on Web-scale Image-Text Data". 2024.
        arXiv:2404.15653v1
    Implements: Section 3: classes from captions, the most frequent ones; binary cross-entropy summed over the
        classes; a new classifier from the rows of matching nouns (Section 3.4).
    Departs: the text tower is then trained for the locked image tower, as in `lit`, since the question here
        is one of texts; nouns are words by a rule of thumb, where the paper asks WordNet; features are
        standardised before they are classified; no multi-scale batches.
    Verified: loops (loss), hand captions (labels), rows by name.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.method import locate
from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.captions import PairBatches
from assay.image_text.contrast import LOG_SCALE_OF_SOFTMAX
from assay.image_text.lit import LiT
from assay.image_text.model import ImageTextModel
from assay.image_text.nouns import Extract, targets, vocabulary
from assay.image_text.towers import ImageConfig, TextTowerConfig, build_image, image_config
from assay.train.history import History
from assay.train.loop import train
from assay.train.optimizers import muon
from assay.train.schedule import cosine
from assay.train.seeding import seeded


def multi_label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, summed over the classes and averaged over the images.

    Args:
        logits: [images, classes].
        targets: 1 where an image's captions name a class, else 0; of the same shape.
    """
    summed = nn.functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="sum")
    return summed / len(logits)


def start_bias(shares: np.ndarray) -> Tensor:
    """The classifier's bias with which every class is predicted as often as it occurs.

    Starting at 0 the first loss would be log 2 for each of all the classes that an image does not show.

    Args:
        shares: of the images that show each class, in [0, 1].
    """
    clipped = torch.from_numpy(np.clip(shares, 1e-6, 1 - 1e-6)).float()
    return clipped.log() - (-clipped).log1p()


class NounClassifier(nn.Linear):
    """Logits of classes from features, which are standardised within each image.

    A pooled ResNet's features are all positive. Nearly every class is absent from nearly every image, so that
    the rows' first steps all lower all logits, and the features follow: they shrink to nothing before the
    classes differ. What is left after their mean is taken away cannot serve for that.

    Args:
        features: how many there are.
        shares: of the images that show each class; every class starts as likely as it is.
    """

    def __init__(self, features: int, shares: np.ndarray) -> None:
        super().__init__(features, len(shares))
        nn.init.zeros_(self.weight)
        with torch.no_grad():
            self.bias.copy_(start_bias(shares))

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """The logits."""
        return super().forward(nn.functional.layer_norm(x, (self.in_features,)))


@dataclass(eq=False)
class NounTower:
    """A pre-trained image tower and its classifier.

    Args:
        tower: images to features.
        classifier: features to logits.
        names: of the classes.
        history: of the training.
        without: pairs whose captions name no class.
    """

    tower: Any
    classifier: NounClassifier
    names: list[str]
    history: History
    without: int

    def rows(self, names: Sequence[str]) -> tuple[Tensor, Tensor, list[str]]:
        """Weights and biases of a `NounClassifier` for other classes, and the names that had no row.

        A class that is known by its name starts from its row, any other from zeros and the mean bias.

        Args:
            names: of the classes.
        """
        number = {name: i for i, name in enumerate(self.names)}
        weight = torch.zeros(len(names), self.classifier.in_features)
        bias = self.classifier.bias.detach().mean().expand(len(names)).clone()
        missing = []
        for i, name in enumerate(names):
            if name in number:
                weight[i] = self.classifier.weight.detach()[number[name]]
                bias[i] = self.classifier.bias.detach()[number[name]]
            else:
                missing.append(name)
        return weight, bias, missing


@dataclass(frozen=True, kw_only=True)
class CatLIP(LiT):
    """An image tower pre-trained on nouns, and a text tower trained for it.

    Args:
        image, text: towers without weights.
        pretraining: pictures seen while the image tower learns nouns.
        pretraining_batch_size: pictures of a step then.
        nouns: "package.module:function" or a function, from a caption to the classes that it names.
        max_classes: the most frequent ones that are kept.
    """

    image: str | ImageConfig = "resnet"
    text: str | TextTowerConfig = "words"
    length: int = 24
    tags: float = 0.0
    examples: int = 100_000
    augment: bool = True
    views: int = 2
    pretraining: int = 60_000
    pretraining_batch_size: int = 128
    nouns: str | Extract = "assay.image_text.nouns:content_words"
    max_classes: int = 24_320

    def fit(self, pairs: Pairs, *, run: Run | None = None) -> ImageTextModel:
        """The fitted model; half of a budget is spent on either part."""
        run = run or Run()
        with seeded(run):
            module, tokenizer = self.towers(
                pairs, run, log_scale=LOG_SCALE_OF_SOFTMAX, standardise=True, dropout=self.dropout
            )
            known = self.pretrain(pairs, run.part("nouns", 0.5))
            module.vision_model = known.tower
            history, moments = self.tune(module, tokenizer, pairs, run.part("texts", 0.5))
            facts = {"classes": len(known.names), "pairs without a class": known.without}
            return self.fitted(module, tokenizer, pairs, history, moments, **facts)

    def pretrain(self, pairs: Pairs, run: Run) -> NounTower:
        """The image tower after it has learnt the nouns of the captions.

        Raises:
            ValueError: the captions name no class.
        """
        extract = locate(self.nouns) if isinstance(self.nouns, str) else self.nouns
        spoken = self.spoken or pairs.languages
        captions = [[t for one in spoken for t in pairs.texts(i, one)] for i in range(len(pairs))]
        names = vocabulary(captions, extract, self.max_classes)
        if not names:
            raise ValueError(f"{pairs.name}: expected captions that name something, got none")
        marked = targets(captions, extract, names)
        tower: Any = build_image(image_config(self.image, self.side))
        classifier = NounClassifier(tower.num_features, marked.mean(axis=0))
        model = nn.ModuleDict({"tower": tower, "classifier": classifier})
        model.to(run.device)
        tower.to(memory_format=torch.channels_last)
        marks = torch.from_numpy(marked)
        size = self.pretraining_batch_size
        batches = PairBatches(self.inputs(pairs), lambda chosen, _: marks[chosen], pairs.groups, size, run)

        def loss_fn(images: Tensor, named: Tensor, groups: Tensor) -> dict[str, Tensor]:
            return {"loss": multi_label_loss(classifier(tower.embed(images)).float(), named)}

        optimizer = muon(model, self.learning_rate, self.adam_learning_rate, adam_betas=(0.9, 0.95))
        steps = max(1, math.ceil(self.pretraining / batches.batch_size))
        history = train(
            loss_fn,
            batches,
            optimizer,
            run,
            model=model,
            steps=None if run.budget is not None else steps,
            schedule=cosine(warmup=self.warmup),
        )
        model.train(False)
        return NounTower(tower, classifier, names, history, int((~marked.any(axis=1)).sum()))
