"""The precision question: in how few bits can a network be trained, and what does it take?

The data contract: labelled images, and the number of positions over which the loss counts as averaged. The
default is that of a dense prediction, about as many as SSD has boxes per image (8,732), because there the
gradients are small; with `positions=1` it is the plain classification of images.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from assay.core.board import Board
from assay.core.run import Run, Scale
from assay.core.task import Figure, Metric, Task
from assay.data.digits import digits
from assay.data.labelled import LabelledImages, read_labelled
from assay.data.table import ContractError
from assay.precision.metrics import Outcome, accuracy, cross_entropy
from assay.precision.problem import Problem

if TYPE_CHECKING:
    from assay.precision.network import Network

_POSITIONS = 8192
_TEST_SHARE = 0.25
_SMOKE_IMAGES = 400
_FULL_IMAGES = 20_000
_SMOKE = {"steps": 60, "hidden": (16,), "learning_rate": 0.3}


class PrecisionTask(Task):
    """Train a network in fewer bits."""

    name = "precision"
    question = "In which precision does a network train as well as in 32 bits?"
    default_data = "digits"
    libraries = ("torch",)
    methods: ClassVar[Mapping[str, str]] = {
        "fp32": "assay.precision.fp32:FP32Full",
        "tf32": "assay.precision.tf32:TF32Products",
        "fp16": "assay.precision.fp16:FP16Pure",
        "fp16-scaled": "assay.precision.fp16_scaled:FP16Scaled",
        "fp16-master": "assay.precision.fp16_master:FP16Master",
        "fp16-mixed": "assay.precision.fp16_mixed:FP16Mixed",
        "bf16": "assay.precision.bf16:BF16Mixed",
        "bf16-pure": "assay.precision.bf16_pure:BF16Pure",
        "bf16-stochastic": "assay.precision.bf16_stochastic:BF16Stochastic",
    }
    sizes: ClassVar[Mapping[Scale, Mapping[str, Any]]] = {"smoke": _SMOKE}

    def load(
        self,
        source: Any = None,
        *,
        scale: Scale = "default",
        task: Literal["digits", "images"] | None = None,
        positions: int = _POSITIONS,
        size: int = 16,
    ) -> Problem:
        """The labelled images of a folder or table, or those of a task.

        Args:
            source: a folder with a folder of images for each class, or a table, as
                `assay.data.labelled.read_labelled` reads them; LabelledImages. None for those of `task`.
            scale: "smoke" takes 400 of a task's images, other scales 20,000 at most.
            task: digits for handwritten ones, images for the clothes of Fashion-MNIST; None for digits, and
                for images at full scale.
            positions: over how many positions per image the loss counts as averaged, from 1 up.
            size: side in pixels of the images of a folder or table, which become grey.

        Raises:
            ContractError: something is not what it must be; the message names it.
        """
        if isinstance(source, Problem):
            return source
        if source is not None and task is not None:
            raise ContractError(f"expected a task or data of your own, got {task!r} and {source!r}")
        if isinstance(source, LabelledImages):
            return Problem(source, positions)
        if source is not None:
            return Problem(read_labelled(source, size=size, grey=True), positions)
        task = task or ("images" if scale == "full" else "digits")
        if task not in ("digits", "images"):
            raise ContractError(f"task: expected digits or images, got {task!r}")
        if task == "digits":
            images = digits()
        else:
            from assay.data.labelled_sets import fashion_mnist

            images = fashion_mnist()
        most = {"smoke": _SMOKE_IMAGES, "full": _FULL_IMAGES, "default": _FULL_IMAGES}[scale]
        if len(images) > most:
            chosen = np.random.default_rng(0).choice(len(images), most, replace=False)
            images = images.take(np.sort(chosen))
        return Problem(images, positions)

    def save_data(self, data: Problem, folder: Path) -> None:
        """Writes the data into an empty folder."""
        data.save(folder)

    def open_data(self, folder: Path) -> Problem:
        """The data that `save_data` wrote."""
        return Problem.open(folder)

    def metrics(self, data: Problem) -> Sequence[Metric]:
        """The loss on test images first; then what got lost in training."""
        return (
            Metric("cross-entropy", "lower", "nats"),
            Metric("accuracy", "higher"),
            Metric("zero-flush", "lower"),
            Metric("stagnation", "lower"),
            Metric("skipped steps", "lower"),
        )

    def split(self, data: Problem, seed: int) -> tuple[Problem, Problem]:
        """Three quarters of the images to learn from, and one to be tested on."""
        order = np.random.default_rng([seed, 0]).permutation(len(data))
        count = max(1, round(_TEST_SHARE * len(data)))
        return data.take(np.sort(order[count:])), data.take(np.sort(order[:count]))

    def fit(self, method: Any, train: Problem, run: Run) -> "Network":
        """The trained network."""
        from assay.precision.training import threads

        with threads(run):
            return method.fit(train, run=run)

    def predict(self, model: "Network", test: Problem, run: Run) -> Outcome:
        """The logits of the test images, and what the training lost."""
        from assay.precision.training import threads

        with threads(run):
            logits = model.logits(test)
        moments = model.moments
        return Outcome(
            logits,
            float(np.mean([moment.flushed for moment in moments])) if moments else 0.0,
            float(np.mean([moment.stagnant for moment in moments])) if moments else 0.0,
            moments[-1].skipped / moments[-1].step if moments else 0.0,
        )

    def score(self, outputs: Outcome, test: Problem) -> Mapping[str, float]:
        """Every metric of `metrics`, by the definitions in `assay.precision.metrics`."""
        return {
            "cross-entropy": cross_entropy(outputs.logits, test.images.labels),
            "accuracy": accuracy(outputs.logits, test.images.labels),
            "zero-flush": outputs.flushed,
            "stagnation": outputs.stagnant,
            "skipped steps": outputs.skipped,
        }

    def curve(self, model: "Network", test: Problem) -> Sequence[tuple[float, float]]:
        """The loss on the test images at about 20 moments of the training."""
        return [
            (float(moment.step), cross_entropy(model.at(i).logits(test), test.images.labels))
            for i, moment in enumerate(model.moments[: len(model.earlier)])
        ]

    def curve_axis(self) -> str:
        """Steps."""
        return "step"

    def load_model(self, folder: Path) -> "Network":
        """The network that `save_model` wrote."""
        from assay.precision.network import Network

        return Network.load(folder)

    def figures(self, board: Board) -> Sequence[Figure]:
        """Where the gradients lie on the number line, and what gets lost over the training."""
        from assay.precision.figures import figures

        return tuple(figures(board))


task = PrecisionTask()
