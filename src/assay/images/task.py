"""The images question: which class does a picture belong to, also when few labels are given?

The data contract: pictures of one size with a label each; at least two classes of two pictures.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from assay.core.board import Board
from assay.core.run import Run, Scale
from assay.core.task import Figure, Metric, Task
from assay.data.faults import Policy
from assay.data.labelled import LabelledImages, read_labelled
from assay.data.labelled_sets import emoji_groups, fashion_mnist
from assay.data.pictures import Fit
from assay.data.table import ContractError
from assay.images.contract import ImageData, split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.images.classifier import ImageClassifier

DEFAULTS = ("fashion-mnist", "emoji")
_TOP = 5
_CURVE_IMAGES = 500
_SIDE = 32

_TAKEN: Mapping[Scale, tuple[int | None, int | None]] = {
    "smoke": (300, 100),
    "default": (20_000, 3_000),
    "full": (None, None),
}
"""Training and test images of a default data set."""
_SETTINGS: Mapping[Scale, Mapping[str, Any]] = {
    "smoke": {"examples": 600, "batch_size": 32, "size": 32},
    "default": {},
    "full": {"examples": 600_000, "max_images": None},
}
"""What methods that have such settings take in place of their defaults."""


def _few(pool: LabelledImages, train: int | None, test: int | None) -> LabelledImages:
    """The first images of both parts."""
    assert pool.test is not None
    mask = np.asarray(pool.test)
    return pool.take(np.concatenate([np.flatnonzero(~mask)[:train], np.flatnonzero(mask)[:test]]))


class Images(Task):
    """Classify images."""

    name = "images"
    question = "Which method classifies these images best?"
    default_data = "fashion-mnist"
    libraries = ("torch",)
    methods: ClassVar[Mapping[str, str]] = {
        "pixel-neighbours": "assay.images.pixel_neighbours:PixelNeighbours",
        "pixel-linear": "assay.images.pixel_linear:PixelLinearClassifier",
        "resnet": "assay.images.from_scratch:ResNetClassifier",
        "vit": "assay.images.from_scratch:ViTClassifier",
        "swin": "assay.images.from_scratch:SwinClassifier",
        "efficientnet-probe": "assay.images.efficientnet_probe:EfficientNetProbe",
        "efficientnet-fine-tune": "assay.images.efficientnet_fine_tune:EfficientNetFineTune",
    }
    peers: ClassVar[Mapping[str, str]] = {
        "transformers-resnet": "assay.images.peers:TransformersResNetClassifier",
    }
    sizes: ClassVar[Mapping[Scale, Mapping[str, Any]]] = _SETTINGS

    def load(
        self,
        source: Any = None,
        *,
        scale: Scale = "default",
        labels: float = 1.0,
        size: int = _SIDE,
        fit: Fit = "crop",
        grey: bool = False,
        image: str | None = None,
        label: str | None = None,
        part: str | None = None,
        policy: Policy = "refuse",
    ) -> ImageData:
        """The labelled images of a folder, of a table or of a default data set.

        Args:
            source: fashion-mnist or emoji; a folder with a folder of images for each class; a table with a
                column of images and one of labels; labelled images. None for fashion-mnist.
            scale: how many images of a default data set are taken: 300, 20,000 or all to learn from.
            labels: share of the training images whose labels are given, in (0, 1].
            size: side in pixels that images of files and emoji get.
            fit: crop the middle, pad with white, or stretch.
            grey: one channel in place of three, for images of files.
            image: a table's column of images, where its name does not tell.
            label: a table's column of labels, where its name does not tell.
            part: the part of a folder of `datasets`, such as train.
            policy: what is done with an image that cannot be read or a row without a label: refuse the data,
                or skip and count it.

        Raises:
            ContractError: an image or a label is not what it must be; the message names file, row or column.
        """
        if isinstance(source, ImageData):
            return source
        source = self.default_data if source is None else source
        taken = _TAKEN[scale] if isinstance(source, str) and source in DEFAULTS else (None, None)
        if isinstance(source, LabelledImages):
            pool = source
        elif isinstance(source, str) and source == "fashion-mnist":
            pool = fashion_mnist()
            if scale == "smoke":  # The rest would only have to be read and kept.
                pool = _few(pool, *_TAKEN[scale])
        elif isinstance(source, str) and source == "emoji":
            pool = emoji_groups(scale, size=size)
        elif isinstance(source, (str, Path)):
            pool = read_labelled(
                source, size=size, fit=fit, grey=grey, image=image, label=label, split=part, policy=policy
            )
        else:
            raise ContractError(
                f"expected a path, labelled images, or one of {', '.join(DEFAULTS)}, got {source!r}"
            )
        return ImageData(pool, labels, *taken)

    def save_data(self, data: ImageData, folder: Path) -> None:
        """Writes the data into an empty folder."""
        data.save(folder)

    def open_data(self, folder: Path) -> ImageData:
        """The data that `save_data` wrote."""
        return ImageData.open(folder)

    def metrics(self, data: Any) -> Sequence[Metric]:
        """Top-1 accuracy, log-loss, and top-5 accuracy where there are six classes or more."""
        found = [Metric("accuracy", "higher"), Metric("log-loss", "lower", "nats")]
        if len(data.classes) > _TOP:
            found.append(Metric(f"top-{_TOP} accuracy", "higher"))
        return found

    def available(self, name: str) -> str | None:
        """None when the method can run here, else the package that is missing."""
        missing = name in self.peers and importlib.util.find_spec("transformers") is None
        return "transformers" if missing else None

    def split(self, data: ImageData, seed: int) -> tuple[LabelledImages, LabelledImages]:
        """Training and test part; see `assay.images.contract.split`."""
        return split(data, seed)

    def fit(self, method: Any, train: ImageData | LabelledImages, run: Run) -> Any:
        """The fitted classifier."""
        return method.fit(train.pool if isinstance(train, ImageData) else train, run=run)

    def predict(self, model: "ImageClassifier", test: LabelledImages, run: Run) -> "NDArray[np.float64]":
        """log p of every class for each test image; the model keeps what the report shows of it."""
        from assay.images.findings import Findings
        from assay.train.seeding import seeded

        with seeded(run, "predict"):
            log_probs = model.on(run.device).log_probs(test.images)
        model.findings = Findings.of(log_probs, test)
        return log_probs

    def score(self, outputs: "NDArray[np.float64]", test: LabelledImages) -> Mapping[str, float]:
        """Every metric of `metrics`, by the definitions in `assay.images.metrics`."""
        from assay.images.metrics import log_loss, top_k_accuracy

        found = {
            "accuracy": top_k_accuracy(outputs, test.labels),
            "log-loss": log_loss(outputs, test.labels),
        }
        if len(test.classes) > _TOP:
            found[f"top-{_TOP} accuracy"] = top_k_accuracy(outputs, test.labels, _TOP)
        return found

    def curve(self, model: Any, test: LabelledImages) -> Sequence[tuple[float, float]]:
        """Accuracy on at most 500 of the test images at eight moments of the training."""
        from assay.images.metrics import top_k_accuracy

        some = test.take(slice(None, None, -(-len(test) // _CURVE_IMAGES)))
        return [
            (moment.examples, top_k_accuracy(model.at(moment).log_probs(some.images), some.labels))
            for moment in getattr(model, "history", ())
        ]

    def curve_axis(self) -> str:
        """Examples."""
        return "examples"

    def load_model(self, folder: Path) -> "ImageClassifier":
        """The classifier that `save_model` wrote."""
        from assay.images.classifier import ImageClassifier

        return ImageClassifier.load(folder)

    def figures(self, board: Board) -> Sequence[Figure]:
        """Which classes are confused, and the most confident mistakes of every method."""
        from assay.images.figures import figures

        return tuple(figures(board))


task = Images()
