import numpy as np
import pytest

from assay.data.pairs import Pairs
from assay.data.table import ContractError
from assay.image_text.contract import Exam, check_trainable, classes, retrieval

pytest.importorskip("PIL")


def pairs():
    pictures = [np.full((4, 4, 3), 40 * i, np.uint8) for i in range(4)]
    texts = {
        "en": [["one", "first"], ["two"], ["one", "eins"], ["three"]],
        "zh": [["一"], [], ["一"], ["三"]],
    }
    columns = {"kind": ["odd-number", "even", "odd-number", "odd-number"]}
    return Pairs.of(pictures, texts, groups=["a", "b", "a", "c"], columns=columns)


def test_labels_are_the_first_texts_of_groups():
    question = retrieval("", pairs(), pairs(), "en", labels=True)
    assert question.texts == ("one", "two", "three")
    assert question.text_groups.tolist() == [0, 1, 2]
    assert question.image_groups.tolist() == [0, 1, 0, 2]
    assert question.shape == (4, 3)
    assert retrieval("", pairs(), pairs(), "zh", labels=True).texts == ("一", "三")


def test_all_texts_are_offered_otherwise():
    question = retrieval("", pairs(), pairs(), None, labels=False)
    assert question.texts == ("one", "first", "一", "two", "one", "eins", "一", "three", "三")
    assert question.text_groups.tolist() == [0, 0, 0, 1, 0, 0, 0, 2, 2]


def test_classes_are_spoken_names():
    question = classes("zero-shot", pairs(), "kind", ["a {}"])
    assert question.texts == ("even", "odd number")
    assert question.image_groups.tolist() == [1, 0, 1, 1]
    assert question.templates == ("a {}",)
    assert len(Exam((question,))) == 4


def test_one_group_is_too_few():
    with pytest.raises(ContractError, match="at least 2 pairs of different groups"):
        check_trainable(pairs().take([0, 2]))
