"""Gradient boosting against scikit-learn's staged predictions and a naive boosting loop."""

import itertools

import numpy as np
import pytest

from assay.tabular.gbdt import GBDTClassifier, GBDTRegressor
from assay.tabular.losses import Huber, Logistic, Multinomial, Quantile, SquaredError, weighted_quantile

REGRESSION = ["squared_error", "absolute_error", "huber", "quantile"]


def problem(n: int = 250, seed: int = 0):
    """Rows that float32 can represent, as scikit-learn's trees do, and weights that make gains unique."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(np.float32).astype(np.float64)
    y = X[:, 0] + X[:, 1] ** 2 + rng.normal(size=n) / 4
    return X, y, rng.random(n) + 0.5


def classes(y: np.ndarray, num_classes: int) -> np.ndarray:
    return np.digitize(y, np.quantile(y, np.arange(1, num_classes) / num_classes))


# -- scikit-learn --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", REGRESSION)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_depth": 2, "learning_rate": 0.5},
        {"max_depth": 5, "min_samples_leaf": 7, "min_samples_split": 20},
        {"max_leaf_nodes": 5, "max_depth": None},
        {"min_weight_fraction_leaf": 0.1},
    ],
    ids=str,
)
def test_staged_predictions_are_scikit_learns(loss, settings):
    ensemble = pytest.importorskip("sklearn.ensemble")
    X, y, weight = problem()
    # Where all gradients of a node are equal, scikit-learn splits by rounding unless told not to.
    settings = {"loss": loss, "n_estimators": 12, "min_impurity_decrease": 1e-9, "alpha": 0.8} | settings
    ours = GBDTRegressor(max_bins=None, **settings).fit(X, y, weight)
    theirs = ensemble.GradientBoostingRegressor(random_state=0, **settings).fit(X, y, weight)
    np.testing.assert_allclose(ours.train_score_, theirs.train_score_, atol=1e-10)
    for mine, peer in zip(ours.staged_predict(X), theirs.staged_predict(X), strict=True):
        np.testing.assert_allclose(mine, peer, atol=1e-10)


@pytest.mark.parametrize("num_classes", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_staged_probabilities_are_scikit_learns(num_classes, weighted):
    ensemble = pytest.importorskip("sklearn.ensemble")
    X, y, weight = problem(seed=1)
    y, weight = classes(y, num_classes), weight if weighted else None
    # Without weights the first gradients of equally frequent classes tie.
    y[:7] = 0
    ours = GBDTClassifier(max_bins=None, n_estimators=10).fit(X, y, weight)
    theirs = ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0).fit(X, y, weight)
    np.testing.assert_allclose(ours.train_score_, theirs.train_score_, atol=1e-10)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-10)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    for mine, peer in zip(ours.staged_predict_proba(X), theirs.staged_predict_proba(X), strict=True):
        np.testing.assert_allclose(mine, peer, atol=1e-10)


@pytest.mark.parametrize("loss", REGRESSION)
@pytest.mark.parametrize("weighted", [False, True])
def test_round_zero_is_scikit_learns(loss, weighted):
    ensemble = pytest.importorskip("sklearn.ensemble")
    X, y, weight = problem(101)
    weight = weight if weighted else None
    settings = {"loss": loss, "n_estimators": 1, "learning_rate": 0.0, "alpha": 0.3}
    ours = GBDTRegressor(**settings).fit(X, y, weight)
    theirs = ensemble.GradientBoostingRegressor(**settings).fit(X, y, weight)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-12)


def test_pruning_is_scikit_learns():
    ensemble = pytest.importorskip("sklearn.ensemble")
    X, y, weight = problem()
    settings = {"n_estimators": 5, "max_depth": 6, "ccp_alpha": 0.02}
    ours = GBDTRegressor(max_bins=None, **settings).fit(X, y, weight)
    theirs = ensemble.GradientBoostingRegressor(random_state=0, **settings).fit(X, y, weight)
    leaves = [tree.num_leaves for tree in ours.ensemble_.trees]
    assert leaves == [tree[0].get_n_leaves() for tree in theirs.estimators_]
    assert max(leaves) < 2**6
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-10)


def test_works_in_grid_search_and_pipeline():
    selection = pytest.importorskip("sklearn.model_selection")
    pipeline = pytest.importorskip("sklearn.pipeline")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    X, y, _ = problem(120)
    steps = pipeline.make_pipeline(preprocessing.StandardScaler(), GBDTRegressor(n_estimators=5))
    search = selection.GridSearchCV(steps, {"gbdtregressor__max_depth": [1, 4]}, cv=2).fit(X, y)
    assert search.best_params_ == {"gbdtregressor__max_depth": 4}


# -- the formula ---------------------------------------------------------------------------------------------


def naive_split(X: np.ndarray, g: np.ndarray, w: np.ndarray, rows: np.ndarray):
    """The split of ``rows`` with the least weighted squared error of the gradient, by trying every one."""

    def error(part):
        mean = sum(w[i] * g[i] for i in part) / sum(w[i] for i in part)
        return sum(w[i] * (g[i] - mean) ** 2 for i in part)

    best = (error(rows) - 1e-9, None)
    for feature in range(X.shape[1]):
        values = sorted(set(X[rows, feature]))
        for below, above in itertools.pairwise(values):
            left = [i for i in rows if X[i, feature] <= below]
            right = [i for i in rows if X[i, feature] >= above]
            best = min(best, (error(left) + error(right), (left, right)), key=lambda found: found[0])
    return best[1]


def naive_leaves(X, g, w, depth: int) -> list[list[int]]:
    nodes = [list(range(len(X)))]
    for _ in range(depth):
        nodes = [part for node in nodes for part in naive_split(X, g, w, node) or (node,)]
    return nodes


def naive_boosting(X, y, w, loss, rounds, rate, depth, step):
    """Friedman's Algorithm 1 in loops; ``step`` is the line search of one leaf."""
    margins = np.repeat(loss.initial(y, w)[:, None], len(y), axis=1)
    for _ in range(rounds):
        loss = loss.settled(y, margins, w)
        gradients, frozen = loss.slopes(y, margins)[0], margins.copy()
        for k in range(loss.num_outputs):
            for leaf in naive_leaves(X, -gradients[k], w, depth):
                margins[k, leaf] += rate * step(loss, y[leaf], frozen[:, leaf], w[leaf], k)
    return margins


