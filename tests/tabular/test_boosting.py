"""What holds for gradient boosting and for XGBoost, for classes and for numbers alike."""

import itertools

import numpy as np
import pytest

from assay.data.table import Column, Table
from assay.tabular import slopes
from assay.tabular.bins import Bins
from assay.tabular.boosting import Boosting, hold_out, route
from assay.tabular.gbdt import GBDTClassifier, GBDTRegressor
from assay.tabular.grower import Limits, Newton, grow
from assay.tabular.xgboost import XGBoostClassifier, XGBoostRegressor

CLASSIFIERS = [GBDTClassifier, XGBoostClassifier]
REGRESSORS = [GBDTRegressor, XGBoostRegressor]
ALL = [*CLASSIFIERS, *REGRESSORS]
EXACT = {
    GBDTClassifier: {"max_bins": None},
    GBDTRegressor: {"max_bins": None},
    XGBoostClassifier: {"tree_method": "exact"},
    XGBoostRegressor: {"tree_method": "exact"},
}


def mixed_table(n: int = 300, seed: int = 0) -> Table:
    """Numbers with ties and gaps, a truth value and categories."""
    rng = np.random.default_rng(seed)
    number = rng.normal(size=n).round(1)
    number[rng.random(n) < 0.2] = np.nan
    category = rng.integers(-1, 7, n).astype(np.int32)
    return Table(
        (
            Column("number", "numeric", number),
            Column("other", "numeric", rng.normal(size=n)),
            Column("flag", "boolean", rng.integers(0, 2, n).astype(float)),
            Column("kind", "category", category, tuple("abcdefg")),
        )
    )


def target(estimator: type, table: Table, num_classes: int = 2) -> np.ndarray:
    number = np.nan_to_num(table["number"].values, nan=1.5)
    y = number + table["kind"].values % 3 + 0.3 * np.random.default_rng(9).normal(size=table.num_rows)
    if estimator in REGRESSORS:
        return y
    return np.array(["low", "mid", "top"])[np.digitize(y, np.quantile(y, [0.4, 0.7][: num_classes - 1]))]


def output(model: Boosting, table) -> np.ndarray:
    return model.predict_proba(table) if hasattr(model, "classes_") else model.predict(table)


@pytest.mark.parametrize("estimator", ALL)
def test_learns_from_numbers_gaps_and_categories(estimator):
    table = mixed_table()
    y = target(estimator, table, 3)
    model = estimator(n_estimators=40, learning_rate=0.2, max_depth=4).fit(table, y)
    assert model.score(table, y) > 0.9
    importance = dict(zip(table.names, model.feature_importances_, strict=True))
    assert importance["number"] + importance["kind"] > 0.8
    assert sum(importance.values()) == pytest.approx(1)


@pytest.mark.parametrize("estimator", ALL)
@pytest.mark.parametrize("settings", [{}, {"subsample": 0.6}])
def test_same_seed_same_model_for_any_number_of_threads(estimator, settings):
    table = mixed_table()
    y = target(estimator, table)
    first, again, threaded = (
        estimator(n_estimators=5, n_jobs=jobs, random_state=3, **settings).fit(table, y) for jobs in (1, 1, 3)
    )
    np.testing.assert_array_equal(output(first, table), output(again, table))
    np.testing.assert_array_equal(output(first, table), output(threaded, table))
    if settings:
        other = estimator(n_estimators=5, random_state=4, **settings).fit(table, y)
        assert (output(first, table) != output(other, table)).any()


@pytest.mark.parametrize("estimator", ALL)
def test_an_integer_weight_is_a_repeated_row(estimator):
    table = mixed_table(150)
    y = target(estimator, table, 3)
    weight = np.random.default_rng(1).integers(0, 4, 150)
    rows = np.repeat(np.arange(150), weight)
    for settings in ({}, EXACT[estimator]):
        settings = settings | {"n_estimators": 4}
        weighted = estimator(**settings).fit(table, y, weight.astype(float))
        repeated = estimator(**settings).fit(table.take(rows), y[rows])
        np.testing.assert_allclose(output(weighted, table), output(repeated, table), atol=1e-9)


