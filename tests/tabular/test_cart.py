"""CART against a naive search, scikit-learn's trees and the properties of trees."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Column, Table
from assay.tabular.cart import CARTClassifier, CARTRegressor
from assay.tabular.impurity import impurity


def problem(num_classes, rows=300, seed=0, features=5):
    """Continuous features that scikit-learn's float32 holds exactly, and a target that needs interactions."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features)).astype(np.float32).astype(np.float64)
    signal = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=rows)
    if num_classes is None:
        return X, signal
    return X, np.digitize(signal, np.quantile(signal, np.arange(1, num_classes) / num_classes))


def decrease(criterion, y, weight, left):
    """The impurity decrease of a split times the total weight, from its definition."""
    parts = (y, weight, 1), (y[left], weight[left], -1), (y[~left], weight[~left], -1)
    return sum(sign * w.sum() * impurity(t, w, criterion) for t, w, sign in parts)


def candidate_splits(column, onehot):
    """Every way to send the rows of a column left or right, missing values to either side."""
    missing = column.missing
    values = column.values[~missing]
    if column.kind == "category":
        present = np.unique(values)
        sizes = (0, 1, len(present) - 1, len(present)) if onehot else range(len(present) + 1)
        chosen = itertools.chain.from_iterable(itertools.combinations(present, k) for k in sizes if k >= 0)
        sides = [np.isin(column.values, subset) & ~missing for subset in chosen]
    else:
        sides = [(column.values <= value) & ~missing for value in np.unique(values)]
        sides.append(np.zeros(len(missing), dtype=bool))
    for side in sides:
        yield side
        yield side | missing


def assert_greedy(tree, table, y, weight, criterion, min_leaf, onehot):
    """Every split of the tree is the best of all there are, and every leaf is pure or cannot be split."""
    reached = {0: np.arange(len(y))}
    for node in range(tree.num_nodes):
        rows = reached.pop(node)
        here = table.take(rows)
        best = max(
            (
                decrease(criterion, y[rows], weight[rows], left)
                for column in here.columns
                for left in candidate_splits(column, onehot)
                if min_leaf <= left.sum() <= len(rows) - min_leaf
            ),
            default=-1.0,
        )
        assert tree.count[node] == len(rows)
        assert tree.weight[node] == pytest.approx(weight[rows].sum())
        if tree.feature[node] < 0:
            assert best < 0 or impurity(y[rows], weight[rows], criterion) < 1e-12
            continue
        column = here.columns[tree.feature[node]]
        if column.kind == "category":
            left = np.isin(column.values, tree.categories_left(node))
        else:
            left = column.values <= tree.threshold[node]
        left = np.where(column.missing, tree.missing_left[node], left)
        assert tree.gain[node] == pytest.approx(best, rel=1e-9, abs=1e-9)
        assert decrease(criterion, y[rows], weight[rows], left) == pytest.approx(best, rel=1e-9, abs=1e-9)
        reached[tree.left[node]], reached[tree.right[node]] = rows[left], rows[~left]


def small_table(rng, rows):
    """Ties, missing values, a category, a boolean and a constant column."""
    numbers = rng.integers(0, 5, rows).astype(float)
    numbers[rng.random(rows) < 0.2] = np.nan
    flags = rng.integers(0, 2, rows).astype(float)
    colours = rng.integers(-1, 4, rows).astype(np.int32)
    return Table(
        (
            Column("number", "numeric", numbers),
            Column("flag", "boolean", flags),
            Column("colour", "category", colours, ("blue", "green", "red", "white")),
            Column("constant", "numeric", np.ones(rows)),
        )
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 24),
    kind=st.sampled_from(["gini", "entropy", "squared_error"]),
    weighted=st.booleans(),
    min_leaf=st.sampled_from([1, 1, 3]),
    onehot=st.booleans(),
)
def test_every_split_is_the_best_by_naive_search(seed, rows, kind, weighted, min_leaf, onehot):
    if not onehot:
        min_leaf = 1  # Among groups large enough, the best need not be a prefix of the sorted categories.
    rng = np.random.default_rng(seed)
    table = small_table(rng, rows)
    weight = rng.integers(1, 4, rows).astype(float) if weighted else np.ones(rows)
    if kind == "squared_error":
        y = rng.integers(0, 6, rows).astype(float)
        model = CARTRegressor(min_samples_leaf=min_leaf, max_cat_to_onehot=None if onehot else 1)
    else:
        y = rng.integers(0, 3 if onehot else 2, rows)  # Of three classes, groups are not always the best.
        model = CARTClassifier(
            criterion=kind, min_samples_leaf=min_leaf, max_cat_to_onehot=None if onehot else 1
        )
    model.fit(table, y, sample_weight=weight if weighted else None)
    y = np.unique(y, return_inverse=True)[1] if kind != "squared_error" else y
    assert_greedy(model.tree_, table, y, weight, kind, min_leaf, onehot)


