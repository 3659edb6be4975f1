import numpy as np
import pytest

from assay.data.emoji import emoji_pairs, emoji_split
from assay.data.fetch import FetchError
from assay.data.pairs import Pairs
from assay.image_text.model import Searcher
from assay.image_text.paraphrases import PARAPHRASES, precision

NAMES = ["castle", "snake", "scissors", "syringe", "axe", "dog"]


class Knowing(Searcher):
    """Scores from a table: text -> names that it thinks right."""

    def __init__(self, thoughts):
        self.thoughts = thoughts

    def scores(self, images, texts):
        names = [images.texts(i)[0] for i in range(len(images))]
        return np.array([[name in self.thoughts.get(text, ()) for text in texts] for name in names], float)


def gallery(names=NAMES):
    return Pairs.of([np.zeros((4, 4, 3), np.uint8)] * len(names), [[name, "x"] for name in names])


def test_the_share_of_right_pictures_among_as_many_as_there_are():
    assert precision(Knowing(PARAPHRASES), gallery()) == 1
    # Four questions have answers here; of "tool for cutting" one of its two is found, of the others none.
    thoughts = {"tool for cutting": {"axe", "dog"}, "where a king lives": {"dog"}}
    wrong = {t: {"dog"} for t in ("reptile without legs", "doctor's injection")}
    assert precision(Knowing(thoughts | wrong), gallery()) == pytest.approx(0.5 / 4)
    assert precision(Knowing(thoughts | wrong), gallery(), k=1) == pytest.approx(1 / 4)


def test_pictures_of_other_things_are_refused():
    with pytest.raises(ValueError, match="expected pictures with names of emoji, got dog, dog"):
        precision(Knowing({}), gallery(["dog", "dog"]))


def test_every_answer_is_the_name_of_an_emoji():
    try:
        pairs = emoji_pairs()
    except FetchError as error:
        pytest.skip(str(error))
    seen = {pairs.texts(int(i))[0] for i in emoji_split(pairs)["train"]}
    assert set().union(*PARAPHRASES.values()) <= seen
    assert len(PARAPHRASES) == 24


def test_questions_seldom_use_the_words_of_their_answers():
    shared = [
        (text, word)
        for text, names in PARAPHRASES.items()
        for word in text.split()
        if len(word) > 3 and any(word in name.lower().split() for name in names)
    ]
    assert len(shared) <= 5, shared
