"""The data contract of the wing: pairs to learn from, and questions about images and texts as a test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.data.pairs import Pairs
from assay.data.table import ContractError


@dataclass(frozen=True, eq=False)
class Question:
    """Which of these texts belongs to which of these images?

    Args:
        name: in front of the metrics; "" for the deciding question.
        images: what is shown.
        texts: what is offered.
        image_groups, text_groups: what is of one group belongs together.
        templates: the texts are names of classes, put into these; None for texts as they are.
    """

    name: str
    images: Pairs
    texts: tuple[str, ...]
    image_groups: NDArray[np.int64]
    text_groups: NDArray[np.int64]
    templates: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """How many images and texts."""
        return len(self.images), len(self.texts)


@dataclass(frozen=True, eq=False)
class Exam:
    """The questions of a test, the deciding one first."""

    questions: tuple[Question, ...]

    def __len__(self) -> int:
        """How many images the deciding question shows."""
        return len(self.questions[0].images)


def retrieval(name: str, images: Pairs, offered: Pairs, language: str | None, *, labels: bool) -> Question:
    """The question which texts belong to `images`.

    Args:
        name: of the question.
        images: what is shown.
        offered: whose texts are offered.
        language: of the texts; None for all.
        labels: one text per group, its first, as for names; else all texts.
    """
    texts: list[str] = []
    groups: list[int] = []
    seen: set[int] = set()
    for index, group in enumerate(offered.groups.tolist()):
        own = offered.texts(index, language)
        if labels and (group in seen or not own):
            continue
        seen.add(group)
        chosen = own[:1] if labels else own
        texts += chosen
        groups += [group] * len(chosen)
    return Question(name, images, tuple(texts), images.groups, np.array(groups, np.int64))


def classes(name: str, images: Pairs, column: str, templates: Sequence[str]) -> Question:
    """The question which class, named in a column, each image belongs to."""
    values = [str(value) for value in images.column(column)]
    names = sorted(set(values))
    number = {value: i for i, value in enumerate(names)}
    labels = np.array([number[value] for value in values], np.int64)
    spoken = tuple(value.replace("-", " ").replace("_", " ") for value in names)
    return Question(name, images, spoken, labels, np.arange(len(names)), tuple(templates))


def check_trainable(pairs: Pairs) -> None:
    """Raises a ContractError where there are too few pairs to learn from.

    Raises:
        ContractError: there are fewer than two groups.
    """
    if len(np.unique(pairs.groups)) < 2:
        raise ContractError(
            f"{pairs.name}: expected at least 2 pairs of different groups to learn from, got {len(pairs)}"
        )