def assert_same_splits(ours, theirs, X, y, weight, criterion):
    """Walks both trees; where they differ, both splits must gain the same, and nothing below is compared."""
    pending, agreed = [(0, 0, np.arange(len(y)))], 0
    while pending:
        node, other, rows = pending.pop()
        assert ours.count[node] == theirs.n_node_samples[other]
        assert ours.weight[node] == pytest.approx(theirs.weighted_n_node_samples[other])
        if impurity(y[rows], weight[rows], criterion) < 1e-9:
            continue  # With weights, rounding makes scikit-learn split some pure nodes.
        values = (
            theirs.value[other, 0]
            if ours.value.shape[1] > 1 or criterion == "squared_error"
            else theirs.value[other, 0, 1:]
        )
        np.testing.assert_allclose(ours.value[node], values, atol=1e-12)
        ends = ours.feature[node] < 0, theirs.children_left[other] < 0
        assert ends[0] == ends[1]
        if ends[0]:
            continue
        left = X[rows, ours.feature[node]] <= ours.threshold[node]
        if (ours.feature[node], ours.threshold[node]) != (theirs.feature[other], theirs.threshold[other]):
            tied = X[rows, theirs.feature[other]] <= theirs.threshold[other]
            gains = [decrease(criterion, y[rows], weight[rows], side) for side in (left, tied)]
            assert gains[0] == pytest.approx(gains[1], abs=1e-9)
            continue
        agreed += 1
        children = (
            (ours.left, theirs.children_left, rows[left]),
            (ours.right, theirs.children_right, rows[~left]),
        )
        pending += [(int(mine[node]), int(its[other]), part) for mine, its, part in children]
    return agreed


LIMITS = [
    {},
    {"max_depth": 4},
    {"min_samples_leaf": 5},
    {"min_samples_split": 0.1},
    {"max_leaf_nodes": 20},
    {"min_impurity_decrease": 0.005},
    {"min_weight_fraction_leaf": 0.02},
]


@pytest.mark.parametrize("limits", LIMITS, ids=lambda limits: next(iter(limits), "none"))
@pytest.mark.parametrize(
    ("criterion", "num_classes"),
    [("gini", 2), ("gini", 4), ("entropy", 2), ("entropy", 3), ("squared_error", None)],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_trees_equal_scikit_learns_where_ties_do_not_decide(criterion, num_classes, limits, weighted):
    tree = pytest.importorskip("sklearn.tree")
    X, y = problem(num_classes)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else np.ones(len(y))
    ours, theirs = (
        (CARTRegressor, tree.DecisionTreeRegressor)
        if num_classes is None
        else (CARTClassifier, tree.DecisionTreeClassifier)
    )
    mine = ours(criterion=criterion, **limits).fit(X, y, sample_weight=weight)
    its = theirs(criterion=criterion, random_state=0, **limits).fit(X, y, sample_weight=weight)
    assert assert_same_splits(mine.tree_, its.tree_, X, y, weight, criterion) >= 9


def test_categories_are_split_in_the_best_two_groups_or_one_against_the_rest():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 8, 400).astype(np.int32)
    names = tuple("abcdefgh")
    y = np.isin(codes, [1, 4, 6]) + 0.1 * rng.normal(size=400)
    table = Table((Column("letter", "category", codes, names),))
    for fewer_than, sizes in ((1, {3, 5}), (8, {3, 5}), (9, {1, 7}), (None, {1, 7})):
        model = CARTRegressor(max_depth=1, max_cat_to_onehot=fewer_than).fit(table, y)
        chosen = set(model.tree_.categories_left(0).tolist())
        assert len(chosen) in sizes
        assert chosen in ({1, 4, 6}, {0, 2, 3, 5, 7}) or sizes == {1, 7}


