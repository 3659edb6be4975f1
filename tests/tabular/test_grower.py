"""Grown trees against brute force, scikit-learn, and what must hold for any tree."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Table
from assay.tabular.bins import Bins, Codes
from assay.tabular.grower import Classes, Grown, Limits, Newton, grow
from assay.tabular.tree import Tree

FIELDS = (
    "feature",
    "threshold",
    "left",
    "right",
    "missing_left",
    "categories",
    "gain",
    "weight",
    "count",
    "value",
)


def encoded(X, *, max_bins: int | None = None) -> tuple[Table, Codes]:
    table = Table.of(X)
    return table, Bins.fit(table, max_bins=max_bins).encode(table)


def assert_same_tree(a: Tree, b: Tree, *, but: tuple[str, ...] = ()) -> None:
    for name in FIELDS:
        if name not in but:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


# -- the definitions, in loops ---------------------------------------------------------------------------


def newton_score(target: Newton, rows: np.ndarray) -> float:
    """Twice the decrease of g w + h w^2 / 2 + l2 w^2 / 2 + l1 |w| at its minimum within the largest step."""
    g, h = (
        target.gradient[rows].sum(),
        (target.hessian[rows].sum() if target.hessian is not None else len(rows)),
    )
    step = -math.copysign(max(abs(g) - target.l1, 0.0), g) / (h + target.l2)
    if target.max_delta_step > 0:
        step = min(max(step, -target.max_delta_step), target.max_delta_step)
    return -2 * (g * step + (h + target.l2) * step**2 / 2 + target.l1 * abs(step))


def impurity_score(target: Classes, rows: np.ndarray) -> float:
    """Minus the weight times the impurity."""
    w = np.ones(len(target.labels)) if target.weights is None else target.weights
    mass = np.bincount(target.labels[rows], w[rows], minlength=target.num_classes)
    p = mass[mass > 0] / mass.sum()
    impurity = 1 - (p**2).sum() if target.criterion == "gini" else -(p * np.log2(p)).sum()
    return -mass.sum() * impurity


def score(target: Newton | Classes, rows: np.ndarray) -> float:
    return newton_score(target, rows) if isinstance(target, Newton) else impurity_score(target, rows)


def weights_of(target: Newton | Classes) -> np.ndarray:
    weights = target.hessian if isinstance(target, Newton) else target.weights
    return (
        np.ones(len(target.gradient if isinstance(target, Newton) else target.labels))
        if weights is None
        else weights
    )


def parts(x: np.ndarray, categories: bool) -> Iterator[np.ndarray]:
    """Every way to part rows, by a threshold or any set of categories, missing values on either side."""
    missing = np.isnan(x)
    values = np.unique(x[~missing])
    if categories:
        sets = [s for size in range(1, len(values)) for s in itertools.combinations(values, size)]
        sides = [np.isin(x, s) for s in sets]
    else:
        sides = [x <= value for value in values[:-1]]
    for side in sides:
        yield side
        if missing.any():
            yield side | missing
    if missing.any() and len(values):
        yield ~missing


def all_gains(X, is_category, target, limits, rows) -> list[float]:
    """The gains of all splits of a node that the limits allow."""
    weights, parent, gains = weights_of(target), score(target, rows), []
    for x, category in zip(X.T, is_category, strict=True):
        for left in parts(x[rows], category):
            children = rows[left], rows[~left]
            if all(
                len(child) >= limits.min_samples_leaf
                and weights[child].sum() >= max(limits.min_weight_leaf, 1e-300)
                for child in children
            ):
                gains.append(score(target, children[0]) + score(target, children[1]) - parent)
    return sorted(gains, reverse=True)


def route(tree: Tree, X: np.ndarray, is_category) -> dict[int, np.ndarray]:
    """The rows of every node, by the rule of a split."""
    reached = {0: np.arange(len(X))}
    for node in range(tree.num_nodes):
        feature = tree.feature[node]
        if feature < 0:
            continue
        x = X[reached[node], feature]
        left = np.isin(x, tree.categories_left(node)) if is_category[feature] else x <= tree.threshold[node]
        left = np.where(np.isnan(x), tree.missing_left[node], left)
        reached[int(tree.left[node])] = reached[node][left]
        reached[int(tree.right[node])] = reached[node][~left]
    return reached


def random_problem(rng, num_rows, kind, *, categories=False, missing=True):
    X = np.column_stack([
        rng.normal(size=num_rows),
        rng.integers(0, 5, num_rows),
        np.round(rng.normal(size=num_rows), 1),
        rng.integers(0, 5, num_rows),
    ])  # fmt: skip
    if missing:
        X[rng.random(X.shape) < 0.15] = np.nan
    is_category = (False, False, False, categories)
    columns = {f"x{j}": X[:, j] for j in range(3)}
    columns["x3"] = [None if np.isnan(v) else str(int(v)) for v in X[:, 3]] if categories else X[:, 3]
    table = Table.of(columns)
    if categories:  # categories are sorted names, so their codes are not the digits if one does not occur
        X[:, 3] = np.where(table["x3"].values < 0, np.nan, table["x3"].values)
    signal = np.nan_to_num(X[:, 0]) + (np.nan_to_num(X[:, 3]) == 2) + rng.normal(0, 0.5, num_rows)
    weights = rng.integers(1, 4, num_rows).astype(float)
    if kind == "newton":
        target = Newton(
            gradient=weights * -signal,
            hessian=weights * rng.uniform(0.1, 1, num_rows),
            l2=float(rng.choice([0, 1.0])),
            l1=float(rng.choice([0, 0.5])),
            max_delta_step=float(rng.choice([0, 0.3])),
            wide=True,
        )
    elif kind == "squared":
        target = Newton(gradient=weights * -signal, hessian=weights, wide=True)
    else:
        labels = np.digitize(signal, [0.2] if kind.startswith("two") else [-0.3, 0.7]).astype(np.int32)
        criterion = "gini" if kind.endswith("gini") else "entropy"
        target = Classes(
            labels=labels, num_classes=int(kind.startswith("three")) + 2, weights=weights, criterion=criterion
        )
    return X, is_category, Bins.fit(table, max_bins=None).encode(table), target


KINDS = ["newton", "squared", "two gini", "two entropy", "three gini", "three entropy"]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS), num_rows=st.sampled_from([2, 7, 30]))
def test_every_split_is_the_best_by_brute_force(seed, kind, num_rows):
    rng = np.random.default_rng(seed)
    # For two classes and least squares, the best set of categories is a prefix of their order (Fisher 1958).
    categories = kind in ("squared", "two gini", "two entropy") and bool(rng.integers(2))
    X, is_category, codes, target = random_problem(rng, num_rows, kind, categories=categories)
    limits = Limits(
        max_depth=4,
        # Among sets large enough, the best need not be a prefix.
        min_samples_leaf=1 if categories else int(rng.choice([1, 3])),
        min_weight_leaf=0.0 if categories else float(rng.choice([0, 2.5])),
        max_categories_onehot=0,
    )
    grown = grow(codes, target, limits)
    reached = route(grown.tree, X, is_category)
    tolerance = 1e-9 * (1 + abs(score(target, np.arange(num_rows))))
    for node, rows in reached.items():
        gains = all_gains(X, is_category, target, limits, rows)
        if grown.tree.feature[node] >= 0:
            children = reached[int(grown.tree.left[node])], reached[int(grown.tree.right[node])]
            gain = sum(score(target, child) for child in children) - score(target, rows)
            assert grown.tree.gain[node] == pytest.approx(gain, abs=tolerance)
            assert gain == pytest.approx(gains[0], abs=tolerance)
        elif grown.tree.depths[node] < 4 and gains:
            assert gains[0] <= tolerance
        assert grown.tree.count[node] == len(rows)
        assert grown.tree.weight[node] == pytest.approx(weights_of(target)[rows].sum())
        np.testing.assert_array_equal(grown.leaf[rows] == node, grown.tree.feature[node] < 0)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_newton_steps_or_class_distributions(kind):
    X, is_category, codes, target = random_problem(np.random.default_rng(3), 60, kind)
    tree = grow(codes, target, Limits(max_depth=3)).tree
    for node, rows in route(tree, X, is_category).items():
        weights = weights_of(target)[rows]
        if isinstance(target, Newton):
            g = target.gradient[rows].sum()
            step = -math.copysign(max(abs(g) - target.l1, 0), g) / (weights.sum() + target.l2)
            limit = target.max_delta_step or math.inf
            expected = [min(max(step, -limit), limit)]
        else:
            expected = np.bincount(target.labels[rows], weights, target.num_classes) / weights.sum()
        np.testing.assert_allclose(tree.value[node], expected, rtol=1e-12, atol=1e-15)


def test_few_categories_are_split_one_against_the_rest():
    X, _, codes, target = random_problem(np.random.default_rng(0), 200, "three gini", categories=True)
    tree = grow(codes, target, Limits(max_categories_onehot=5), features=np.array([3])).tree
    inner = np.flatnonzero(tree.feature == 3)
    assert len(inner)
    rows = route(tree, X, (False, False, False, True))
    for node in inner:
        present = np.unique(X[rows[node], 3])
        left = set(tree.categories_left(node)) & set(present)
        assert len(left) == 1 or left == set(present[~np.isnan(present)])  # or known against missing


# -- the field -------------------------------------------------------------------------------------------


def sklearn_like(rng, num_rows: int) -> np.ndarray:
    """Values that single precision, which scikit-learn compares in, tells apart, some of them tied."""
    return rng.integers(0, 5000, (num_rows, 4)) / 64.0


@pytest.mark.parametrize("criterion", ["squared_error", "gini", "entropy"])
@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"max_depth": 3},
        {"min_samples_leaf": 7},
        {"min_samples_split": 20},
        {"max_leaf_nodes": 9},
        {"min_weight_fraction_leaf": 0.05},
    ],
    ids=str,
)
@pytest.mark.parametrize("rows_are", ["plain", "weighted", "missing"])
def test_trees_equal_those_of_scikit_learn_split_by_split(criterion, limits, rows_are):
    trees = pytest.importorskip("sklearn.tree")
    n = 120
    rng = np.random.default_rng([len(str(limits)), len(rows_are)])
    X = sklearn_like(rng, n)
    signal = X[:, 0] / 40 + np.sin(X[:, 1]) + rng.normal(0, 0.3, n)
    if rows_are == "missing":
        X[rng.random(X.shape) < 0.1] = np.nan
    w = rng.integers(1, 4, n).astype(float) if rows_are == "weighted" else None
    if criterion == "squared_error":
        y = signal
        theirs = trees.DecisionTreeRegressor(criterion=criterion, random_state=0, **limits)
        ones = np.ones(n) if w is None else w
        target = Newton(gradient=-ones * y, hessian=w, wide=True)
    else:
        y = np.digitize(signal, [0.5, 1.3]).astype(np.int32)
        theirs = trees.DecisionTreeClassifier(criterion=criterion, random_state=0, **limits)
        target = Classes(labels=y, num_classes=3, weights=w, criterion=criterion)
    theirs = theirs.fit(X, y, sample_weight=w).tree_
    least_weight = limits.get("min_weight_fraction_leaf", 0) * (n if w is None else w.sum())
    allowed = Limits(
        max_depth=limits.get("max_depth"),
        max_leaves=limits.get("max_leaf_nodes"),
        min_samples_leaf=limits.get("min_samples_leaf", 1),
        min_samples_split=limits.get("min_samples_split", 2),
        min_weight_leaf=least_weight,
        min_gain=-1.0,
    )
    ours = grow(encoded(X)[1], target, allowed).tree
    reached = route(ours, X, (False,) * 4)
    pairs, compared = [(0, 0)], 0
    while pairs:
        a, b = pairs.pop()
        rows = reached[a]
        assert ours.count[a] == theirs.n_node_samples[b]
        assert ours.weight[a] == pytest.approx(theirs.weighted_n_node_samples[b])
        leaves = ours.feature[a] < 0, theirs.children_left[b] < 0
        gains = all_gains(X, (False,) * 4, target, allowed, rows) if not all(leaves) else [1.0, 0.0]
        if len(gains) > 1 and gains[0] - gains[1] < 1e-7 * (1 + abs(gains[0])):
            continue  # a tie decides
        assert leaves[0] == leaves[1]
        compared += 1
        if leaves[0]:
            continue
        assert ours.feature[a] == theirs.feature[b]
        if np.isfinite(theirs.threshold[b]):
            assert ours.threshold[a] == pytest.approx(theirs.threshold[b], rel=1e-6)
        total = theirs.weighted_n_node_samples
        kids = theirs.children_left[b], theirs.children_right[b]
        decrease = total[b] * theirs.impurity[b] - sum(total[k] * theirs.impurity[k] for k in kids)
        assert ours.gain[a] == pytest.approx(decrease, rel=1e-6, abs=1e-7)
        # With missing values on a side of their own, either side may be called left.
        swapped = bool(ours.count[ours.left[a]] != theirs.n_node_samples[kids[0]])
        pairs += [(int(ours.left[a]), int(kids[swapped])), (int(ours.right[a]), int(kids[not swapped]))]
    assert compared >= 5


def test_a_target_of_two_classes_gains_half_as_newton():
    rng = np.random.default_rng(1)
    X = sklearn_like(rng, 200)
    y = (X[:, 0] + 20 * rng.normal(size=200) > 40).astype(np.int32)
    w = rng.integers(1, 5, 200).astype(float)
    codes = encoded(X)[1]
    gini = grow(codes, Classes(labels=y, num_classes=2, weights=w), Limits(max_depth=5)).tree
    newton = grow(codes, Newton(gradient=-w * y, hessian=w), Limits(max_depth=5)).tree
    assert_same_tree(gini, newton, but=("gain", "value"))
    np.testing.assert_allclose(gini.gain, 2 * newton.gain, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(gini.value[:, 1], newton.value[:, 0], rtol=1e-12)


# -- what must always hold -------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS), max_bins=st.sampled_from([None, 6]))
def test_leaves_of_training_rows_are_those_the_tree_predicts(seed, kind, max_bins):
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(80, 3)), 1)
    X[rng.random(X.shape) < 0.1] = np.nan
    letters = [str(rng.choice(list("abcdefg"))) if rng.random() > 0.1 else None for _ in range(80)]
    table, codes = encoded({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "d": letters}, max_bins=max_bins)
    _, _, _, target = random_problem(rng, 80, kind)
    limits = Limits(random_thresholds=bool(rng.integers(2)), max_categories_onehot=int(rng.choice([0, 4])))
    rows = rng.permutation(80)[:60]
    grown = grow(codes, target, limits, rows=rows, seed=seed)
    np.testing.assert_array_equal(grown.leaf[rows], grown.tree.apply(table)[rows])
    others = np.setdiff1d(np.arange(80), rows)
    assert (grown.leaf[others] == -1).all()
    counts = np.bincount(grown.leaf[rows], minlength=grown.tree.num_nodes)
    leaves = grown.tree.feature < 0
    np.testing.assert_array_equal(counts[leaves], grown.tree.count[leaves])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "limits", [Limits(), Limits(max_leaves=7), Limits(max_features=2, random_thresholds=True)]
)
def test_the_order_of_the_rows_does_not_matter(kind, limits):
    rng = np.random.default_rng(2)
    _, _, codes, target = random_problem(rng, 150, kind, categories=True)
    order = rng.permutation(150)
    shuffled = replace(target, **{
        name: getattr(target, name)[order]
        for name in ("gradient", "hessian", "labels", "weights")
        if getattr(target, name, None) is not None
    })  # fmt: skip
    first = grow(codes, target, limits, seed=4)
    second = grow(codes.take(order), shuffled, limits, seed=4)
    assert_same_tree(first.tree, second.tree)
    np.testing.assert_array_equal(first.leaf[order], second.leaf)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", ["squared", "two gini", "three gini", "three entropy"])
def test_weight_two_is_a_row_twice_and_weight_zero_none(kind, wide):
    rng = np.random.default_rng(7)
    _, _, codes, target = random_problem(rng, 120, kind)
    w = rng.integers(0, 3, 120).astype(float)
    repeated = np.repeat(np.arange(120), w.astype(int))
    if isinstance(target, Newton):
        y = rng.integers(0, 2, 120).astype(float)
        target = Newton(gradient=-w * y, hessian=w, wide=wide)
        unrolled = Newton(gradient=-y[repeated], wide=wide)
    else:
        target = replace(target, weights=w)
        unrolled = replace(target, labels=target.labels[repeated], weights=None)
    once, twice = grow(codes, target, Limits()), grow(codes.take(repeated), unrolled, Limits())
    assert_same_tree(once.tree, twice.tree, but=("count",))
    np.testing.assert_array_equal(once.leaf[repeated], twice.leaf)
    np.testing.assert_array_equal(once.leaf == -1, w == 0)
    dropped = grow(codes, target, Limits(), rows=np.flatnonzero(w))
    assert_same_tree(once.tree, dropped.tree)


def test_a_node_that_is_pure_constant_or_alone_is_a_leaf():
    x = np.arange(20.0)
    same = encoded(np.ones((20, 2)))[1]
    distinct = encoded(x[:, None])[1]
    y = (x > 9).astype(np.int32)
    assert grow(same, Classes(labels=y, num_classes=2), Limits()).tree.num_nodes == 1
    assert grow(distinct, Classes(labels=np.ones(20, np.int32), num_classes=2), Limits()).tree.num_nodes == 1
    assert grow(distinct, Newton(gradient=np.full(20, 0.1)), Limits()).tree.num_nodes == 1
    assert grow(distinct, Newton(gradient=np.full(20, 0.1)), Limits(min_gain=-1.0)).tree.num_nodes == 1
    alone = grow(encoded(np.array([[1.0]]))[1], Newton(gradient=np.array([-3.0])), Limits())
    assert alone.tree.num_nodes == 1
    assert alone.tree.value.tolist() == [[3.0]]
    assert alone.leaf.tolist() == [0]


def test_splits_that_gain_nothing_are_taken_on_demand():
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    target = Classes(labels=np.array([0, 1, 1, 0], np.int32), num_classes=2)
    assert grow(encoded(X)[1], target, Limits()).tree.num_leaves == 1
    assert grow(encoded(X)[1], target, Limits(min_gain=-1.0)).tree.num_leaves == 4


def test_thresholds_lie_in_the_middle_of_neighbours_or_on_edges_of_bins():
    x = np.array([0.0, 1.0, 4.0, 9.0])
    target = Newton(gradient=-np.array([0.0, 0.0, 1.0, 1.0]))
    assert grow(encoded(x[:, None])[1], target, Limits(max_depth=1)).tree.threshold[0] == 2.5
    # Without the row of value 4, the neighbours in the node are 1 and 9.
    rows = np.array([0, 1, 3])
    assert grow(encoded(x[:, None])[1], target, Limits(), rows=rows).tree.threshold[0] == 5.0
    _, codes = encoded(np.arange(100.0)[:, None], max_bins=4)
    split = grow(
        codes, Newton(gradient=-(np.arange(100.0) > 60).astype(float)), Limits(max_depth=1)
    ).tree.threshold[0]
    assert split in codes.bins.features[0].thresholds
    low, high = 1.0, np.nextafter(1.0, 2.0)  # nothing lies between
    tree = grow(encoded(np.array([[low], [high]]))[1], Newton(gradient=np.array([0.0, 1.0])), Limits()).tree
    assert tree.threshold[0] == low


def test_missing_values_part_from_known_ones_at_infinity():
    x = np.array([1.0, 2.0, np.nan, np.nan])
    table, codes = encoded(x[:, None])
    tree = grow(codes, Newton(gradient=-np.array([0.0, 0.0, 1.0, 1.0])), Limits(max_depth=1)).tree
    assert tree.threshold[0] == np.inf
    assert not tree.missing_left[0]
    assert tree.apply(table).tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("heavy_left", [False, True])
def test_a_missing_value_never_seen_goes_with_the_heavier_child(heavy_left):
    x, y = np.arange(10.0), (np.arange(10) >= (7 if heavy_left else 3)).astype(float)
    tree = grow(encoded(x[:, None])[1], Newton(gradient=-y), Limits()).tree
    assert tree.missing_left[0] == heavy_left


def test_a_category_that_a_node_never_saw_goes_with_its_missing_values():
    values = list("aaabbbccc") + [None] * 3
    table, codes = encoded({"x": values})
    y = np.array([0] * 3 + [1] * 3 + [0] * 3 + [1] * 3, float)
    rows = np.r_[0:6, 9:12]  # without c
    tree = grow(codes, Newton(gradient=-y), Limits(max_depth=1), rows=rows).tree
    leaves = tree.apply(table)
    assert len(set(leaves[[3, 6, 9]])) == 1  # b, c and missing together
    assert leaves[0] != leaves[3]


def test_ties_go_to_the_lowest_feature_and_threshold():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    y = np.array([0.0, 1.0, 0.0, 1.0])
    tree = grow(encoded(np.column_stack([x, x]))[1], Newton(gradient=-y), Limits(max_depth=1)).tree
    assert (tree.feature[0], tree.threshold[0]) == (0, 0.5)  # as good as 2.5


@pytest.mark.parametrize("reference", [False, True])
def test_ties_between_nodes_go_to_the_one_made_first(reference):
    X = np.array(list(itertools.product([0.0, 1.0], [0.0, 1.0], range(3))))
    y = 100 * X[:, 0] + X[:, 1]  # both halves gain the same by their second split
    tree = grow(encoded(X)[1], Newton(gradient=-y), Limits(max_leaves=3), reference=reference).tree
    assert tree.left[:3].tolist() == [1, 3, -1]


# -- limits ----------------------------------------------------------------------------------------------


def grown_on_noise(limits: Limits, *, seed: int = 0, features=None) -> Grown:
    rng = np.random.default_rng(1)
    codes = encoded(rng.normal(size=(400, 8)), max_bins=255)[1]
    return grow(codes, Newton(gradient=rng.normal(size=400)), limits, seed=seed, features=features)


def test_limits_hold():
    tree = grown_on_noise(
        Limits(max_depth=4, min_samples_leaf=5, min_weight_leaf=9.5, min_samples_split=30)
    ).tree
    inner, leaves = tree.feature >= 0, tree.feature < 0
    assert tree.depth <= 4
    assert tree.count[leaves].min() >= 10
    assert tree.count[inner].min() >= 30
    assert grown_on_noise(Limits(max_leaves=13)).tree.num_leaves == 13
    assert grown_on_noise(Limits(max_leaves=1)).tree.num_leaves == 1
    assert grown_on_noise(Limits(max_depth=0)).tree.num_leaves == 1
    assert grown_on_noise(Limits(min_gain=8.0)).tree.gain[0] >= 8.0
    gains = grown_on_noise(Limits(min_gain=8.0)).tree
    assert gains.gain[gains.feature >= 0].min() >= 8.0


def test_the_leaves_of_a_limited_tree_are_the_best_first_ones():
    full = grown_on_noise(Limits()).tree
    some = grown_on_noise(Limits(max_leaves=10)).tree
    # A tree of fewer leaves is the top of a tree of more, and no open node of it gains more than a split one.
    pairs = [(0, 0)]
    unsplit = []
    while pairs:
        a, b = pairs.pop()
        assert some.count[a] == full.count[b]
        if some.feature[a] >= 0:
            assert (some.feature[a], some.threshold[a]) == (full.feature[b], full.threshold[b])
            pairs += [(some.left[a], full.left[b]), (some.right[a], full.right[b])]
        else:
            unsplit.append(full.gain[b])
    last = int(np.argmax(some.right))  # the split made last has the last children
    assert some.gain[last] >= max(unsplit)


def test_features_are_drawn_anew_at_every_split():
    roots = {
        int(grown_on_noise(Limits(max_depth=1, max_features=1), seed=seed).tree.feature[0])
        for seed in range(60)
    }
    assert roots == set(range(8))
    tree = grown_on_noise(Limits(max_features=1)).tree
    assert len(set(tree.feature[1:20]) - {-1}) > 3
    allowed = np.array([1, 6])
    assert set(grown_on_noise(Limits(max_features=1), features=allowed).tree.feature) == {-1, 1, 6}


def test_drawing_goes_on_until_a_feature_varies():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.zeros((50, 6)), rng.normal(size=50)])
    for seed in range(20):
        tree = grow(
            encoded(X)[1], Newton(gradient=X[:, 6]), Limits(max_features=1, max_depth=1), seed=seed
        ).tree
        assert tree.feature[0] == 6


def test_features_per_level_are_the_same_at_every_node_of_a_depth():
    tree = grown_on_noise(Limits(features_per_level=0.25, max_depth=5)).tree
    for depth in range(4):
        used = set(tree.feature[(tree.depths == depth) & (tree.feature >= 0)].tolist())
        assert 1 <= len(used) <= 2
    per_node = grown_on_noise(Limits(features_per_node=0.25, max_depth=5)).tree
    assert len(set(per_node.feature[per_node.depths == 4].tolist())) > 3


def test_random_thresholds_are_uniform_between_the_extremes_of_a_node():
    x = np.r_[0.0, np.arange(1.0, 10.0), 100.0]
    codes = encoded(x[:, None])[1]
    drawn = [
        grow(
            codes, Newton(gradient=x), Limits(random_thresholds=True, max_depth=1), seed=seed
        ).tree.threshold[0]
        for seed in range(300)
    ]
    assert 0 <= min(drawn) < 10
    assert 90 < max(drawn) < 100
    assert np.mean(drawn) == pytest.approx(50, abs=5)


def test_random_sets_of_categories_differ():
    values = list("abcdefgh") * 5
    codes = encoded({"x": values})[1]
    y = np.arange(40) % 8 + 0.0
    sets = {
        tuple(
            grow(
                codes, Newton(gradient=y), Limits(random_thresholds=True, max_depth=1), seed=seed
            ).tree.categories
        )
        for seed in range(30)
    }
    assert len(sets) > 20
    assert all(0 < len(s) < 8 for s in sets)


def test_the_seed_decides():
    limits = Limits(max_features=2)
    assert_same_tree(grown_on_noise(limits, seed=5).tree, grown_on_noise(limits, seed=5).tree)
    assert not np.array_equal(
        grown_on_noise(limits, seed=5).tree.feature, grown_on_noise(limits, seed=6).tree.feature
    )


def test_short_gradients_find_nearly_the_same_splits_as_long_ones():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 6))
    margin = X[:, 0] + X[:, 1] * X[:, 2]
    p, y = 1 / (1 + np.exp(-margin)), rng.random(3000) < 0.5
    codes = encoded(X, max_bins=255)[1]
    short, long = (
        grow(codes, Newton(gradient=p - y, hessian=p * (1 - p), l2=1.0, wide=wide), Limits(max_depth=4)).tree
        for wide in (False, True)
    )
    assert short.feature[0] == long.feature[0]
    assert short.gain.sum() == pytest.approx(long.gain.sum(), rel=0.02)
    np.testing.assert_allclose(short.weight[0], long.weight[0], rtol=1e-4)


# -- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Newton(gradient=np.zeros(3)), r"gradient must have shape \(4,\), one element per row, got \(3,\)"),
        (Newton(gradient=np.array([0, np.nan, 1, 2])), "gradient must be finite .*, got nan in row 1"),
        (Newton(gradient=np.array([0, 1, np.inf, 2])), "gradient must be finite .*, got inf in row 2"),
        (Newton(gradient=np.ones(4), hessian=-np.ones(4)), "hessian must not be negative, got -1.0 in row 0"),
        (Newton(gradient=np.ones(4), hessian=np.array([1, 2, 3])), "hessian must have shape"),
        (Newton(gradient=np.array(["a"] * 4)), "gradient must be an array of float64, got <U1"),
        (Newton(gradient=np.ones(4), l2=-1.0), "l2 must be finite and not negative, got -1.0"),
        (Newton(gradient=np.zeros(4), hessian=np.zeros(4)), "at least one row of non-zero weight"),
        (Classes(labels=np.array([0, 1, 2, 0]), num_classes=2), r"labels must be in \[0, 2\), got 0 to 2"),
        (Classes(labels=np.array([0.0] * 4), num_classes=2), "labels must be an array of int32, got float64"),
        (Classes(labels=np.zeros(4, int), num_classes=0), "num_classes must be at least 1, got 0"),
        (
            Classes(labels=np.zeros(4, int), num_classes=1, criterion="mse"),
            "criterion must be 'gini' or 'entropy'",
        ),  # type: ignore[arg-type]
        (Classes(labels=np.zeros(4, int), num_classes=1, weights=np.zeros(4)), "at least one row"),
    ],
)
def test_a_wrong_target_is_an_error(target, message):
    with pytest.raises(ValueError, match=message):
        grow(encoded(np.eye(4))[1], target, Limits())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": np.array([0, 4])}, r"rows must be in \[0, 4\), got 0 to 4"),
        ({"rows": np.array([0, 0])}, "rows must be distinct, got 2 of which 1 are"),
        ({"rows": np.array([], int)}, "rows must be a non-empty 1-d array of ints"),
        (
            {"rows": np.array([True, False, True, True])},
            "rows must be a non-empty 1-d array of ints, got bool",
        ),
        ({"features": np.array([-1])}, r"features must be in \[0, 4\)"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
    ],
)
def test_a_wrong_argument_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        grow(encoded(np.eye(4))[1], Newton(gradient=np.ones(4)), Limits(), **arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_depth", -1),
        ("max_leaves", 0),
        ("min_samples_split", 1),
        ("min_samples_leaf", 0),
        ("min_weight_leaf", -0.5),
        ("max_features", 0),
        ("features_per_level", 0.0),
        ("features_per_node", 1.5),
        ("min_gain", math.nan),
    ],
)
def test_a_limit_out_of_range_is_an_error(name, value):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


def test_grown_on_does_not_change_what_it_is_given():
    rng = np.random.default_rng(0)
    _, _, codes, target = random_problem(rng, 50, "newton", categories=True)
    before = codes.columns.copy(), target.gradient.copy(), target.hessian.copy()
    grow(codes, target, Limits())
    for array, copy in zip((codes.columns, target.gradient, target.hessian), before, strict=True):
        np.testing.assert_array_equal(array, copy)
