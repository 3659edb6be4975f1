"""The most confident mistakes, picked by a loop; and the file."""

import numpy as np

from assay.images.findings import Findings


def outputs(test, seed=0):
    scores = np.random.default_rng(seed).normal(size=(len(test), len(test.classes)))
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


def test_the_most_confident_mistakes_come_first(others):
    log_probs = outputs(others)
    found = Findings.of(log_probs, others)
    wrong = []
    for i, row in enumerate(log_probs):
        guess = int(np.argmax(row))
        if guess != others.labels[i]:
            wrong.append((np.exp(row[guess]), i, guess))
    wrong.sort(reverse=True)
    assert len(found.labels) == 10
    for j, (confidence, i, guess) in enumerate(wrong[:10]):
        assert found.confidence[j] == confidence
        assert np.array_equal(found.pictures[j], others.images[i])
        assert (found.labels[j], found.guesses[j]) == (others.labels[i], guess)
    assert found.confusion.sum() == len(others)
    assert found.confusion.trace() == len(others) - len(wrong)


def test_without_mistakes_there_is_none(others):
    found = Findings.of(np.eye(3)[others.labels] - 1, others)
    assert len(found.labels) == len(found.pictures) == 0
    assert np.array_equal(found.confusion, np.diag(np.bincount(others.labels)))


def test_is_written_and_read(others, tmp_path):
    assert Findings.load(tmp_path) is None
    found = Findings.of(outputs(others), others)
    found.save(tmp_path)
    again = Findings.load(tmp_path)
    assert all(np.array_equal(value, getattr(again, name)) for name, value in vars(found).items())
