import numpy as np
import pytest

from assay.data.sources import Iterated, Ordered, Source


def letters(epoch):
    yield from (f"{letter}{epoch}" for letter in "abcdefg")


SOURCES = {
    "ordered": Ordered([f"{letter}" for letter in "abcdefg"]),
    "shuffled": Ordered(np.arange(7), seed=4),
    "iterated": Iterated(letters),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
class TestEverySource:
    def test_it_can_begin_anywhere(self, source):
        for epoch in range(3):
            whole = list(source.items(epoch, 0))
            assert len(whole) == 7
            for start in range(9):
                for step in (1, 2, 3):
                    assert list(source.items(epoch, start, step)) == whole[start::step]

    def test_it_is_a_source(self, source):
        assert isinstance(source, Source)


def test_orders_are_permutations_that_differ_by_epoch_and_seed():
    orders = [tuple(Ordered(range(50), seed=seed).items(epoch, 0)) for seed in (1, 2) for epoch in range(20)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(orders)) == 40
    assert list(Ordered(range(5)).items(3, 0)) == list(range(5))


def test_what_is_no_source():
    assert not isinstance([1, 2], Source)
    assert not isinstance(np.arange(3), Source)
