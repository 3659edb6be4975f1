"""The random forest against scikit-learn's and against what distinguishes it from bagging."""

import numpy as np
import pytest

from assay.data.table import Column, Table
from assay.tabular.bagging import BaggingClassifier
from assay.tabular.cart import CARTClassifier
from assay.tabular.random_forest import RandomForestClassifier, RandomForestRegressor


def problem(num_classes=2, rows=600, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 8)).astype(np.float32).astype(np.float64)
    signal = X[:, 0] + X[:, 1] * X[:, 2] + noise * rng.normal(size=rows)
    if num_classes is None:
        return X, signal
    return X, np.digitize(signal, np.quantile(signal, np.arange(1, num_classes) / num_classes))


def test_features_are_drawn_anew_at_every_split():
    X, y = problem()
    model = RandomForestClassifier(n_estimators=30, max_features=1, max_depth=2, random_state=0).fit(X, y)
    below = [
        {int(tree.feature[child]) for child in (tree.left[0], tree.right[0]) if tree.feature[child] >= 0}
        | {int(tree.feature[0])}
        for tree in model.ensemble_.trees
    ]
    assert np.mean([len(features) for features in below]) > 2.3  # Drawn per tree, it would be 1.
    assert {int(tree.feature[0]) for tree in model.ensemble_.trees} == set(range(8))


def test_a_drawn_feature_that_does_not_vary_is_replaced_by_one_that_does():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones((200, 9)), rng.normal(size=200)])
    y = (X[:, 9] > 0).astype(int)
    model = RandomForestClassifier(n_estimators=10, max_features=1, random_state=0).fit(X, y)
    assert all(tree.feature[0] == 9 for tree in model.ensemble_.trees)


def test_probabilities_are_averaged_not_voted():
    X, y = problem()
    model = RandomForestClassifier(n_estimators=7, min_samples_leaf=20, random_state=0).fit(X, y)
    each = np.array([tree.predict(Table.of(X))[:, 0] for tree in model.ensemble_.trees])
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], each.mean(axis=0))
    assert not np.allclose(model.predict_proba(X)[:, 1], (each > 0.5).mean(axis=0), atol=0.05)


def test_without_sampling_a_forest_is_its_tree():
    X, y = problem(3)
    model = RandomForestClassifier(n_estimators=3, bootstrap=False, max_features=None, max_bins=None).fit(
        X, y
    )
    np.testing.assert_allclose(model.predict_proba(X), CARTClassifier().fit(X, y).predict_proba(X))


def test_a_forest_that_looks_at_all_features_is_bagging():
    X, y = problem()
    forest = RandomForestClassifier(n_estimators=5, max_features=None, max_bins=None, random_state=0).fit(
        X, y
    )
    bagging = BaggingClassifier(n_estimators=5, random_state=0).fit(X, y)
    np.testing.assert_array_equal(forest.predict_proba(X), bagging.predict_proba(X))


@pytest.mark.parametrize("num_classes", [2, 4, None])
@pytest.mark.parametrize("min_samples_leaf", [1, 5])
def test_quality_equals_scikit_learns(num_classes, min_samples_leaf):
    ensemble = pytest.importorskip("sklearn.ensemble")
    metrics = pytest.importorskip("sklearn.metrics")
    (X, y), (rest, truth) = problem(num_classes), problem(num_classes, rows=3000, seed=1)
    params = {"n_estimators": 60, "min_samples_leaf": min_samples_leaf, "max_features": "sqrt"}

    def quality(model):
        model.fit(X, y)
        if num_classes is None:
            return model.score(rest, truth)
        floored = np.maximum(model.predict_proba(rest), 0.01)
        return -metrics.log_loss(truth, floored / floored.sum(axis=1, keepdims=True))

    ours, theirs = (
        (RandomForestRegressor, ensemble.RandomForestRegressor)
        if num_classes is None
        else (RandomForestClassifier, ensemble.RandomForestClassifier)
    )
    mine, its = (
        [quality(Model(random_state=seed, **params)) for seed in range(3)] for Model in (ours, theirs)
    )
    assert np.mean(mine) == pytest.approx(np.mean(its), abs=0.02)


