import numpy as np
import pytest

from assay.image_text.metrics import accuracy, ranks, recall, recalls


def rank_by_loops(scores, rows, columns):
    found = []
    for i, row in enumerate(scores):
        own = [row[j] for j in range(len(row)) if columns[j] == rows[i]]
        if not own:
            found.append(0)
            continue
        rivals = [row[j] for j in range(len(row)) if columns[j] != rows[i]]
        found.append(1 + sum(score >= max(own) for score in rivals))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_those_of_loops_with_ties(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (9, 12)).astype(float)
    rows, columns = rng.integers(0, 6, 9), rng.integers(0, 6, 12)
    assert ranks(scores, rows, columns).tolist() == rank_by_loops(scores, rows, columns)


def test_equal_texts_of_one_group_are_no_rivals():
    scores = np.array([[0.9, 0.9, 0.5], [0.1, 0.1, 0.7]])
    assert ranks(scores, np.array([0, 1]), np.array([0, 0, 1])).tolist() == [1, 1]


def test_constant_scores_find_nothing():
    groups = np.arange(50)
    found = recalls(np.zeros((50, 50)), groups, groups)
    assert found["R@1"] == found["text R@10"] == 0
    assert accuracy(np.zeros((50, 50)), groups) == 0


def test_perfect_scores_find_everything():
    groups = np.arange(7)
    found = recalls(np.eye(7), groups, groups)
    assert found["RSUM"] == 6
    assert accuracy(np.eye(7), groups) == 1


def test_an_image_finds_any_of_its_texts_and_a_text_its_image():
    scores = np.array([[0.1, 0.9, 0.5, 0.2], [0.8, 0.0, 0.3, 0.7]])
    found = recalls(scores, np.array([0, 1]), np.array([0, 0, 1, 1]))
    assert found["R@1"] == 0.5
    assert found["text R@1"] == 0.5  # Texts 1 and 3 are closest to their own image.


def test_queries_without_an_answer_are_not_asked():
    assert ranks(np.eye(2), np.array([0, 9]), np.array([0, 1])).tolist() == [1, 0]
    assert recall(np.array([1, 0, 3]), 1) == 0.5
    with pytest.raises(ValueError, match="at least one query"):
        recall(np.array([0, 0]), 1)


def test_scores_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="finite scores"):
        ranks(np.array([[np.nan, 0.0]]), np.array([0]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"shape \(1, 2\), got \(2, 1\)"):
        ranks(np.zeros((2, 1)), np.array([0]), np.array([0, 1]))
