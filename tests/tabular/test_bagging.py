"""Bagging and its bootstrap against their definitions."""

import numpy as np
import pytest

from assay.data.table import Table
from assay.tabular.bagging import BaggingClassifier, BaggingRegressor
from assay.tabular.cart import CARTClassifier
from assay.tabular.estimator import Classifier


@pytest.fixture
def rings():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    return X, ((X[:, 0] ** 2 + X[:, 1] ** 2) > 1.4).astype(int)


# -- averages ------------------------------------------------------------------------------------------------


class Remembering(Classifier):
    """A base method without weights that keeps what it was given and always answers with class shares."""

    fits: list = []  # noqa: RUF012

    def get_params(self, deep=True):
        return {}

    def set_params(self, **params):
        return self

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares = counts / len(y)
        Remembering.fits.append((X, y))
        return self

    def predict_proba(self, X):
        return np.tile(self.shares, (X.num_rows, 1))


def test_members_without_weights_see_resampled_rows(rings):
    X, y = rings
    Remembering.fits.clear()
    model = BaggingClassifier(estimator=Remembering(), n_estimators=6, random_state=0).fit(X, y)
    samples = [np.sort(rows["x0"].values) for rows, _ in Remembering.fits]
    assert all(len(sample) == len(y) for sample in samples)
    shares = [len(np.unique(sample)) / len(y) for sample in samples]
    assert np.mean(shares) == pytest.approx(1 - np.exp(-1), abs=0.03)
    assert not np.array_equal(samples[0], samples[1])
    ones = [np.mean(labels) for _, labels in Remembering.fits]
    np.testing.assert_allclose(model.predict_proba(X[:1])[0], [1 - np.mean(ones), np.mean(ones)])


def test_trees_and_strangers_average_alike(rings):
    tree = pytest.importorskip("sklearn.tree")
    X, y = rings
    X = X.astype(np.float32).astype(float)
    ours = BaggingClassifier(estimator=CARTClassifier(max_depth=3), n_estimators=8, random_state=0).fit(X, y)
    theirs = BaggingClassifier(
        estimator=tree.DecisionTreeClassifier(max_depth=3), n_estimators=8, random_state=0
    )
    np.testing.assert_allclose(ours.predict_proba(X), theirs.fit(X, y).predict_proba(X), atol=0.02)
    assert ours.ensemble_ is not None
    assert theirs.ensemble_ is None


def test_the_average_is_over_members(rings):
    X, y = rings
    model = BaggingClassifier(n_estimators=5, random_state=0).fit(X, y)
    table = Table.of(X)
    each = [tree.predict(table)[:, 0] for tree in model.ensemble_.trees]
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], np.mean(each, axis=0))
    staged = list(model.staged_predict_proba(X))
    for members, stage in enumerate(staged, start=1):
        np.testing.assert_allclose(stage[:, 1], np.mean(each[:members], axis=0))


def test_staged_predictions_of_strangers(rings):
    linear = pytest.importorskip("sklearn.linear_model")
    X, y = rings
    model = BaggingRegressor(estimator=linear.LinearRegression(), n_estimators=4, random_state=0).fit(X, y)
    staged = list(model.staged_predict(X))
    assert len(staged) == 4
    np.testing.assert_allclose(staged[-1], model.predict(X))


def test_votes_where_members_have_no_probabilities(rings):
    svm = pytest.importorskip("sklearn.svm")
    X, y = rings
    model = BaggingClassifier(estimator=svm.LinearSVC(), n_estimators=5, random_state=0).fit(
        X, np.array(["in", "out"])[y]
    )
    votes = model.predict_proba(X) * 5
    np.testing.assert_allclose(votes, votes.round(), atol=1e-12)
    np.testing.assert_allclose(votes.sum(axis=1), 5)


def test_a_class_that_a_sample_lacks_has_probability_zero_there():
    neighbors = pytest.importorskip("sklearn.neighbors")
    X, y = np.arange(12.0)[:, None], np.array(["common"] * 11 + ["rare"])
    base = neighbors.KNeighborsClassifier(n_neighbors=1)
    model = BaggingClassifier(estimator=base, n_estimators=20, random_state=0).fit(X, y)
    assert {len(member.classes_) for member, _ in model.members_} == {1, 2}
    probability = model.predict_proba(X)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert 0 < probability[-1, 1] < 1