def newton(loss, y, margins, w, k):
    p = loss.response(margins)[:, k if loss.num_outputs > 1 else 1]
    hit = y == (k if loss.num_outputs > 1 else 1)
    factor = (loss.num_outputs - 1) / loss.num_outputs if loss.num_outputs > 1 else 1.0
    return factor * np.sum(w * (hit - p)) / np.sum(w * p * (1 - p))


def mean(loss, y, margins, w, k):
    return np.average(y - margins[0], weights=w)


def quantile(loss, y, margins, w, k):
    return weighted_quantile(y - margins[0], loss.alpha, w)


def mixed(loss, y, margins, w, k):
    residual = y - margins[0]
    median = weighted_quantile(residual, 0.5, w)
    cut = [np.sign(r - median) * min(loss.delta, abs(r - median)) for r in residual]
    return median + np.average(cut, weights=w)


@pytest.mark.parametrize(
    ("loss", "name", "step"),
    [
        (SquaredError(), "squared_error", mean),
        (Quantile(0.7), "quantile", quantile),
        (Huber(0.7), "huber", mixed),
        (Logistic(), "log_loss", newton),
        (Multinomial(3), "log_loss", newton),
    ],
    ids=lambda value: type(value).__name__,
)
def test_equals_friedmans_algorithm_in_loops(loss, name, step):
    rng = np.random.default_rng(4)
    X = rng.integers(0, 6, (40, 2)).astype(float)
    y = X[:, 0] * 0.3 + rng.normal(size=40)
    weight = rng.random(40) + 0.5
    if name == "log_loss":
        y = classes(y, 3 if isinstance(loss, Multinomial) else 2).astype(float)
    expected = naive_boosting(X, y, weight, loss, 4, 0.3, 2, step)
    settings = {"loss": name, "n_estimators": 4, "learning_rate": 0.3, "max_depth": 2, "max_bins": None}
    settings |= {"min_impurity_decrease": 1e-9 / weight.sum()}
    if name == "log_loss":
        model = GBDTClassifier(**settings).fit(X, y.astype(int), weight)
    else:
        model = GBDTRegressor(alpha=0.7, **settings).fit(X, y, weight)
    np.testing.assert_allclose(model._margins(X), expected, atol=1e-10)


