import math

import numpy as np
import pytest
from collective_worlds import ALGORITHMS

from assay.collectives.cost_model import (
    Network,
    crossing,
    fit_line,
    halving_doubling_seconds,
    ring_beats_tree_above,
    ring_seconds,
    simulate,
    tree_seconds,
)
from assay.collectives.schedule import step

ALPHA, BETA = 20e-6, 1 / 5e9
NETWORK = Network(alpha=ALPHA, beta=BETA)


@pytest.mark.parametrize(
    ("size", "ring", "halving", "tree"),
    [(1e3, 280e-6, 120e-6, 121e-6), (1e6, 630e-6, 470e-6, 1320e-6), (1e8, 35.3e-3, 35.1e-3, 120.1e-3)],
)
def test_the_handbooks_check_of_the_formulae(size, ring, halving, tree):
    assert ring_seconds(8, size, ALPHA, BETA) == pytest.approx(ring, rel=3e-3)
    assert halving_doubling_seconds(8, size, ALPHA, BETA) == pytest.approx(halving, rel=3e-3)
    assert tree_seconds(8, size, ALPHA, BETA) == pytest.approx(tree, rel=3e-3)


def test_where_ring_beats_the_tree():
    size = ring_beats_tree_above(8, ALPHA, BETA)
    assert size == pytest.approx(188e3, rel=3e-3)
    assert ring_seconds(8, size, ALPHA, BETA) == pytest.approx(tree_seconds(8, size, ALPHA, BETA))


@pytest.mark.parametrize("n", [2, 4, 8, 16])
@pytest.mark.parametrize("length", [0, 16, 16_000])
class TestSimulation:
    def test_is_the_formula_where_there_is_one(self, n, length):
        formulae = {"ring": ring_seconds, "halving-doubling": halving_doubling_seconds, "tree": tree_seconds}
        for name, formula in formulae.items():
            found = simulate(ALGORITHMS[name].steps("all_reduce", n, length), n, NETWORK, item=4)
            expected = formula(n, 4 * length, ALPHA, BETA) if length else 0.0
            assert found == pytest.approx(expected, rel=1e-12)

    def test_adding_costs_gamma_for_every_byte_that_is_added(self, n, length):
        adding = Network(alpha=ALPHA, beta=BETA, gamma=1e-9)
        steps = ALGORITHMS["ring"].steps("all_reduce", n, length)
        more = simulate(steps, n, adding) - simulate(steps, n, NETWORK)
        assert more == pytest.approx((n - 1) * (length / n) * 1e-9, abs=1e-15)


def test_messages_at_the_same_time_are_slower():
    crowded = Network(alpha=1.0, beta=0.5, crowd_alpha=0.1, crowd_beta=1.0)
    assert crowded.message(4, messages=3) == pytest.approx(1.2 + 4 * 1.5)
    together = step([0, 1], [2, 3], 0, [4, 4], reduce=False)
    assert simulate((together,), 4, crowded) == pytest.approx(crowded.message(4, 2))
    assert simulate((together,), 4, crowded.alone()) == pytest.approx(3.0)


def test_a_rank_that_is_late_delays_those_that_wait_for_it_only():
    first = step(0, 1, 0, 1000, reduce=False)
    second = step([1, 2], [3, 4], [0, 0], [10, 10], reduce=False)
    network = Network(alpha=0.0, beta=1.0)
    assert simulate((first,), 5, network) == 1000
    assert simulate((first, second), 5, network) == 1010
    assert simulate((first, second._replace(source=np.array([2, 4]))), 5, network) == 1000


def test_thousands_of_ranks():
    times = {
        name: simulate(ALGORITHMS[name].walk("all_reduce", 1024, 1024), 1024, NETWORK, 4)
        for name in ("ring", "halving-doubling", "tree")
    }
    assert times["ring"] == pytest.approx(ring_seconds(1024, 4096, ALPHA, BETA))
    assert times["halving-doubling"] < times["tree"] < times["ring"]


class TestFit:
    def test_finds_the_line(self):
        sizes = [1, 100, 10_000, 1_000_000]
        found = fit_line(sizes, [3e-5 + 2e-9 * size for size in sizes])
        assert (found.alpha, found.beta) == (pytest.approx(3e-5), pytest.approx(2e-9))
        assert found.residual == pytest.approx(0, abs=1e-12)

    def test_short_messages_count_as_much_as_long_ones(self):
        sizes = np.geomspace(1, 1e8, 9)
        noise = 1 + 0.1 * (-1) ** np.arange(9)
        found = fit_line(sizes, (1e-5 + 1e-9 * sizes) * noise)
        assert found.alpha == pytest.approx(1e-5, rel=0.15)
        assert found.beta == pytest.approx(1e-9, rel=0.15)
        assert 0.05 < found.residual < 0.15

    def test_is_never_negative(self):
        falling = fit_line([1, 10, 100], [3.0, 2.0, 1.0])
        assert falling.beta == 0.0
        assert falling.alpha > 0
        convex = fit_line([10, 100, 1000], [1.0, 20.0, 400.0])
        assert convex.alpha == 0.0
        assert convex.beta > 0

    def test_refuses_what_is_no_line(self):
        for sizes, seconds in (([1, 1], [1.0, 2.0]), ([1, 2], [1.0, 0.0]), ([1, 2], [1.0])):
            with pytest.raises(ValueError, match="expected positive times of at least two sizes"):
                fit_line(sizes, seconds)


def test_a_network_refuses_negative_or_infinite_costs():
    for value in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="beta must be a number from 0 up"):
            Network(alpha=0.0, beta=value)


def test_crossing():
    sizes = [1, 10, 100]
    assert crossing(sizes, [2, 2, 2], [1, 4, 8]) == pytest.approx(10**0.5)
    assert crossing(sizes, [1, 1, 1], [2, 2, 2]) == 1
    assert crossing(sizes, [3, 3, 3], [2, 2, 2]) is None