# -- features and sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [None, "stranger"])
def test_members_see_only_their_features(rings, base):
    X, y = rings
    if base is not None:
        base = pytest.importorskip("sklearn.linear_model").LinearRegression()
    model = BaggingRegressor(estimator=base, n_estimators=12, max_features=2, random_state=0).fit(X, y)
    if base is None:
        used = [set(tree.feature[tree.feature >= 0].tolist()) for tree in model.ensemble_.trees]
    else:
        used = [set(features.tolist()) for _, features in model.members_]
    assert all(len(features) == 2 for features in used)
    assert set().union(*used) == {0, 1, 2, 3}
    again = BaggingRegressor(n_estimators=12, bootstrap_features=True, random_state=0).fit(X, y)
    sizes = {len(set(tree.feature[tree.feature >= 0].tolist())) for tree in again.ensemble_.trees}
    assert min(sizes) < 4


@pytest.mark.parametrize(("max_samples", "expected"), [(None, 300), (50, 50), (0.1, 30), (1, 1)])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_sample_sizes(rings, max_samples, expected, bootstrap):
    X, y = rings
    model = BaggingRegressor(
        n_estimators=2, max_samples=max_samples, bootstrap=bootstrap, random_state=0
    ).fit(X, y)
    assert [tree.weight[0] for tree in model.ensemble_.trees] == [expected] * 2
    counts = [tree.count[0] for tree in model.ensemble_.trees]
    assert (
        counts == [expected] * 2
        if not bootstrap
        else max(counts) <= expected and (expected < 300 or max(counts) < 220)
    )


def test_without_bootstrap_every_member_sees_all_rows_with_their_weights(rings):
    X, y = rings
    weight = np.random.default_rng(0).uniform(0.5, 2, 300)
    model = BaggingClassifier(estimator=CARTClassifier(max_depth=3), n_estimators=2, bootstrap=False).fit(
        X, y, weight
    )
    alone = CARTClassifier(max_depth=3).fit(X, y, weight)
    np.testing.assert_allclose(model.predict_proba(X), alone.predict_proba(X))


def test_base_parameters_reach_the_trees(rings):
    X, y = rings
    base = CARTClassifier(max_depth=2, class_weight={1: 4.0}, ccp_alpha=0.02)
    model = BaggingClassifier(estimator=base, n_estimators=3, bootstrap=False).fit(X, y)
    alone = clone_fit(base, X, y)
    np.testing.assert_allclose(model.predict_proba(X), alone.predict_proba(X))
    assert all(tree.num_leaves == alone.get_n_leaves() for tree in model.ensemble_.trees)


def clone_fit(base, X, y):
    return CARTClassifier(**base.get_params()).fit(X, y)