def test_unseen_category_and_missing_value_follow_the_trees_default():
    table = Table.of({"colour": ["red", "red", "blue", "blue", "blue"]})
    model = CARTClassifier().fit(table, [1, 1, 0, 0, 0])
    assert model.predict(Table.of({"colour": ["red", "blue", "green", None]})).tolist() == [1, 0, 0, 0]
    numbers = CARTClassifier().fit([[1.0], [2.0], [3.0]], [0, 1, 1])
    assert numbers.predict([[np.nan]]).tolist() == [1]  # The heavier side.


def test_missing_values_are_sent_where_they_gain():
    X = np.array([[0.0], [0.0], [1.0], [1.0], [np.nan], [np.nan]])
    for outcome in (0, 1):
        y = np.array([0, 0, 1, 1, outcome, outcome])
        assert CARTClassifier().fit(X, y).predict(X).tolist() == y.tolist()
    alone = CARTClassifier().fit(X, [0, 0, 0, 0, 1, 1])  # Missing against all that is known.
    assert alone.predict(X).tolist() == [0, 0, 0, 0, 1, 1]


def test_training_rows_reach_in_predict_the_leaf_they_reached_in_fit():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (200, 3)).astype(float)  # Most values sit on a threshold's edge.
    y = rng.normal(size=200)
    for max_bins in (None, 3):
        model = CARTRegressor(max_bins=max_bins).fit(X, y)
        leaf = model.apply(X)
        means = np.bincount(leaf, y, len(model.tree_.feature)) / np.maximum(
            np.bincount(leaf, minlength=len(model.tree_.feature)), 1
        )
        np.testing.assert_allclose(model.predict(X), means[leaf], atol=1e-12)
        np.testing.assert_array_equal(
            np.bincount(leaf),
            model.tree_.count[: leaf.max() + 1] * (model.tree_.feature[: leaf.max() + 1] < 0),
        )


def test_adjacent_float64_values_are_told_apart():
    low = 1.0
    high = np.nextafter(low, 2.0)
    model = CARTClassifier().fit([[low], [high]], [0, 1])
    assert model.predict([[low], [high]]).tolist() == [0, 1]


def test_constant_columns_single_rows_and_pure_nodes_are_leaves():
    assert CARTRegressor().fit(np.full((20, 2), 0.1), np.arange(20.0)).get_n_leaves() == 1
    assert CARTRegressor().fit([[3.0, 4.0]], [7.0]).predict([[0.0, 0.0]]).tolist() == [7.0]
    assert CARTClassifier().fit([[1.0], [2.0]], ["only", "only"]).predict([[9.0]]).tolist() == ["only"]
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(50, 3)), rng.uniform(0.1, 3, 50)
    for constant in (0.1, 1 / 3, 1e6 + 0.1):
        assert CARTRegressor().fit(X, np.full(50, constant), sample_weight=weight).get_n_leaves() == 1
    assert CARTClassifier().fit(X, np.ones(50), sample_weight=weight).get_n_leaves() == 1


@pytest.mark.parametrize("weights", ["ones", "counts", "any"])
@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_a_node_of_equal_targets_is_not_split_whatever_their_weights(weights, offset):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4))
    y = (X[:, 0] > 0) + 2.0 * (X[:, 1] > 0) + offset
    weight = {"ones": None, "counts": rng.integers(1, 5, 500), "any": rng.uniform(0.1, 3, 500)}[weights]
    model = CARTRegressor().fit(X, y, sample_weight=weight)
    assert model.get_n_leaves() == 4
    np.testing.assert_allclose(model.predict(X), y, atol=1e-12)


