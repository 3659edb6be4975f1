import numpy as np
import pytest

from assay.image_text.nouns import content_words, targets, vocabulary


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A cat on the mat", ["cat", "mat"]),
        ("Cats, cats and CATS!", ["cat"]),
        ("grinning face with big eyes", ["grinning", "face", "big", "eye"]),
        ("glass of wine", ["glass", "wine"]),
        ("bus", ["bus"]),
        ("红苹果，梨", ["红苹果", "梨"]),
        ("24 / 7", []),
    ],
)
def test_labels_of_captions(caption, words):
    assert content_words(caption) == words


CAPTIONS = [["red apple", "apple"], ["red heart"], ["green apple"], ["the of"]]


def test_the_vocabulary_is_the_most_frequent_classes():
    assert vocabulary(CAPTIONS, content_words, 3) == ["apple", "red", "green"]
    assert vocabulary(CAPTIONS, content_words, 100)[-1] == "heart"


def test_targets_are_those_of_loops_and_repeats_collapse():
    names = ["red", "apple", "heart"]
    found = targets(CAPTIONS, content_words, names)
    wanted = [[any(n in content_words(t) for t in texts) for n in names] for texts in CAPTIONS]
    assert np.array_equal(found, wanted)
    assert not found[3].any()
