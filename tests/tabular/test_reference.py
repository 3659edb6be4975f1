"""The NumPy twin of the grower: its random numbers, and its first split by the definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Table
from assay.tabular.bins import Bins
from assay.tabular.grower import Classes, Grown, Limits, Newton, grow
from assay.tabular.reference import draw, mix, sampled, shuffled


def grown(X: np.ndarray, target: Newton | Classes, limits: Limits | None = None) -> Grown:
    table = Table.of(X)
    return grow(Bins.fit(table, max_bins=None).encode(table), target, limits or Limits(), reference=True)


# -- random numbers --------------------------------------------------------------------------------------


def test_mix_is_splitmix64():
    state, outputs = 1234567, []
    for _ in range(3):
        outputs.append(mix(state))
        state += 0x9E3779B97F4A7C15
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_draws_are_functions_of_their_arguments_alone():
    keys = [(key, stream, index) for key in (1, 2) for stream in (1, 2) for index in range(50)]
    drawn = [draw(*key) for key in keys]
    assert drawn[::-1] == [draw(*key) for key in keys[::-1]]
    assert len(set(drawn)) == len(keys)
    assert all(0 <= number < 2**64 for number in drawn)


def test_shuffles_are_permutations_and_every_item_comes_first_equally_often():
    items = list(range(5))
    orders = [shuffled(items, mix(key), 3) for key in range(5000)]
    assert items == list(range(5))
    assert all(sorted(order) == items for order in orders)
    first = np.bincount([order[0] for order in orders], minlength=5)
    assert np.abs(first - 1000).max() < 5 * math.sqrt(1000 * 0.8)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.floats(0.01, 1.0), st.integers(0, 2**64 - 1))
def test_a_share_has_its_size_and_keeps_the_order(size, fraction, key):
    items = list(range(100, 100 + size))
    some = sampled(items, fraction, key, 1)
    assert len(some) == max(1, int(fraction * size))
    assert some == sorted(set(some))
    assert set(some) <= set(items)


# -- the first split, by the definitions -----------------------------------------------------------------


def newton_score(target: Newton, rows: np.ndarray) -> float:
    """T(G)^2 / (H + l2), or what the clipped step gains."""
    assert target.hessian is not None
    g, h = float(target.gradient[rows].sum()), float(target.hessian[rows].sum())
    step = max(abs(g) - target.l1, 0.0) / (h + target.l2)
    if target.max_delta_step > 0:
        step = min(step, target.max_delta_step)
    return 2 * (abs(g) - target.l1) * step - (h + target.l2) * step**2


def impurity_score(target: Classes, rows: np.ndarray) -> float:
    assert target.weights is not None
    mass = [float(target.weights[rows][target.labels[rows] == k].sum()) for k in range(target.num_classes)]
    shares = [m / sum(mass) for m in mass if m > 0]
    if target.criterion == "gini":
        return -sum(mass) * (1 - sum(p * p for p in shares))
    return sum(mass) * sum(p * math.log2(p) for p in shares)


def gains(X: np.ndarray, target: Newton | Classes, least: int) -> dict[tuple[int, float], float]:
    """The gain of every split of all rows whose children have enough rows."""

    def score(rows: np.ndarray) -> float:
        return newton_score(target, rows) if isinstance(target, Newton) else impurity_score(target, rows)

    whole = score(np.ones(len(X), bool))
    found = {}
    for feature, x in enumerate(X.T):
        values = np.unique(x)
        for below, above in itertools.pairwise(values):
            left = x <= below
            if min(left.sum(), (~left).sum()) >= least:
                gain = score(left) + score(~left) - whole
                found[feature, (below + above) / 2] = gain
    return found


def random_target(rng: np.random.Generator, kind: str, rows: int) -> Newton | Classes:
    weights = rng.integers(1, 5, rows).astype(float)
    if kind.startswith("newton"):
        penalties = {
            "newton": {},
            "newton l2": {"l2": 2.5},
            "newton l1": {"l1": 1.5, "l2": 0.5},
            "newton step": {"max_delta_step": 0.3, "l1": 0.5},
        }[kind]
        return Newton(gradient=rng.normal(size=rows) * weights, hessian=weights, wide=True, **penalties)
    labels = rng.integers(0, 3, rows).astype(np.int32)
    return Classes(labels=labels, num_classes=3, weights=weights, criterion=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["newton", "newton l2", "newton l1", "newton step", "gini", "entropy"])
@pytest.mark.parametrize("seed", range(5))
def test_the_first_split_is_the_best_of_all(kind, seed):
    rng = np.random.default_rng(seed)
    X, least = rng.integers(0, 12, (40, 3)).astype(float), 1 + 3 * (seed % 2)
    target = random_target(rng, kind, 40)
    tree = grown(X, target, Limits(max_depth=1, min_samples_leaf=least)).tree
    found = gains(X, target, least)
    best = max(found.values())
    assert best > 1e-9
    assert tree.num_leaves == 2
    assert tree.gain[0] == pytest.approx(best, rel=1e-9)
    chosen = int(tree.feature[0]), float(tree.threshold[0])
    assert found[chosen] == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("kind", ["newton l1", "gini", "entropy"])
def test_another_order_of_rows_grows_the_same_tree(kind):
    rng = np.random.default_rng(8)
    X, target, order = rng.normal(size=(60, 3)), random_target(rng, kind, 60), rng.permutation(60)
    if isinstance(target, Newton):
        assert target.hessian is not None
        other = Newton(
            gradient=target.gradient[order], hessian=target.hessian[order], l1=1.5, l2=0.5, wide=True
        )
    else:
        assert target.weights is not None
        other = Classes(
            labels=target.labels[order],
            num_classes=3,
            weights=target.weights[order],
            criterion=target.criterion,
        )
    a, b = grown(X, target), grown(X[order], other)
    for name in ("feature", "threshold", "gain", "weight", "count", "value", "left"):
        np.testing.assert_array_equal(getattr(a.tree, name), getattr(b.tree, name), err_msg=name)
    np.testing.assert_array_equal(a.leaf[order], b.leaf)


def test_weight_two_is_a_row_twice_and_weight_zero_is_none():
    rng = np.random.default_rng(9)
    X, labels = rng.normal(size=(50, 2)), rng.integers(0, 3, 50).astype(np.int32)
    weights = rng.integers(0, 3, 50)
    repeat = np.repeat(np.arange(50), weights)
    table = Table.of(X)
    codes = Bins.fit(table, max_bins=None).encode(table)
    a = grow(codes, Classes(labels=labels, num_classes=3, weights=weights * 1.0), Limits(), reference=True)
    b = grow(codes.take(repeat), Classes(labels=labels[repeat], num_classes=3), Limits(), reference=True)
    for name in ("feature", "threshold", "gain", "weight", "value"):
        np.testing.assert_array_equal(getattr(a.tree, name), getattr(b.tree, name), err_msg=name)
    assert (a.leaf[weights == 0] == -1).all()
    np.testing.assert_array_equal(a.leaf[repeat], b.leaf)


def test_limits_hold_and_the_best_leaves_are_split_first():
    rng = np.random.default_rng(10)
    X, target = rng.normal(size=(80, 3)), Newton(gradient=rng.normal(size=80))
    full = grown(X, target, Limits(min_samples_leaf=3, max_depth=4)).tree
    assert full.depth <= 4
    assert full.count[full.feature < 0].min() >= 3
    few, more = (grown(X, target, Limits(max_leaves=k, min_samples_leaf=3)).tree for k in (4, 5))
    assert (few.num_leaves, more.num_leaves) == (4, 5)
    np.testing.assert_array_equal(
        few.feature[few.feature >= 0], more.feature[: few.num_nodes][few.feature >= 0]
    )
    assert grown(X, target, Limits(max_leaves=1)).tree.num_nodes == 1
