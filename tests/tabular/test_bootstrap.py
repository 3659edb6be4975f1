"""Bootstrap samples: frequencies, and independence of the order of rows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Column, Table
from assay.tabular.bootstrap import Population, content_order, stable_order


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 60))
def test_a_sample_does_not_depend_on_the_order_of_rows_or_on_how_repeats_are_written(seed, size):
    rng = np.random.default_rng(seed)
    table = Table(
        (
            Column("x", "numeric", rng.choice([0.0, -0.0, 1.0, np.nan], 20)),
            Column("c", "category", rng.integers(-1, 2, 20).astype(np.int32), ("a", "b")),
        )
    )
    target, weight = rng.normal(size=20), rng.integers(0, 3, 20)
    weight[0] = 1
    shuffle, repeat = rng.permutation(20), np.repeat(np.arange(20), weight)

    def drawn(rows, weights):
        """How often each of the 20 rows is drawn."""
        order = content_order(table.take(rows), target[rows])
        counts = Population.of(order, weights).draw(size, np.random.default_rng(7))
        return np.bincount(rows, counts, 20)

    expected = drawn(np.arange(20), weight.astype(float))
    np.testing.assert_array_equal(drawn(shuffle, weight[shuffle].astype(float)), expected)
    np.testing.assert_array_equal(drawn(repeat, None), expected)


def test_rows_are_drawn_in_proportion_to_their_weights():
    table = Table((Column("x", "numeric", np.arange(4.0)),))
    order = content_order(table, np.zeros(4))
    for weight in ([1.0, 2.0, 0.0, 5.0], [0.25, 0.5, 0.0, 1.25]):
        population = Population.of(order, np.array(weight))
        counts = population.draw(80_000, np.random.default_rng(0))
        assert counts.sum() == 80_000
        np.testing.assert_allclose(counts / 80_000, np.array(weight) / sum(weight), atol=0.01)
        distinct = population.draw_distinct(3, np.random.default_rng(0))
        assert distinct.sum() == 3
        assert distinct[2] == 0
    assert len(Population.of(order, np.array([1.0, 2.0, 0.0, 5.0]))) == 8
    assert len(Population.of(order, None)) == 4


@given(st.lists(st.integers(0, 5) | st.integers(2**63, 2**64 - 1), max_size=200))
def test_equal_words_keep_their_order(words):
    values = np.array(words, np.uint64)
    assert np.array_equal(stable_order(values), np.argsort(values, kind="stable"))


def test_many_words_of_which_few_are_equal_keep_their_order():
    values = np.random.default_rng(0).integers(0, 10_000, 5_000).astype(np.uint64)
    assert np.array_equal(stable_order(values), np.argsort(values, kind="stable"))
