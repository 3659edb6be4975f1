"""EfficientNet, fine-tuned: a network begins with its weights of ImageNet and is trained further as a whole.

A probe (`efficientnet_probe`) keeps the features and learns to read them; here they may change.

Reference:
    Kornblith, Shlens, Le. "Do Better ImageNet Models Transfer Better?". CVPR 2019. arXiv:1805.08974v3
    (fine-tuning).
    Departs: AdamW in place of SGD with momentum; the statistics of the normalisations are kept.
"""

from dataclasses import dataclass

from assay.core.run import Run
from assay.data.labelled import LabelledImages
from assay.images.classifier import NetworkClassifier
from assay.images.efficientnet_lite import MEAN, STD, EfficientNetLite0, check_size
from assay.images.preprocessing import Preprocessing
from assay.images.training import check_settings, trained
from assay.train.optimizers import adamw
from assay.train.seeding import seeded


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
        check_size(self.size)

    def fit(self, data: LabelledImages, *, run: Run | None = None) -> NetworkClassifier:
        """The trained classifier.

        Raises:
            ValueError: there are fewer than 2 images.
            FetchError: the weights cannot be fetched.
        """
        run = run or Run()
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
