"""The parameters that all impurity trees share, one by one."""

import numpy as np
import pytest

from assay.tabular.cart import CARTClassifier, CARTRegressor


def problem(num_classes, rows=300, seed=0, features=5):
    """Continuous features that scikit-learn's float32 holds exactly, and a target that needs interactions."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features)).astype(np.float32).astype(np.float64)
    signal = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=rows)
    if num_classes is None:
        return X, signal
    return X, np.digitize(signal, np.quantile(signal, np.arange(1, num_classes) / num_classes))


def test_min_samples_leaf_counts_rows_not_weights():
    X, y = np.arange(6.0)[:, None], np.array([0, 1, 1, 1, 1, 1])
    heavy = CARTClassifier(min_samples_leaf=2).fit(X, y, sample_weight=[9, 1, 1, 1, 1, 1])
    assert heavy.tree_.count[heavy.tree_.feature < 0].min() >= 2


def test_random_choices_follow_the_seed():
    X, y = problem(2)
    for params in (
        {"splitter": "random"},
        {"max_features": 1},
        {"max_features": "sqrt", "splitter": "random"},
    ):
        first, again, other = (
            CARTClassifier(random_state=seed, **params).fit(X, y).tree_ for seed in (3, 3, 4)
        )
        np.testing.assert_array_equal(first.threshold, again.threshold)
        assert not (
            len(first.threshold) == len(other.threshold)
            and np.array_equal(first.threshold, other.threshold, equal_nan=True)
        )


def test_random_thresholds_lie_inside_their_node():
    X, y = problem(None)
    model = CARTRegressor(splitter="random", random_state=0).fit(X, y)
    best = CARTRegressor(max_depth=1).fit(X, y)
    shallow = CARTRegressor(splitter="random", max_depth=1, random_state=0).fit(X, y)
    assert shallow.tree_.gain[0] <= best.tree_.gain[0]
    np.testing.assert_allclose(model.predict(X), y)


@pytest.mark.parametrize("max_features", [1, 3, 0.5, "sqrt", "log2", None])
def test_max_features_limits_what_a_split_may_choose(max_features):
    X, y = problem(2, features=8)
    roots = {
        int(
            CARTClassifier(max_features=max_features, max_depth=1, random_state=seed)
            .fit(X, y)
            .tree_.feature[0]
        )
        for seed in range(20)
    }
    assert (len(roots) == 1) == (max_features is None)


def test_class_weights():
    X, y = problem(2)
    balanced = CARTClassifier(class_weight="balanced", max_depth=2).fit(X, y)
    counts = np.bincount(y)
    same = CARTClassifier(max_depth=2).fit(X, y, sample_weight=(len(y) / (2 * counts))[y])
    np.testing.assert_array_equal(balanced.predict_proba(X), same.predict_proba(X))
    labelled = CARTClassifier(class_weight={"yes": 5.0}, max_depth=2).fit(X, np.array(["no", "yes"])[y])
    weighted = CARTClassifier(max_depth=2).fit(X, y, sample_weight=np.array([1.0, 5.0])[y])
    np.testing.assert_array_equal(labelled.predict_proba(X), weighted.predict_proba(X))
    for bad, message in (
        ({2: 1.0}, "not one of the classes"),
        ({1: -1.0}, "at least 0"),
        ("even", "class_weight"),
    ):
        with pytest.raises(ValueError, match=message):
            CARTClassifier(class_weight=bad).fit(X, y)


def test_histogram_splits_are_close_to_exact_ones():
    X, y = problem(None, rows=2000)
    exact, binned = (CARTRegressor(max_depth=5, max_bins=bins).fit(X, y) for bins in (None, 64))
    assert binned.score(X, y) == pytest.approx(exact.score(X, y), abs=0.03)
    assert not np.array_equal(exact.tree_.threshold, binned.tree_.threshold)


def test_bins_depend_on_training_rows_only():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 1)), rng.normal(size=300)
    model = CARTRegressor(max_bins=8).fit(X[:200], y[:200])
    alone = CARTRegressor(max_bins=8).fit(X[:200].copy(), y[:200])
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    masked = CARTRegressor(max_bins=8).fit(X, y, sample_weight=np.arange(300) < 200)
    np.testing.assert_array_equal(model.tree_.threshold, masked.tree_.threshold)
