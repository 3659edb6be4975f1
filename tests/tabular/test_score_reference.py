"""Scores of sums, and what the best sets of categories gain by chance, against loops and simulation."""

import math

import numpy as np
import pytest

from assay.data.table import Table
from assay.tabular import fixed_point
from assay.tabular.bins import Bins
from assay.tabular.grower import Limits, Newton, grow
from assay.tabular.score_reference import Scorer, entropy_term, words_of

# -- scores --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("l1", "l2", "limit", "expected"),
    [(0, 0, 0, 8.0), (0, 2, 0, 4.0), (1, 0, 0, 4.5), (0, 0, 1, 6.0)],  # G = 4, H = 2
)
def test_newton_scores_by_hand(l1, l2, limit, expected):
    statistics = fixed_point.newton(np.array([4.0]), np.array([2.0]), None, wide=True, count=False)
    by_hand = Scorer(statistics, (l1, l2, limit))
    assert float(by_hand.score(np.array([4, 2, 1]))) == expected


def test_words_of_two_classes_are_the_weight_of_the_second_and_of_both():
    labels, weights = np.array([0, 1, 1], np.int32), np.array([2.0, 3.0, 5.0])
    statistics = fixed_point.classes(labels, 2, weights, "gini", None, wide=True, count=False)
    words = words_of(statistics, Scorer(statistics, (0, 0, 0)))
    np.testing.assert_array_equal(words[:, :2], [[0, 2], [3, 3], [5, 5]])
    gini = Scorer(statistics, (0, 0, 0)).score(words.sum(axis=0))
    assert float(gini) == (2**2 + 8**2) / 10


def test_entropy_terms_by_hand():
    np.testing.assert_array_equal(entropy_term(np.array([0.0, 1.0, 8.0])), [0.0, 0.0, 24.0])


# -- chance --------------------------------------------------------------------------------------------------


def test_gain_by_chance_by_hand():
    statistics = fixed_point.newton(np.ones(4), np.full(4, 0.5), None, wide=True, count=False)
    scorer = Scorer(statistics, (0.0, 0.0, 0.0), noise=3.0)

    def gain(*weights: float) -> float:
        units = [round(weight / statistics.units[1]) for weight in weights]
        return scorer.gain_by_chance(np.array([[0, unit, 1] for unit in units]))

    assert gain(1, 1, 1, 1, 1) == pytest.approx(3 * 2 / math.pi * 4)
    assert gain(4, 1, 1) == pytest.approx(3 * 2 / math.pi * (16 / 6 - 1))  # (2 + 1 + 1)^2 / 6 equal ones
    assert gain(7) == pytest.approx(0, abs=1e-12)
    assert gain(0, 0) == 0


@pytest.mark.parametrize("categories", [30, 120])
def test_it_is_what_the_best_groups_gain_where_categories_tell_nothing(categories):
    """The gain that is left is near zero beside the one by chance, 2 / pi of the number of categories."""
    rng = np.random.default_rng(categories)
    n = 40 * categories
    limits = Limits(max_depth=1, min_gain=-math.inf, max_categories_onehot=0)
    left, plain = [], []
    for _ in range(40):
        names = [f"{i:03d}" for i in rng.permutation(n) % categories]
        codes = Bins.fit(Table.of({"name": names})).encode(Table.of({"name": names}))
        gradient = rng.normal(0, 2, n)
        for gains, noise in ((left, 4.0), (plain, 0.0)):
            tree = grow(codes, Newton(gradient=gradient, wide=True, noise=noise), limits).tree
            gains.append(tree.gain[0])
    chance = 4 * 2 / math.pi * categories
    assert np.mean(plain) == pytest.approx(chance, rel=0.1)
    assert abs(np.mean(left)) < 0.1 * chance


def test_only_sets_of_categories_pay():
    """Not thresholds, not one category against the rest, and not known values against missing ones."""
    rng = np.random.default_rng(0)
    n = 200
    number = rng.integers(0, 9, n).astype(float)
    few = [("a", "b", "c")[i] for i in rng.integers(0, 3, n)]
    gaps = [None if rng.random() < 0.3 else "xyz"[i] for i in rng.integers(0, 3, n)]
    gradient = np.where([gap is None for gap in gaps], 3.0, -1.0)
    for values, onehot in ((number, 0), (few, 4), (gaps, 0)):
        table = Table.of({"value": values})
        codes = Bins.fit(table).encode(table)
        limits = Limits(max_depth=1, max_categories_onehot=onehot)
        trees = [
            grow(codes, Newton(gradient=gradient, noise=noise, wide=True), limits).tree for noise in (0, 0.5)
        ]
        assert trees[0].num_nodes == 3
        np.testing.assert_array_equal(trees[0].gain, trees[1].gain)