@pytest.mark.parametrize(
    ("num_classes", "min_samples_leaf", "share"), [(2, 5, 0.9), (2, 20, 1), (None, 5, 0.9), (None, 20, 1)]
)
def test_trees_equal_scikit_learns_on_the_same_bootstrap_samples(num_classes, min_samples_leaf, share):
    """Limits on leaves count rows, not draws; a ``share`` agrees where small leaves make splits tie."""
    tree = pytest.importorskip("sklearn.tree")
    X, y = problem(num_classes)
    drawn = []
    Ours, Theirs = (
        (RandomForestRegressor, tree.DecisionTreeRegressor)
        if num_classes is None
        else (RandomForestClassifier, tree.DecisionTreeClassifier)
    )

    class Recording(Ours):
        def _draw(self, population, weight, rng):
            drawn.append(super()._draw(population, weight, rng))
            return drawn[-1]

    limits = {"min_samples_leaf": min_samples_leaf, "max_features": None}
    forest = Recording(n_estimators=5, max_bins=None, random_state=0, **limits).fit(X, y)
    for weight, mine in zip(drawn, forest.ensemble_.trees, strict=True):
        its = Theirs(random_state=0, **limits).fit(X, y, sample_weight=weight)
        expected = its.predict(X) if num_classes is None else its.predict_proba(X)[:, 1]
        assert np.mean(np.isclose(mine.predict(Table.of(X))[:, 0], expected)) >= share
        assert mine.num_leaves == pytest.approx(its.get_n_leaves(), abs=2 if share < 1 else 0)


@pytest.mark.parametrize("regression", [False, True])
def test_min_samples_leaf_counts_distinct_rows_not_bootstrap_draws(regression):
    X, y = problem(None if regression else 2)
    Model = RandomForestRegressor if regression else RandomForestClassifier
    model = Model(n_estimators=10, min_samples_leaf=5, random_state=0).fit(X, y)
    for tree in model.ensemble_.trees:
        leaves = tree.feature < 0
        assert tree.count[leaves].min() >= 5
        assert tree.weight[leaves].min() < tree.weight[leaves].mean()
        assert tree.count[leaves].min() < 10  # As small as allowed: a count of draws would stop earlier.


def test_leaves_hold_exact_means():
    X, y = problem(None)
    model = RandomForestRegressor(n_estimators=1, bootstrap=False, max_features=None).fit(X, 1e3 + 1e-3 * y)
    np.testing.assert_allclose(model.predict(X), 1e3 + 1e-3 * y, rtol=1e-14)


def test_out_of_bag_score_estimates_the_test_score():
    (X, y), (rest, truth) = problem(noise=0.3, rows=1000), problem(noise=0.3, rows=2000, seed=1)
    model = RandomForestClassifier(n_estimators=60, oob_score=True, random_state=0).fit(X, y)
    assert model.oob_score_ == pytest.approx(model.score(rest, truth), abs=0.03)
    rng = np.random.default_rng(0)
    chance = RandomForestClassifier(n_estimators=40, oob_score=True, random_state=0).fit(
        X, rng.integers(0, 2, 1000)
    )
    assert chance.oob_score_ == pytest.approx(0.5, abs=0.06)
    numbers = RandomForestRegressor(n_estimators=40, oob_score=True, random_state=0).fit(
        X, rng.normal(size=1000)
    )
    assert numbers.oob_score_ < 0.05
    assert numbers.oob_prediction_.shape == (1000,)


def test_random_thresholds_make_trees_agree_less():
    ensemble = pytest.importorskip("sklearn.ensemble")
    (X, y), (rest, truth) = problem(None), problem(None, seed=1)

    def forest(splitter, seed):
        return RandomForestRegressor(
            n_estimators=20, splitter=splitter, max_features="sqrt", random_state=seed
        ).fit(X, y)

    def agreement(splitter):
        predicted = [tree.predict(Table.of(rest))[:, 0] for tree in forest(splitter, 0).ensemble_.trees]
        return np.corrcoef(predicted)[np.triu_indices(20, 1)].mean()

    assert agreement("random") < 0.8 * agreement("best")
    theirs = ensemble.ExtraTreesRegressor(n_estimators=20, bootstrap=True, max_features="sqrt")
    scores = [
        (
            forest("random", seed).score(rest, truth),
            theirs.set_params(random_state=seed).fit(X, y).score(rest, truth),
        )
        for seed in range(4)
    ]
    assert np.mean(scores, axis=0)[0] == pytest.approx(np.mean(scores, axis=0)[1], abs=0.03)