# -- subsampling, early stopping, parameters -----------------------------------------------------------------


def test_a_round_sees_a_new_sample_without_replacement():
    X, y, _ = problem(200)
    model = GBDTRegressor(n_estimators=8, subsample=0.3, max_depth=1, random_state=0).fit(X, y)
    roots = [tree.count[0] for tree in model.ensemble_.trees]
    assert roots == [60] * 8
    assert len({tuple(tree.threshold[:1]) for tree in model.ensemble_.trees}) > 1


def test_all_classes_of_a_round_share_one_sample():
    X, y, weight = problem(200)
    y = classes(y, 3)
    model = GBDTClassifier(n_estimators=4, subsample=0.5, random_state=0).fit(X, y, weight)
    for round_ in range(4):
        covers = {tree.weight[0] for tree in model.ensemble_.trees[3 * round_ : 3 * round_ + 3]}
        assert max(covers) - min(covers) < 1e-9  # the weights of the sampled rows


def test_rows_outside_the_sample_move_too():
    X, y, _ = problem(300)
    model = GBDTRegressor(n_estimators=60, subsample=0.5, random_state=0, learning_rate=0.2).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.train_score_[-1] == pytest.approx(np.mean((y - model.predict(X)) ** 2))


@pytest.mark.parametrize("patience", [1, 3])
def test_stopping_follows_scikit_learns_rule(patience):
    model = GBDTRegressor(n_iter_no_change=patience, tol=0.05)
    rng = np.random.default_rng(patience)
    for _ in range(20):
        scores = list(1 / np.arange(1, 30) + rng.normal(scale=0.03, size=29))
        history = np.full(patience, np.inf)
        stop = len(scores)
        for i, score in enumerate(scores):
            if not (score + 0.05 < history).any():
                stop = i
                break
            history[i % patience] = score
        stalled = [model._stalled(scores[: i + 1]) for i in range(len(scores))]
        assert stalled.index(True) == stop if True in stalled else stop == len(scores)


def test_early_stopping_holds_out_a_stratified_part():
    X, y, _ = problem(400)
    model = GBDTClassifier(n_estimators=300, learning_rate=0.5, n_iter_no_change=3, random_state=0)
    model.fit(X, classes(y, 3))
    assert model.n_estimators_ < 300
    assert len(model.validation_score_) == len(model.train_score_) == model.n_estimators_
    root = model.ensemble_.trees[0].count[0]
    assert root == 360


def test_max_features_is_drawn_for_every_split():
    X, y, _ = problem(300)
    model = GBDTRegressor(n_estimators=30, max_features=1, max_depth=2, random_state=0).fit(X, y)
    children = [set(tree.feature[[1, 2]]) for tree in model.ensemble_.trees if tree.num_nodes == 7]
    assert any(len(pair) == 2 for pair in children)  # the two children of a root looked at different columns


def test_importances_are_the_gains():
    X, y, _ = problem(200)
    model = GBDTRegressor(n_estimators=5).fit(X, y)
    gains = np.zeros(4)
    for tree in model.ensemble_.trees:
        for feature, gain in zip(tree.feature, tree.gain, strict=True):
            if feature >= 0:
                gains[feature] += gain
    np.testing.assert_allclose(model.feature_importances_, gains / gains.sum())


@pytest.mark.parametrize(
    ("estimator", "wrong"),
    [
        (GBDTRegressor, {"loss": "log_loss"}),
        (GBDTClassifier, {"loss": "exponential"}),
        (GBDTRegressor, {"alpha": 1.0}),
        (GBDTRegressor, {"criterion": "friedman_mse"}),
        (GBDTRegressor, {"n_iter_no_change": 0}),
        (GBDTRegressor, {"tol": -1.0}),
        (GBDTRegressor, {"min_samples_leaf": 0}),
        (GBDTRegressor, {"max_features": "all"}),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(estimator, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        estimator(**wrong).fit([[1.0], [2.0], [3.0]], [0, 1, 0])