@pytest.mark.parametrize("estimator", ALL)
def test_inputs_are_not_mutated(estimator):
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.arange(60) % 2 if estimator in CLASSIFIERS else X[:, 0].copy()
    weight = np.ones(60)
    copies = X.copy(), y.copy(), weight.copy()
    for array in (X, y, weight):
        array.setflags(write=False)
    model = estimator(n_estimators=3, subsample=0.5, random_state=0).fit(X, y, weight)
    model.predict(X)
    for array, copy in zip((X, y, weight), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("estimator", ALL)
def test_unseen_categories_and_gaps_where_training_had_none_have_a_prediction(estimator):
    rng = np.random.default_rng(0)
    X = {"x": rng.normal(size=80), "c": list("abcd" * 20)}
    y = (X["x"] > 0).astype(int) + (np.array(X["c"]) == "b")
    model = estimator(n_estimators=5).fit(X, y)
    found = output(model, {"x": [0.5, np.nan, 0.5], "c": ["never seen", "a", None]})
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0], found[2])  # an unseen category is a missing one


@pytest.mark.parametrize("estimator", ALL)
def test_one_row_is_predicted_as_it_is_among_many(estimator):
    table = mixed_table()
    model = estimator(n_estimators=5).fit(table, target(estimator, table))
    every = output(model, table)
    for row in (0, 7, 299):
        np.testing.assert_array_equal(output(model, table.take(np.array([row])))[0], every[row])


@pytest.mark.parametrize("estimator", ALL)
@pytest.mark.parametrize("exact", [False, True])
def test_fit_and_predict_agree_on_ties_at_thresholds(estimator, exact):
    """The last held-out score is that of the final predictions on rows full of ties and adjacent numbers."""
    rng = np.random.default_rng(0)
    base = np.array([0.1, np.nextafter(0.1, 1), 0.3, 0.3 + 1e-16, 1.0])
    X = base[rng.integers(0, 5, (200, 3))]
    y = (X[:, 0] == base[1]) + (X[:, 1] > 0.3) * 1.0
    y = y.astype(int) if estimator in CLASSIFIERS else y
    settings = EXACT[estimator] if exact else {}
    seen = []

    def watch(step: int, model: Boosting) -> bool:
        seen.append(output(model, X))
        return False

    model = estimator(n_estimators=6, learning_rate=0.5, max_depth=3, **settings).fit(X, y, monitor=watch)
    np.testing.assert_array_equal(seen[-1], output(model, X))
    assert model.score(X, y) > 0.95  # the two adjacent numbers are told apart


@pytest.mark.parametrize("estimator", ALL)
def test_stages_start_at_the_base_score_and_end_at_the_prediction(estimator):
    table = mixed_table()
    y = target(estimator, table, 3)
    model = estimator(n_estimators=6).fit(table, y)
    stages = list(model._staged_margins(table))
    assert len(stages) == 6
    np.testing.assert_allclose(stages[-1], model._margins(table), atol=1e-12)
    first = sum(tree.predict(table) for tree in model.ensemble_.trees[:1])
    np.testing.assert_allclose(stages[0][0], model.base_score_[0] + first[:, 0], atol=1e-12)
    predicted = list(model.staged_predict(table))
    np.testing.assert_array_equal(predicted[-1], model.predict(table))
    if estimator in CLASSIFIERS:
        np.testing.assert_array_equal(list(model.staged_predict_proba(table))[-1], model.predict_proba(table))
        np.testing.assert_allclose(model.predict_proba(table).sum(axis=1), 1, atol=1e-12)
        decisions = list(model.staged_decision_function(table))
        np.testing.assert_allclose(decisions[-1], model.decision_function(table), atol=1e-12)


@pytest.mark.parametrize("estimator", ALL)
def test_a_learning_rate_scales_the_first_tree_once_and_not_the_base_score(estimator):
    table = mixed_table()
    y = target(estimator, table)
    whole, half = (estimator(n_estimators=1, learning_rate=rate).fit(table, y) for rate in (1.0, 0.5))
    np.testing.assert_array_equal(whole.base_score_, half.base_score_)
    step = whole._margins(table) - whole.base_score_[:, None]
    assert np.abs(step).max() > 0.1
    np.testing.assert_allclose(half._margins(table) - half.base_score_[:, None], step / 2, atol=1e-12)


@pytest.mark.parametrize("estimator", ALL)
def test_a_monitor_is_called_after_each_round_and_may_stop(estimator):
    table = mixed_table()
    y = target(estimator, table)
    calls = []

    def monitor(step, model):
        calls.append((step, model.n_estimators_, model.score(table, y)))
        return step == 4

    model = estimator(n_estimators=50).fit(table, y, monitor=monitor)
    assert [call[:2] for call in calls] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert len(model.ensemble_) == model.n_estimators_ == 4