@pytest.mark.parametrize("regression", [False, True])
def test_the_same_forest_for_any_number_of_threads(regression):
    X, y = problem(None if regression else 3)
    Model = RandomForestRegressor if regression else RandomForestClassifier
    first, second, third = (
        Model(n_estimators=6, n_jobs=jobs, random_state=seed).fit(X, y)
        for jobs, seed in ((1, 3), (4, 3), (1, 4))
    )
    for mine, other in zip(first.ensemble_.trees, second.ensemble_.trees, strict=True):
        np.testing.assert_array_equal(mine.threshold, other.threshold)
        np.testing.assert_array_equal(mine.value, other.value)
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    assert not np.array_equal(first.ensemble_.trees[0].feature, third.ensemble_.trees[0].feature)


@pytest.mark.parametrize("num_classes", [2, 3, None])
def test_order_of_rows_and_repeats_do_not_matter(num_classes):
    X, y = problem(num_classes, rows=60)
    weight = np.random.default_rng(0).integers(0, 3, 60)
    Model = RandomForestRegressor if num_classes is None else RandomForestClassifier
    repeat, shuffle = np.repeat(np.arange(60), weight), np.random.default_rng(1).permutation(60)
    models = [
        Model(n_estimators=4, random_state=0).fit(X, y, sample_weight=weight),
        Model(n_estimators=4, random_state=0).fit(X[repeat], y[repeat]),
        Model(n_estimators=4, random_state=0).fit(X[shuffle], y[shuffle], sample_weight=weight[shuffle]),
    ]
    for other in models[1:]:
        np.testing.assert_allclose(models[0].predict(X), other.predict(X))


def test_class_weights_move_the_decision():
    X, y = problem(rows=1000)
    shares = [
        RandomForestClassifier(n_estimators=20, min_samples_leaf=10, class_weight=weight, random_state=0)
        .fit(X, y)
        .predict(X)
        .mean()
        for weight in ({1: 0.2}, None, {1: 5.0})
    ]
    assert shares[0] < shares[1] < shares[2]
    rare = np.arange(1000) % 20 == 0
    for weight in ("balanced", "balanced_subsample"):
        model = RandomForestClassifier(n_estimators=5, class_weight=weight, max_depth=3, random_state=0).fit(
            X, rare
        )
        for tree in model.ensemble_.trees:
            assert tree.value[0, 0] == pytest.approx(
                0.5, abs=1e-12 if weight == "balanced_subsample" else 0.15
            )


def test_importances_find_the_signal():
    ensemble = pytest.importorskip("sklearn.ensemble")
    X, y = problem(rows=1500)
    mine = RandomForestClassifier(n_estimators=40, random_state=0).fit(X, y).feature_importances_
    its = ensemble.RandomForestClassifier(n_estimators=40, random_state=0).fit(X, y).feature_importances_
    assert mine.sum() == pytest.approx(1)
    np.testing.assert_allclose(mine, its, atol=0.02)


def test_categories_and_missing_values_go_in_as_they_are():
    rng = np.random.default_rng(0)
    colour = rng.integers(-1, 12, 500).astype(np.int32)
    size = np.where(rng.random(500) < 0.2, np.nan, rng.normal(size=500))
    names = tuple("abcdefghijkl")
    table = Table((Column("colour", "category", colour, names), Column("size", "numeric", size)))
    y = np.isin(colour, [1, 5, 7, 10]) ^ (np.nan_to_num(size) > 1)
    model = RandomForestClassifier(n_estimators=20, max_features=2, random_state=0).fit(table, y)
    assert model.score(table, y) > 0.97
    strange = Table.of({"colour": ["z", None], "size": [0.0, np.nan]})
    assert np.isfinite(model.predict_proba(strange)).all()


def test_staged_predictions_end_at_the_forest():
    X, y = problem(None, rows=100)
    model = RandomForestRegressor(n_estimators=5, random_state=0).fit(X, y)
    staged = list(model.staged_predict(X))
    assert len(staged) == 5
    np.testing.assert_allclose(staged[-1], model.predict(X))
    np.testing.assert_allclose(staged[0], model.ensemble_.trees[0].predict(Table.of(X))[:, 0])


def test_bad_parameters_are_named():
    X, y = problem(rows=30)
    for name, value in (
        ("n_estimators", 0),
        ("max_features", 0.0),
        ("criterion", "mse"),
        ("max_samples", -1),
        ("min_samples_leaf", 0),
    ):
        with pytest.raises(ValueError, match=f"'{name}' parameter of RandomForestClassifier"):
            RandomForestClassifier(**{name: value}).fit(X, y)
