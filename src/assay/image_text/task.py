"""The image-text question: find the image for a text, the text for an image, and name classes unseen.

The data contract: pairs of an image and one text or more, by language, in groups that show the same thing.
The default is the emoji of nine vendors. There the deciding question is which of all names belongs to the
picture of a vendor that nobody has trained on; beside it stand a vendor that draws in outlines, concepts
that nobody has trained on, Chinese names, and the names of subgroups as zero-shot classes. Skin tones are
learnt from at full scale and never asked for, so that the questions are the same at either. One's own pairs
are split by group, a fifth for the test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.core.board import Board
from assay.core.run import Run, Scale
from assay.core.task import Figure, Metric, Task
from assay.data.faults import Policy
from assay.data.table import ContractError
from assay.image_text.contract import Exam, classes, retrieval
from assay.image_text.metrics import accuracy, ranks, recall, recalls
from assay.image_text.templates import TEMPLATES

if TYPE_CHECKING:
    from assay.data.pairs import Pairs

_TEST_SHARE = 0.2
_LABEL = "label"  # The column of one's own pairs that zero-shot classes are taken from.
_EMOJI = ("vendor", "held_out", "emoji_subgroup", "tone")
_SMOKE: dict[str, Any] = {
    "examples": 1536,
    "pretraining": 512,
    "filter_examples": 512,
    "batch_size": 32,
    "dim": 32,
    "views": 1,
    "max_num_patches": 16,
    "augment": False,
    "text": "words",
}
_FULL: dict[str, Any] = {
    "examples": 400_000,
    "pretraining": 200_000,
    "filter_examples": 100_000,
    "views": 2,
}
_BOTH_WAYS = ("R@1", "R@5", "R@10", "text R@1", "text R@5", "text R@10", "RSUM")


class ImageText(Task):
    """Find the image for a text, and zero-shot classes."""

    name = "image-text"
    question = "Which method finds the text of an image, and the image of a text?"
    default_data = "emoji"
    libraries = ("torch",)
    methods: ClassVar[Mapping[str, str]] = {
        "pixel-neighbours": "assay.image_text.pixel_neighbours:PixelNeighbours",
        "clip": "assay.image_text.clip:CLIP",
        "siglip": "assay.image_text.siglip:SigLIP",
        "siglip2": "assay.image_text.siglip2:SigLIP2",
        "lit": "assay.image_text.lit:LiT",
        "flip": "assay.image_text.flip:FLIP",
        "catlip": "assay.image_text.catlip:CatLIP",
        "dfn": "assay.image_text.dfn:DFN",
    }
    sizes: ClassVar[Mapping[Scale, Mapping[str, Any]]] = {"smoke": _SMOKE, "full": _FULL}

    def load(
        self,
        source: Any = None,
        *,
        scale: Scale = "default",
        image: str | None = None,
        text: str | None = None,
        policy: Policy = "refuse",
    ) -> "Pairs":
        """The pairs of a file or a folder, or the default ones.

        Args:
            source: emoji; a Parquet, CSV or JSONL file with images or paths, and texts; a folder of images
                with texts, of tar shards, or of Hugging Face's datasets; or `Pairs`. None for emoji.
            scale: how many of the emoji.
            image: the column of the images; None to find it.
            text: the column of the texts; None to find it.
            policy: what is done with a pair that cannot be used: refuse the data, or skip and count it.

        Raises:
            ContractError: there is nothing to read, or it is not as it must be; the message names the row.
        """
        from assay.data.emoji import emoji_pairs
        from assay.data.pairs import Pairs, read_pairs

        if isinstance(source, Pairs):
            pairs = source
        elif source is None or source == self.default_data:
            return emoji_pairs(scale)
        else:
            given = {"image": image, "text": text}
            options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
            pairs = read_pairs(source, policy=policy, **options)
        if len(np.unique(pairs.groups)) < 4:
            raise ContractError(f"{pairs.name}: expected at least 4 different pairs, got {len(pairs)}")
        return pairs

    def save_data(self, data: "Pairs", folder: Path) -> None:
        """Writes the pairs into an empty folder."""
        data.save(folder)

    def open_data(self, folder: Path) -> "Pairs":
        """The pairs that `save_data` wrote."""
        from assay.data.pairs import Pairs

        return Pairs.open(folder)

    def metrics(self, data: Any) -> Sequence[Metric]:
        """Recalls both ways; on the emoji, those of the further questions too."""
        names = list(_BOTH_WAYS)
        if isinstance(data, Exam):
            names += [question.name for question in data.questions[1:]]
        elif _is_emoji(data):
            names += ["hard R@1", "zh R@1", "compositional R@1", "unseen R@1", "zero-shot"]
        elif _LABEL in data.columns:
            names += ["zero-shot"]
        return tuple(Metric(name, "higher") for name in names)

    def available(self, name: str) -> str | None:
        """None when the method can run here, else which package is missing."""
        import importlib.util

        needed = ("torch", "tokenizers") if name != "pixel-neighbours" else ("torch",)
        return next((package for package in needed if importlib.util.find_spec(package) is None), None)

    def answers(self, name: str, data: Any) -> str | None:
        """DFN needs to know of some pairs that they are clean."""
        if name == "dfn" and "clean" not in data.columns:
            return "it needs a column `clean` that is true for pairs that a filter may learn from"
        return None

    def split(self, data: "Pairs", seed: int) -> tuple["Pairs", Exam]:
        """Pairs to learn from, and the questions of the test; the emoji are split alike for every seed."""
        if not _is_emoji(data):
            return _split_by_group(data, seed)
        from assay.data.emoji import emoji_split

        parts = emoji_split(data)
        train = data.take(parts["train"])
        plain = np.asarray(data.column("tone")) == "none"
        parts = {name: chosen[plain[chosen]] for name, chosen in parts.items()}
        names = data.take(plain)
        easy = data.take(parts["unseen_vendor_easy"])
        hard = data.take(parts["unseen_vendor_hard"])
        easy_concepts = _of_vendor(data, parts["unseen_concepts_compositional"], "twemoji")
        random_concepts = _of_vendor(data, parts["unseen_concepts_random"], "twemoji")
        questions = (
            retrieval("", easy, names, "en", labels=True),
            retrieval("hard R@1", hard, names, "en", labels=True),
            retrieval("zh R@1", easy, names, "zh", labels=True),
            retrieval("compositional R@1", easy_concepts, easy_concepts, "en", labels=True),
            retrieval("unseen R@1", random_concepts, random_concepts, "en", labels=True),
            classes("zero-shot", easy, "emoji_subgroup", TEMPLATES),
        )
        return train, Exam(questions)

    def fit(self, method: Any, train: "Pairs", run: Run) -> Any:
        """The fitted model."""
        return method.fit(train, run=run)

    def predict(self, model: Any, test: Exam, run: Run) -> NDArray[np.float32]:
        """The scores of every question, one after another in one vector."""
        from assay.train.seeding import seeded

        found = []
        with seeded(run, "predict"):
            for question in test.questions:
                if question.templates is None:
                    scores = model.scores(question.images, question.texts)
                else:
                    scores = model.zero_shot(question.images, question.texts, question.templates)
                if np.shape(scores) != question.shape:
                    raise ValueError(f"expected scores of shape {question.shape}, got {np.shape(scores)}")
                found.append(np.asarray(scores, np.float32).ravel())
        return np.concatenate(found)

    def score(self, outputs: NDArray[np.float32], test: Exam) -> Mapping[str, float]:
        """Every metric of `metrics`, by the definitions in `assay.image_text.metrics`."""
        sizes = [images * texts for images, texts in (q.shape for q in test.questions)]
        parts = np.split(outputs, np.cumsum(sizes)[:-1])
        scores = [part.reshape(q.shape) for part, q in zip(parts, test.questions, strict=True)]
        first = test.questions[0]
        found = recalls(scores[0], first.image_groups, first.text_groups)
        for question, each in zip(test.questions[1:], scores[1:], strict=True):
            if question.templates is not None:
                found[question.name] = accuracy(each, question.image_groups)
            else:
                found[question.name] = recall(ranks(each, question.image_groups, question.text_groups), 1)
        return found

    def curve(self, model: Any, test: Exam) -> Sequence[tuple[float, float]]:
        """The deciding recall at a few moments of the training of a small model."""
        moments = list(getattr(model, "moments", ()))
        question = test.questions[0]
        points = []
        for moment in moments:  # The last one is the model as it is.
            then = model.at(moment)
            scores = then.scores(question.images, question.texts)
            value = recall(ranks(scores, question.image_groups, question.text_groups), 1)
            points.append((float(moment.examples), value))
        return points

    def curve_axis(self) -> str:
        """Pairs seen."""
        return "pairs seen"

    def load_model(self, folder: Path) -> Any:
        """The model that `save_model` wrote."""
        from assay.image_text.model import ImageTextModel
        from assay.image_text.pixel_neighbours import PixelNeighboursModel

        pixels = (folder / "pixels.json").is_file()
        return PixelNeighboursModel.load(folder) if pixels else ImageTextModel.load(folder)

    def figures(self, board: Board) -> Sequence[Figure]:
        """What every method finds for a few texts, and the embeddings of the best one as a map."""
        from assay.image_text.figures import figures

        return tuple(figures(board))


def _is_emoji(data: Any) -> bool:
    return all(column in data.columns for column in _EMOJI)


def _of_vendor(data: "Pairs", positions: NDArray[np.int64], vendor: str) -> "Pairs":
    chosen = data.take(positions)
    return chosen.take(np.flatnonzero(np.asarray(chosen.column("vendor")) == vendor))


def _split_by_group(data: "Pairs", seed: int) -> tuple["Pairs", Exam]:
    groups = np.unique(data.groups)
    order = np.random.default_rng([seed, 0]).permutation(groups)
    test = np.isin(data.groups, order[: max(2, round(_TEST_SHARE * len(groups)))])
    shown = data.take(np.flatnonzero(test))
    shown = replace(shown, name=data.name)
    questions = [retrieval("", shown, shown, None, labels=False)]
    if _LABEL in data.columns:
        questions.append(classes("zero-shot", shown, _LABEL, TEMPLATES))
    return data.take(np.flatnonzero(~test)), Exam(tuple(questions))


task = ImageText()