# -- out of bag ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stranger", [False, True])
def test_out_of_bag_score_of_a_memorising_tree_on_random_labels_is_chance(stranger):
    base = pytest.importorskip("sklearn.tree").DecisionTreeClassifier() if stranger else CARTClassifier()
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 3)), rng.integers(0, 2, 600)
    model = BaggingClassifier(estimator=base, n_estimators=30, oob_score=True, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.oob_score_ == pytest.approx(0.5, abs=0.07)
    assert model.oob_decision_function_.shape == (600, 2)


def test_out_of_bag_predictions_are_averages_over_trees_without_the_row(rings):
    X, y = rings
    seen = []

    class Recording(BaggingRegressor):
        def _draw(self, population, weight, rng):
            seen.append(super()._draw(population, weight, rng))
            return seen[-1]

    model = Recording(n_estimators=40, oob_score=True, random_state=0).fit(X, y)
    each = np.array([tree.predict(Table.of(X))[:, 0] for tree in model.ensemble_.trees])
    unseen = np.array(seen) == 0
    expected = (each * unseen).sum(axis=0) / unseen.sum(axis=0)
    np.testing.assert_allclose(model.oob_prediction_, expected)
    assert model.oob_score_ == pytest.approx(1 - ((y - expected) ** 2).mean() / y.var())


def test_rows_that_all_members_saw_have_no_out_of_bag_prediction(rings):
    X, y = rings
    with pytest.warns(UserWarning, match="have no out-of-bag prediction"):
        model = BaggingClassifier(n_estimators=1, oob_score=True, random_state=0).fit(X, y)
    assert 0 < np.isnan(model.oob_decision_function_[:, 0]).mean() < 1
    assert 0 < model.oob_score_ <= 1
    with pytest.raises(ValueError, match="oob_score"):
        BaggingClassifier(bootstrap=False, oob_score=True).fit(X, y)


# -- properties ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stranger", [False, True])
def test_the_same_seed_gives_the_same_model_for_any_number_of_threads(rings, stranger):
    base = pytest.importorskip("sklearn.tree").DecisionTreeClassifier() if stranger else None
    X, y = rings
    first, second, third = (
        BaggingClassifier(
            estimator=base, n_estimators=30, n_jobs=jobs, oob_score=True, random_state=seed
        ).fit(X, y)
        for jobs, seed in ((None, 3), (3, 3), (None, 4))
    )
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    np.testing.assert_array_equal(first.oob_decision_function_, second.oob_decision_function_)
    assert not np.array_equal(first.predict_proba(X), third.predict_proba(X))


@pytest.mark.parametrize("kind", [2, 3, None])
def test_weight_two_is_a_repeated_row(kind):
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(40, 3)), rng.integers(0, 4, 40)
    y = rng.normal(size=40) if kind is None else np.arange(40) % kind
    Model = BaggingRegressor if kind is None else BaggingClassifier
    weighted = Model(n_estimators=5, random_state=0).fit(X, y, sample_weight=weight)
    repeated = Model(n_estimators=5, random_state=0).fit(X.repeat(weight, axis=0), y.repeat(weight))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X))


def test_more_members_vary_less(rings):
    X, y = rings
    spread = [
        np.std(
            [BaggingRegressor(n_estimators=n, random_state=s).fit(X, y).predict(X[:40]) for s in range(6)],
            axis=0,
        ).mean()
        for n in (1, 10)
    ]
    assert spread[1] < 0.5 * spread[0]


def test_the_monitor_counts_members_and_stops(rings):
    X, y = rings
    calls = []
    model = BaggingClassifier(n_estimators=20, random_state=0)
    model.fit(X, y, monitor=lambda done, estimator: calls.append((done, estimator)) or done == 7)
    assert [done for done, _ in calls] == list(range(1, 8))
    assert all(estimator is model for _, estimator in calls)
    whole = BaggingClassifier(n_estimators=20, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), list(whole.staged_predict_proba(X))[6])


def test_importances_are_those_of_trees(rings):
    X, y = rings
    model = BaggingClassifier(n_estimators=5, random_state=0).fit(X, y)
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert set(np.argsort(model.feature_importances_)[-2:]) == {0, 1}
    linear = pytest.importorskip("sklearn.linear_model")
    assert not hasattr(
        BaggingRegressor(estimator=linear.LinearRegression()).fit(X, y), "feature_importances_"
    )


def test_missing_values_and_unseen_categories(rings):
    table = Table.of({"colour": ["red", "blue", None, "red"] * 10, "x": [1.0, np.nan, 3.0, 4.0] * 10})
    model = BaggingRegressor(n_estimators=5, random_state=0).fit(table, np.arange(40.0) % 4)
    predicted = model.predict(Table.of({"colour": ["violet", None], "x": [np.nan, 2.0]}))
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_estimators", 0),
        ("max_samples", 0),
        ("max_samples", 1.5),
        ("max_features", 0),
        ("max_features", 9),
        ("n_jobs", 0),
    ],
)
def test_bad_parameters_are_named(rings, name, value):
    with pytest.raises(ValueError, match=name):
        BaggingClassifier(**{name: value}).fit(*rings)
    with pytest.raises(ValueError, match="max_samples"):
        BaggingRegressor(bootstrap=False, max_samples=301).fit(*rings)
