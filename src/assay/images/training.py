"""Training of image classifiers by gradients: batches, small shifts and mirror images, Muon and AdamW."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from torch import Tensor, nn

from assay.core.run import Run
from assay.data.labelled import LabelledImages
from assay.images.classifier import NetworkClassifier
from assay.images.preprocessing import Preprocessing
from assay.train.batches import Batches
from assay.train.loop import train
from assay.train.moments import Moments
from assay.train.optimizers import muon
from assay.train.schedule import cosine
from assay.train.seeding import seeded


@dataclass(frozen=True, kw_only=True)
class NetworkMethod:
    """A network trained from its first weights on labelled images; the methods say which.

    Args:
        examples: images seen in training, each counted as often as it is seen; a budget takes its place.
        batch_size: images per step.
        learning_rate: of Muon, which has the hidden matrices.
        adam_learning_rate: of AdamW, which has everything else.
        weight_decay: of the hidden matrices; of tokens, tables, gains and biases there is none.
        shift: pixels by which an image is moved at most in training.
        flip: whether it is mirrored half of the time.
    """

    examples: int = 24_000
    batch_size: int = 64
    learning_rate: float = 0.02
    adam_learning_rate: float = 0.003
    weight_decay: float = 0.01
    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        check_settings(
            self,
            positive=("examples", "batch_size", "learning_rate", "adam_learning_rate"),
            not_negative=("weight_decay", "shift"),
        )

    @abstractmethod
    def network(self, data: LabelledImages) -> nn.Module:
        """The network before training, with a logit for each class of `data`."""

    def preprocessing(self, data: LabelledImages) -> Preprocessing:
        """What images go through before the network."""
        return Preprocessing.of(data)

    def fit(self, data: LabelledImages, *, run: Run | None = None) -> NetworkClassifier:
        """The trained classifier.

        Raises:
            ValueError: there are fewer than 2 images.
        """
        run = run or Run()
        with seeded(run):
            network = self.network(data).to(run.device)
            return trained(
                network,
                self.preprocessing(data),
                data,
                run,
                optimizer=self.optimizer(network),
                examples=self.examples,
                batch_size=self.batch_size,
                shift=self.shift,
                flip=self.flip,
            )

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Muon for hidden matrices, and AdamW without decay for the rest."""
        return muon(
            network,
            self.learning_rate,
            self.adam_learning_rate,
            weight_decay=self.weight_decay,
            adam_weight_decay=0.0,
            exclude=("bias_table",),  # Its rows are places, and no inputs.
        )


def check_settings(method: Any, *, positive: Sequence[str], not_negative: Sequence[str]) -> None:
    """Refuses settings with which nothing could be trained.

    Raises:
        ValueError: a number is below 0, or 0 where it must not be.
    """
    for name in (*positive, *not_negative):
        value, strict = getattr(method, name), name in positive
        if not (value > 0 if strict else value >= 0):
            raise ValueError(f"expected {name} {'above' if strict else 'of at least'} 0, got {value}")


def trained(
    network: nn.Module,
    preprocessing: Preprocessing,
    data: LabelledImages,
    run: Run,
    *,
    optimizer: torch.optim.Optimizer,
    examples: int,
    batch_size: int,
    shift: int,
    flip: bool,
) -> NetworkClassifier:
    """The classifier of a network that is trained in place, by the cross-entropy of its logits.

    Args:
        network: on the run's device.
        preprocessing: what images go through first.
        data: training images.
        run: its budget takes the place of `examples`.
        optimizer: of the network's parameters; its rates rise over a tenth of the training and then fall as
            a cosine.
        examples: images seen.
        batch_size: images per step, if there are so many.
        shift, flip: see `augmented`.

    Raises:
        ValueError: there are fewer than 2 images (for each rank).
    """
    size = min(batch_size, len(data)) // run.world * run.world
    if size < 2 * run.world:
        raise ValueError(
            f"{data.name}: expected at least {2 * run.world} images to learn from, got {len(data)}"
        )
    arrays = [torch.tensor(data.images), torch.tensor(data.labels)]
    batches = Batches(arrays, size, run.rng("batches"), rank=run.rank, world=run.world)
    steps = max(1, round(examples / size))
    moments = Moments(network, run, steps=steps, batch_size=size, epoch=len(data))

    def loss(images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = network(preprocessing(augmented(images, shift=shift, flip=flip))).float()
        right = (logits.argmax(1) == labels).float()
        return {"loss": F.cross_entropy(logits, labels), "accuracy": right.mean()}

    network.train()
    train(
        loss,
        batches,
        optimizer,
        run,
        model=network,
        steps=None if run.budget else steps,
        schedule=cosine(warmup=0.1),
        after_step=None if run.sharded else moments,  # The parts of a divided network are no network.
    )
    return NetworkClassifier(network, data.classes, preprocessing, moments.kept)


def augmented(
    images: UInt8[Tensor, "batch height width *channels"], *, shift: int, flip: bool
) -> UInt8[Tensor, "batch height width *channels"]:
    """Every image moved by up to `shift` pixels each way, and mirrored half of the time.

    What comes in from outside repeats the image's border.
    """
    if not shift and not flip:
        return images
    batch, height, width = images.shape[:3]

    def places(size: int) -> Int[Tensor, "batch size"]:
        moved = (
            torch.randint(-shift, shift + 1, (batch, 1)) if shift else torch.zeros(batch, 1, dtype=torch.long)
        )
        return (torch.arange(size) + moved).clamp(0, size - 1)

    rows, columns = places(height), places(width)
    if flip:
        columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    which = torch.arange(batch, device=images.device)[:, None, None]
    return images[which, rows[:, :, None], columns[:, None, :]]
