"""AdaBoost against scikit-learn's, the papers' formulas and the exponential bound."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Table
from assay.tabular.adaboost import AdaBoostClassifier, AdaBoostRegressor, drucker, samme, weighted_median
from assay.tabular.cart import CARTClassifier, CARTRegressor


def problem(num_classes=2, rows=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 5)).astype(np.float32).astype(np.float64)
    signal = X[:, 0] + X[:, 1] * X[:, 2] + 0.7 * rng.normal(size=rows)
    if num_classes is None:
        return X, signal
    return X, np.digitize(signal, np.quantile(signal, np.arange(1, num_classes) / num_classes))


# -- the formulas --------------------------------------------------------------------------------------------


def test_samme_by_hand():
    missed = np.array([True, False, False, False])
    judgement = samme(missed, np.full(4, 0.25), 2, 1.0)
    assert judgement.error == 0.25
    assert judgement.vote == pytest.approx(np.log(3))
    np.testing.assert_allclose(
        judgement.distribution, [0.5, 1 / 6, 1 / 6, 1 / 6]
    )  # Half the weight is on the errors.
    three = samme(missed, np.full(4, 0.25), 3, 0.5)
    assert three.vote == pytest.approx(0.5 * (np.log(3) + np.log(2)))


def test_a_huge_vote_leaves_finite_weights():
    judgement = samme(np.array([True, False]), np.array([1e-15, 1 - 1e-15]), 2, 1000.0)
    np.testing.assert_allclose(judgement.distribution, [1.0, 0.0], atol=1e-12)
    assert judgement.vote == pytest.approx(15_000 * np.log(10), rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), num_classes=st.integers(2, 5))
def test_the_last_learner_is_no_better_than_chance_on_the_new_weights(seed, num_classes):
    rng = np.random.default_rng(seed)
    missed, weight = rng.random(20) < 0.3, rng.uniform(0.1, 1, 20)
    judgement = samme(missed, weight / weight.sum(), num_classes, 1.0)
    if judgement.distribution is not None:
        assert judgement.distribution.sum() == pytest.approx(1)
        assert judgement.distribution @ missed == pytest.approx(1 - 1 / num_classes)


def test_drucker_by_hand():
    deviation, weight = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.4, 0.3, 0.2, 0.1])
    for loss, losses in (
        ("linear", [0, 0.25, 0.5, 1]),
        ("square", [0, 0.0625, 0.25, 1]),
        ("exponential", [0, 1 - np.exp(-0.25), 1 - np.exp(-0.5), 1 - np.exp(-1)]),
    ):
        judgement = drucker(deviation, weight, loss, 1.0)
        error = float(weight @ losses)
        beta = error / (1 - error)
        assert judgement.error == pytest.approx(error)
        assert judgement.vote == pytest.approx(-np.log(beta))
        expected = weight * beta ** (1 - np.array(losses))
        np.testing.assert_allclose(judgement.distribution, expected / expected.sum())
    assert drucker(deviation, np.array([0.0, 0.0, 0.0, 1.0]), "linear", 1.0).vote == 0  # Error 1/2 and more.
    assert drucker(np.zeros(4), weight, "linear", 1.0) == (0.0, 1.0, None)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), members=st.integers(1, 7))
def test_weighted_median_by_counting(seed, members):
    rng = np.random.default_rng(seed)
    values, weight = rng.integers(0, 4, (5, members)).astype(float), rng.integers(0, 4, members).astype(float)
    weight[0] += 1
    for row, found in zip(values, weighted_median(values, weight), strict=True):
        reached = [value for value in sorted(row) if weight[row <= value].sum() >= weight.sum() / 2]
        assert found == reached[0]


# -- scikit-learn --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("rate", [1.0, 0.4])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_round_equals_scikit_learns(num_classes, depth, rate, weighted):
    ensemble, tree = pytest.importorskip("sklearn.ensemble"), pytest.importorskip("sklearn.tree")
    X, y = problem(num_classes)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None
    params = {"n_estimators": 25, "learning_rate": rate, "random_state": 0}
    mine = AdaBoostClassifier(estimator=CARTClassifier(max_depth=depth), **params).fit(X, y, weight)
    its = ensemble.AdaBoostClassifier(tree.DecisionTreeClassifier(max_depth=depth), **params).fit(
        X, y, weight
    )
    np.testing.assert_allclose(mine.estimator_errors_, its.estimator_errors_, atol=1e-9)
    np.testing.assert_allclose(mine.estimator_weights_, its.estimator_weights_, atol=1e-8)
    rounds = zip(mine.staged_decision_function(X), its.staged_decision_function(X), strict=True)
    for ours, theirs in rounds:
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(mine.decision_function(X), its.decision_function(X), atol=1e-6)
    np.testing.assert_array_equal(mine.predict(X), its.predict(X))
    if depth == 1:  # Deeper trees have splits that gain the same on other features.
        np.testing.assert_allclose(mine.feature_importances_, its.feature_importances_, atol=1e-9)


class Replayed(np.random.RandomState):
    """A seed for scikit-learn whose draws of rows are given."""

    def __init__(self, samples):
        super().__init__(0)
        self.samples = iter(samples)

    def choice(self, *args, **kwargs):
        return next(self.samples)


@pytest.mark.parametrize("loss", ["linear", "square", "exponential"])
def test_every_round_of_r2_equals_scikit_learns_on_the_same_samples(loss, monkeypatch):
    ensemble, tree = pytest.importorskip("sklearn.ensemble"), pytest.importorskip("sklearn.tree")
    from assay.tabular import adaboost

    samples = []

    class Recorded(adaboost.Population):
        def draw(self, size, rng):
            counts = super().draw(size, rng)
            samples.append(np.repeat(np.arange(len(counts)), counts))
            return counts

    monkeypatch.setattr(adaboost, "Population", Recorded)
    X, y = problem(None, rows=1000)
    limits = {"max_depth": 3, "min_weight_fraction_leaf": 0.1}  # Among few rows splits tie.
    mine = AdaBoostRegressor(
        estimator=CARTRegressor(**limits), n_estimators=15, loss=loss, random_state=0
    ).fit(X, y)
    base = tree.DecisionTreeRegressor(**limits)
    its = ensemble.AdaBoostRegressor(base, n_estimators=15, loss=loss, random_state=Replayed(samples)).fit(
        X, y
    )
    assert len(samples) >= len(mine.estimator_errors_) > 5
    for ours, theirs in zip(mine.staged_predict(X), its.staged_predict(X), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    used = len(mine.estimator_errors_)
    np.testing.assert_allclose(mine.estimator_errors_, its.estimator_errors_[:used], atol=1e-9)
    np.testing.assert_allclose(mine.estimator_weights_, its.estimator_weights_[:used], atol=1e-8)
    np.testing.assert_allclose(mine.predict(X), its.predict(X), atol=1e-6)


# -- the literature's claims ---------------------------------------------------------------------------------


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("depth", [1, 3])
def test_the_exponential_bound_holds_at_every_round(resample, depth):
    X, y = problem()
    model = AdaBoostClassifier(
        estimator=CARTClassifier(max_depth=depth), n_estimators=60, resample=resample, random_state=0
    ).fit(X, y)
    error = model.estimator_errors_
    bound = np.cumprod(2 * np.sqrt(error * (1 - error)))
    training = [np.mean(predicted != y) for predicted in model.staged_predict(X)]
    assert len(training) == len(bound)
    assert all(wrong <= limit + 1e-12 for wrong, limit in zip(training, bound, strict=True))
    votes = np.log((1 - error) / error)
    sums = itertools.accumulate(
        vote * np.where(tree.predict(Table.of(X))[:, 0] > 0, 1, -1)
        for vote, tree in zip(votes, model.ensemble_.trees, strict=True)
    )
    # The mean exponential loss is the bound itself: a factor two in the votes would show.
    losses = [np.mean(np.exp(-0.5 * (2 * y - 1) * total)) for total in sums]
    np.testing.assert_allclose(losses, bound, rtol=1e-6)


def test_margins_grow_after_the_training_error_is_zero():
    X, y = problem(rows=200)
    model = AdaBoostClassifier(estimator=CARTClassifier(max_depth=3), n_estimators=80).fit(X, y)
    margins = [decision * (2 * y - 1) for decision in model.staged_decision_function(X)]
    first = next(i for i, margin in enumerate(margins) if (margin > 0).all())
    assert first < 60
    assert margins[-1].min() > margins[first].min()


def test_probabilities_are_those_of_the_additive_logistic_model():
    X, y = problem()
    model = AdaBoostClassifier(n_estimators=10).fit(X, y)
    total = model.decision_function(X) / 2 * model.estimator_weights_.sum()  # Sum of alpha h, h = +-1.
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-total)))
    three = AdaBoostClassifier(n_estimators=10).fit(*problem(3))
    scores = np.exp(2 / 3 * three.decision_function(X) * three.estimator_weights_.sum())
    np.testing.assert_allclose(three.predict_proba(X), scores / scores.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(model.predict(X), (model.decision_function(X) > 0).astype(int))


def test_median_not_mean():
    X, y = problem(None)
    model = AdaBoostRegressor(n_estimators=9, random_state=0).fit(X, y)
    each = np.stack([tree.predict(Table.of(X))[:, 0] for tree in model.ensemble_.trees], axis=1)
    assert (model.predict(X)[:, None] == each).any(axis=1).all()
    np.testing.assert_allclose(model.predict(X), weighted_median(each, model.estimator_weights_))


# -- where rounds end ----------------------------------------------------------------------------------------


def test_a_learner_without_error_is_the_last_and_decides():
    X, y = np.arange(10.0)[:, None], np.arange(10) >= 4
    model = AdaBoostClassifier(n_estimators=20).fit(X, y)
    assert model.estimator_errors_.tolist() == [0.0]
    assert model.estimator_weights_.tolist() == [1.0]
    assert model.score(X, y) == 1.0
    assert np.isfinite(model.predict_proba(X)).all()
    exact = AdaBoostRegressor(n_estimators=20, random_state=0, resample=False).fit(X, y.astype(float))
    assert exact.estimator_errors_.tolist() == [0.0]
    np.testing.assert_allclose(exact.predict(X), y)


def test_rounds_end_when_a_learner_is_no_better_than_chance():
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    model = AdaBoostClassifier(n_estimators=20).fit(X, [0, 1, 1, 0])  # No single split helps.
    assert model.estimator_errors_.tolist() == [0.5]
    assert model.predict(X).shape == (4,)
    later = AdaBoostClassifier(n_estimators=500).fit(np.arange(6.0)[:, None] // 2, [0, 1, 1, 1, 0, 0])
    assert 1 < len(later.estimator_errors_) < 500 or later.estimator_errors_[-1] < 0.5
    assert (later.estimator_errors_ < 0.5).all()
    noise = np.random.default_rng(0)
    spread = AdaBoostRegressor(estimator=CARTRegressor(max_depth=1), n_estimators=300, random_state=0)
    spread.fit(noise.normal(size=(80, 2)), noise.normal(size=80))
    assert len(spread.estimator_errors_) < 300
    assert (spread.estimator_errors_ < 0.5).all()


def test_random_labels_stay_under_chance():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), rng.integers(0, 3, 200)
    model = AdaBoostClassifier(n_estimators=30).fit(X, y)
    assert (model.estimator_errors_ < 1 - 1 / 3).all()
    assert (model.estimator_weights_ > 0).all()


# -- resampling ----------------------------------------------------------------------------------------------


def test_two_rounds_draw_different_samples():
    X, y = problem()
    drawn = []

    class Recording(CARTClassifier):
        def _grow(self, codes, target, num_classes, weight, **options):
            drawn.append(weight)
            return super()._grow(codes, target, num_classes, weight, **options)

    AdaBoostClassifier(estimator=Recording(max_depth=1), n_estimators=3, resample=True, random_state=0).fit(
        X, y
    )
    assert all(weight.sum() == 300 and np.array_equal(weight, weight.round()) for weight in drawn)
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.corrcoef(drawn[0], drawn[1])[0, 1] < 0.3


def test_resampling_reaches_what_weighting_reaches():
    (X, y), (rest, truth) = problem(), problem(rows=2000, seed=1)
    scores = [
        AdaBoostClassifier(n_estimators=60, resample=resample, random_state=0).fit(X, y).score(rest, truth)
        for resample in (False, True)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.06)


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("num_classes", [2, 3, None])
def test_weight_two_is_a_repeated_row(num_classes, resample):
    X, y = problem(num_classes, rows=60)
    weight = np.random.default_rng(0).integers(0, 3, 60)
    repeat = np.repeat(np.arange(60), weight)
    Model = AdaBoostRegressor if num_classes is None else AdaBoostClassifier
    params = {"n_estimators": 6, "resample": resample, "random_state": 0}
    weighted = Model(**params).fit(X, y, sample_weight=weight)
    repeated = Model(**params).fit(X[repeat], y[repeat])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X))
    np.testing.assert_allclose(weighted.estimator_errors_, repeated.estimator_errors_)


# -- any learner ---------------------------------------------------------------------------------------------


def test_strangers_boost_like_our_trees():
    tree = pytest.importorskip("sklearn.tree")
    X, y = problem(3)
    labels = np.array(["low", "middle", "high"])[y]
    ours = AdaBoostClassifier(estimator=CARTClassifier(max_depth=1), n_estimators=10).fit(X, labels)
    theirs = AdaBoostClassifier(estimator=tree.DecisionTreeClassifier(max_depth=1), n_estimators=10).fit(
        X, labels
    )
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-6)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert not hasattr(theirs, "feature_importances_")
    X, y = problem(None)
    limits = {"max_depth": 3, "min_weight_fraction_leaf": 0.1}
    mine, its = (
        AdaBoostRegressor(estimator=base(**limits), n_estimators=5, random_state=0).fit(X, y).predict(X)
        for base in (CARTRegressor, tree.DecisionTreeRegressor)
    )
    np.testing.assert_allclose(mine, its, atol=1e-6)


def test_a_learner_without_weights_must_be_resampled():
    neighbors = pytest.importorskip("sklearn.neighbors")
    X, y = problem()
    base = neighbors.KNeighborsClassifier(n_neighbors=25)
    with pytest.raises(
        ValueError, match="'resample' parameter of AdaBoostClassifier must be True for KNeighbors"
    ):
        AdaBoostClassifier(estimator=base).fit(X, y)
    model = AdaBoostClassifier(estimator=base, resample=True, n_estimators=5, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.7


# -- properties ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("Model", [AdaBoostClassifier, AdaBoostRegressor])
def test_seeds_decide(Model):
    X, y = problem(2 if Model is AdaBoostClassifier else None)
    first, again, other = (
        Model(n_estimators=5, resample=True, random_state=seed).fit(X, y).predict(X) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_monitor_counts_rounds_and_stops():
    X, y = problem()
    calls = []
    model = AdaBoostClassifier(n_estimators=30).fit(
        X, y, monitor=lambda done, _: calls.append(done) or done == 4
    )
    assert calls == [1, 2, 3, 4]
    assert len(model.estimator_weights_) == 4
    assert len(list(model.staged_predict_proba(X))) == 4


def test_missing_values_and_categories():
    table = Table.of({"colour": ["red", "blue", None, "green"] * 10, "x": [1.0, np.nan, 3.0, 4.0] * 10})
    y = np.array(["a", "b", "b", "a"] * 10)
    model = AdaBoostClassifier(estimator=CARTClassifier(max_depth=2)).fit(table, y)
    assert model.score(table, y) == 1.0
    assert model.predict(Table.of({"colour": ["violet"], "x": [np.nan]})).shape == (1,)


@pytest.mark.parametrize(
    ("name", "value"), [("n_estimators", 0), ("learning_rate", 0.0), ("learning_rate", np.inf)]
)
def test_bad_parameters_are_named(name, value):
    for Model in (AdaBoostClassifier, AdaBoostRegressor):
        with pytest.raises(ValueError, match=name):
            Model(**{name: value}).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="loss"):
        AdaBoostRegressor(loss="huber").fit([[0.0], [1.0]], [0, 1])
