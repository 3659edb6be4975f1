"""The parts of the NumPy twin that the kernel repeats: random numbers, scores, orders of categories."""

import math

import numpy as np
import pytest

from assay.tabular.fixed_point import classes, newton
from assay.tabular.reference import draw, mix, sampled, shuffled
from assay.tabular.score_reference import Scorer, entropy_term, words_of


def test_mixing_is_that_of_splitmix64():
    # The first outputs of the generator for seed 1234567, whose state grows by the constant that `mix` adds.
    golden = 0x9E3779B97F4A7C15
    outputs = [mix((1234567 + i * golden) % 2**64) for i in range(5)]
    assert outputs == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_draws_depend_on_key_stream_and_index_and_look_uniform():
    numbers = [draw(5, 2, i) for i in range(4000)]
    assert len(set(numbers)) == 4000
    assert numbers[0] == draw(5, 2, 0)
    assert len({draw(5, 2, 0), draw(5, 3, 0), draw(6, 2, 0), draw(5, 2, 1)}) == 4
    for shift in (0, 20, 40):
        mean = np.mean([(n >> shift) % 2**20 / 2**20 for n in numbers])
        assert mean == pytest.approx(0.5, abs=0.03)


def test_a_shuffle_is_a_permutation_that_puts_every_item_first_equally_often():
    first = [shuffled(list(range(5)), key, 3)[0] for key in range(5000)]
    assert sorted(shuffled(list(range(9)), 1, 1)) == list(range(9))
    np.testing.assert_allclose(np.bincount(first), 1000, atol=120)
    assert shuffled([], 1, 1) == []


@pytest.mark.parametrize(("fraction", "size"), [(1, 10), (0.5, 5), (0.29, 2), (0.01, 1)])
def test_a_sample_is_a_share_in_order(fraction, size):
    sample = sampled(list(range(10)), fraction, 8, 1)
    assert len(sample) == size
    assert sample == sorted(set(sample))


def test_entropy_terms_are_those_of_the_c_library():
    weights = np.array([0.0, 1.0, 2.0, 3.0, 0.1])
    assert entropy_term(weights).tolist() == [0.0, 0.0, 2.0, 3 * math.log2(3), 0.1 * math.log2(0.1)]


def scorer_of_classes(labels, weights, criterion, num_classes):
    statistics = classes(
        np.array(labels, np.int32), num_classes, np.array(weights, float), criterion, None, count=False
    )
    scorer = Scorer(statistics, (0.0, 0.0, 0.0))
    return scorer, words_of(statistics, scorer).sum(axis=0)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_scores_are_minus_weight_times_impurity_up_to_a_constant(num_classes):
    labels, weights = [0, 1, 1, 0, 1], [1, 2, 3, 4, 5]
    p = np.array([5, 10]) / 15
    gini, sums = scorer_of_classes(labels, weights, "gini", num_classes)
    assert gini.score(sums) == pytest.approx(15 - 15 * (1 - (p**2).sum()))
    entropy, sums = scorer_of_classes(labels, weights, "entropy", num_classes)
    assert entropy.score(sums) == pytest.approx(15 * (p * np.log2(p)).sum())


@pytest.mark.parametrize(
    ("penalties", "expected"),
    [
        ((0.0, 0.0, 0.0), 16 / 2),  # G^2 / H with G = -4 and H = 2
        ((0.0, 2.0, 0.0), 16 / 4),
        ((1.0, 0.0, 0.0), 9 / 2),
        ((5.0, 0.0, 0.0), 0.0),
        ((0.0, 0.0, 1.0), 2 * 4 * 1 - 2 * 1),  # the step 2 is clipped to 1
        ((1.0, 2.0, 0.5), 0.5 * (2 * 3 - 4 * 0.5)),
    ],
)
def test_newton_scores(penalties, expected):
    statistics = newton(np.array([-3.0, -1.0]), np.array([1.5, 0.5]), None, wide=True, count=False)
    scorer = Scorer(statistics, penalties)
    assert scorer.score(words_of(statistics, scorer).sum(axis=0)) == pytest.approx(expected)


def test_categories_are_ordered_by_step_or_share():
    statistics = newton(np.array([-3.0, 1.0, 2.0]), np.array([1.0, 2.0, 0.0]), None, wide=True, count=False)
    scorer = Scorer(statistics, (0.0, 1.0, 0.0))
    words = words_of(statistics, scorer)
    np.testing.assert_allclose(scorer.order(words, words.sum(axis=0)), [-1.5, 1 / 3, 2.0])
    scorer, sums = scorer_of_classes([0, 1, 2, 1], [1, 1, 1, 1], "gini", 3)
    cells = np.array([[2, 1, 0, 3], [0, 3, 1, 4], [1, 0, 0, 1]])
    np.testing.assert_allclose(scorer.order(cells, sums), [1 / 3, 3 / 4, 0.0])  # the share of class 1