@pytest.mark.parametrize("estimator", ALL)
def test_saved_and_loaded_predicts_the_same(estimator, tmp_path):
    table = mixed_table()
    model = estimator(n_estimators=4).fit(table, target(estimator, table, 3))
    model.save(tmp_path / "model")
    back = estimator.load(tmp_path / "model")
    assert back.get_params() == model.get_params()
    np.testing.assert_array_equal(output(back, table), output(model, table))
    np.testing.assert_array_equal(back.feature_importances_, model.feature_importances_)


@pytest.mark.parametrize("estimator", CLASSIFIERS)
def test_one_class_alone_is_certain(estimator):
    model = estimator(n_estimators=3).fit(np.arange(10.0)[:, None], ["only"] * 10)
    np.testing.assert_array_equal(model.predict_proba([[3.0]]), [[1.0]])
    assert model.predict([[3.0], [99.0]]).tolist() == ["only", "only"]


@pytest.mark.parametrize("estimator", REGRESSORS)
def test_a_constant_target_is_predicted_by_a_single_leaf(estimator):
    model = estimator(n_estimators=3).fit(np.arange(10.0)[:, None], np.full(10, 2.5))
    assert all(tree.num_nodes == 1 for tree in model.ensemble_.trees)
    np.testing.assert_array_equal(model.predict([[3.0], [99.0]]), [2.5, 2.5])


@pytest.mark.parametrize("estimator", ALL)
@pytest.mark.parametrize(
    "wrong",
    [
        {"n_estimators": 0},
        {"n_estimators": 2.5},
        {"learning_rate": -0.1},
        {"learning_rate": "fast"},
        {"subsample": 0.0},
        {"subsample": 1.5},
        {"validation_fraction": 1.0},
        {"max_depth": -1},
        {"max_bins": 1},
        {"n_jobs": 0},
        {"random_state": "seed"},
    ],
    ids=lambda wrong: "=".join(map(str, *wrong.items())),
)
def test_a_wrong_parameter_is_named(estimator, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        estimator(**wrong).fit([[1.0], [2.0], [3.0]], [0, 1, 0])


@pytest.mark.parametrize("estimator", ALL)
def test_wrong_data_is_refused(estimator):
    model = estimator(n_estimators=2)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit([[1.0], [2.0]], [0, 1, 0])
    with pytest.raises(ValueError, match="not fitted"):
        model.predict([[1.0]])
    model.fit([[1.0], [2.0], [3.0]], [0, 1, 0])
    with pytest.raises(ValueError, match="2 features"):
        model.predict([[1.0, 2.0]])


def test_routing_codes_ends_where_the_values_do(monkeypatch):
    table = mixed_table(400)
    rng = np.random.default_rng(5)
    for max_bins, compiled in itertools.product((None, 255, 4), (True, False)):
        if not compiled:
            monkeypatch.setattr(slopes, "_compiled", lambda: None)
        codes = Bins.fit(table, max_bins=max_bins).encode(table)
        sample = np.sort(rng.choice(400, 200, replace=False))
        grown = grow(codes, Newton(gradient=rng.normal(size=400)), Limits(max_depth=6), rows=sample)
        leaf = route(grown.tree, codes, np.arange(400))
        np.testing.assert_array_equal(leaf[sample], grown.leaf[sample])
        np.testing.assert_array_equal(leaf, grown.tree.apply(table))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_held_out_rows_are_a_part_with_its_share_of_every_class(share):
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    train, held = hold_out(labels, 1000, share, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(1000))
    assert abs(len(held) - 1000 * share) <= 1
    for label, count in enumerate((500, 300, 200)):
        assert abs((labels[held] == label).sum() - count * share) <= 1


def test_holding_out_always_leaves_both_parts_a_row():
    for n in (2, 3, 10):
        for share in (1e-9, 0.5, 1 - 1e-9):
            train, held = hold_out(None, n, share, np.random.default_rng(0))
            assert len(train) >= 1
            assert len(held) >= 1
    with pytest.raises(ValueError, match="at least 2"):
        hold_out(None, 1, 0.5, np.random.default_rng(0))