def test_exclusive_or_is_learned_though_no_first_split_gains():
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert CARTClassifier().fit(X, [0, 1, 1, 0]).score(X, [0, 1, 1, 0]) == 1.0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from([2, 3, None]), max_bins=st.sampled_from([None, 4]))
def test_weight_two_is_a_repeated_row(seed, kind, max_bins):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 8, (30, 3)).astype(float)
    y = rng.normal(size=30) if kind is None else np.arange(30) % kind
    weight = rng.integers(0, 4, 30)
    weight[:3] = 1
    Model = CARTRegressor if kind is None else CARTClassifier
    weighted = Model(max_bins=max_bins).fit(X, y, sample_weight=weight).tree_
    repeated = Model(max_bins=max_bins).fit(X.repeat(weight, axis=0), y.repeat(weight)).tree_
    np.testing.assert_array_equal(weighted.feature, repeated.feature)
    np.testing.assert_array_equal(weighted.threshold, repeated.threshold)
    np.testing.assert_allclose(weighted.value, repeated.value, atol=1e-12)
    np.testing.assert_allclose(weighted.weight, repeated.weight)


def test_order_of_rows_and_seed_do_not_matter_without_random_choices():
    X, y = problem(3)
    order = np.random.default_rng(5).permutation(len(y))
    first = CARTClassifier(random_state=0).fit(X, y).tree_
    second = CARTClassifier(random_state=1).fit(X[order], y[order]).tree_
    for name in ("feature", "threshold", "value", "gain"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_importances_and_shape():
    sklearn_tree = pytest.importorskip("sklearn.tree")
    X, y = problem(3)
    mine = CARTClassifier(max_depth=4).fit(X, y)
    its = sklearn_tree.DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)
    np.testing.assert_allclose(mine.feature_importances_, its.feature_importances_, atol=1e-12)
    assert (mine.get_depth(), mine.get_n_leaves()) == (its.get_depth(), its.get_n_leaves())
    assert CARTClassifier().fit(X, np.ones(len(y))).feature_importances_.tolist() == [0.0] * 5


def test_export_text_reads_as_rules():
    table = Table.of({"age": [20.0, 30.0, 40.0, 20.0], "colour": ["red", "red", "blue", "blue"]})
    text = CARTClassifier().fit(table, ["no", "yes", "no", "no"]).export_text(decimals=1)
    assert text.splitlines() == [
        "|--- age <= 25.0",
        "|   |--- class: no (1.0 of 2 rows)",
        "|--- age >  25.0 or missing",
        "|   |--- age <= 35.0",
        "|   |   |--- class: yes (1.0 of 1 rows)",
        "|   |--- age >  35.0 or missing",
        "|   |   |--- class: no (1.0 of 1 rows)",
    ]
    coloured = CARTClassifier().fit(table.select(["colour"]), ["no", "no", "yes", "yes"]).export_text()
    assert coloured.startswith("|--- colour in {")
    assert "|--- colour not in {" in coloured
    assert (
        "value: 2.50 (4 rows)" in CARTRegressor(max_depth=1).fit(np.zeros((4, 1)), [1, 2, 3, 4]).export_text()
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("criterion", "mse"),
        ("splitter", "worst"),
        ("max_depth", 0),
        ("max_depth", 2.5),
        ("min_samples_split", 1),
        ("min_samples_leaf", 0),
        ("min_samples_leaf", 1.5),
        ("min_weight_fraction_leaf", 0.7),
        ("max_features", "all"),
        ("max_features", 0),
        ("max_leaf_nodes", 1),
        ("min_impurity_decrease", -1.0),
        ("ccp_alpha", -0.1),
        ("max_bins", 1),
        ("max_cat_to_onehot", 0),
        ("random_state", "seed"),
    ],
)
def test_bad_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        CARTClassifier(**{name: value}).fit([[0.0], [1.0]], [0, 1])
