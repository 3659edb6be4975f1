"""XGBoost by its formulas: a naive search, and its parameters one by one."""

import math

import numpy as np
import pytest
from xgboost_problem import problem

from assay.data.table import Column, Table
from assay.tabular.tree import Tree
from assay.tabular.xgboost import XGBoostClassifier, XGBoostRegressor

# -- the formulas --------------------------------------------------------------------------------------------


def soft(g: float, alpha: float) -> float:
    return math.copysign(max(abs(g) - alpha, 0.0), g)


def naive_best(X, g, h, rows, reg_lambda, reg_alpha, min_child_weight):
    """The best (gain, left rows) over all features, thresholds and directions of missing values, Eq. (7)."""

    def score(part):
        return soft(sum(g[i] for i in part), reg_alpha) ** 2 / (sum(h[i] for i in part) + reg_lambda)

    best = (1e-6, None)
    for feature in range(X.shape[1]):
        missing = [i for i in rows if math.isnan(X[i, feature])]
        known = [i for i in rows if not math.isnan(X[i, feature])]
        for threshold in sorted({X[i, feature] for i in known}):
            below = [i for i in known if X[i, feature] <= threshold]
            for left in (below, below + missing):
                right = [i for i in rows if i not in set(left)]
                if not left or not right:
                    continue
                if min(sum(h[i] for i in left), sum(h[i] for i in right)) < min_child_weight:
                    continue
                gain = score(left) + score(right) - score(rows)
                if gain > best[0] + 1e-12:
                    best = (gain, left)
    return best


@pytest.mark.parametrize("reg_alpha", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("min_child_weight", [0.0, 2.0])
def test_a_tree_by_naive_search(reg_alpha, min_child_weight):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, (40, 3)).astype(float)
    X[rng.random((40, 3)) < 0.2] = np.nan
    y, weight = rng.normal(size=40), rng.random(40) + 0.5
    g, h = weight * (0 - y), weight
    nodes = [(list(range(40)), 0)]
    expected, gains = np.zeros(40), []
    while nodes:
        rows, depth = nodes.pop()
        gain, left = naive_best(X, g, h, rows, 0.7, reg_alpha, min_child_weight)
        if left is None or depth == 3:
            total = -soft(sum(g[i] for i in rows), reg_alpha)
            expected[rows] = 0.3 * total / (sum(h[i] for i in rows) + 0.7)  # Eq. (5)
        else:
            gains.append(gain)
            nodes += [(left, depth + 1), ([i for i in rows if i not in set(left)], depth + 1)]
    model = XGBoostRegressor(
        tree_method="exact",
        n_estimators=1,
        max_depth=3,
        base_score=0.0,
        reg_lambda=0.7,
        reg_alpha=reg_alpha,
        min_child_weight=min_child_weight,
    ).fit(X, y, weight)
    (tree,) = model.ensemble_.trees
    np.testing.assert_allclose(np.sort(tree.gain[tree.feature >= 0]), np.sort(gains), atol=1e-10)
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-10)


def test_a_hessian_below_min_child_weight_weighs_nothing():
    """Logistic hessians are p (1 - p): 100 rows of p = 0.001 sum to 0.1, though they are 100 rows."""
    X = np.arange(100.0)[:, None]
    y = (X[:, 0] >= 50).astype(int)
    settings = {"n_estimators": 1, "base_score": 0.001, "reg_lambda": 0.0}
    refused = XGBoostClassifier(min_child_weight=0.1001, **settings).fit(X, y)
    assert refused.ensemble_.trees[0].num_nodes == 1
    np.testing.assert_allclose(refused.predict_proba(X)[:, 1], 0.001)
    split = XGBoostClassifier(min_child_weight=0.0499, **settings).fit(X, y).ensemble_.trees[0]
    assert split.num_nodes == 3
    assert split.weight[0] == pytest.approx(100 * 0.001 * 0.999)


def test_a_child_rescues_its_parent_in_exact_mode_only():
    """Exclusive or: the first split gains little, the second much."""
    X = np.array([[a, b] for a in (0.0, 1.0) for b in (0.0, 1.0) for _ in range(25)])
    y = np.where(X[:, 0] == X[:, 1], 1.0, -1.0)
    y[0] = 1.3
    settings = {"gamma": 5.0, "n_estimators": 1, "base_score": 0.0, "max_depth": 2}
    exact = XGBoostRegressor(tree_method="exact", **settings).fit(X, y).ensemble_.trees[0]
    assert exact.num_leaves == 4
    assert exact.gain[0] < 5 < exact.gain[1:].max()
    hist = XGBoostRegressor(tree_method="hist", **settings).fit(X, y).ensemble_.trees[0]
    assert hist.num_leaves == 1


def test_pruning_by_gamma_reaches_the_root():
    X, y, _ = problem()
    model = XGBoostRegressor(tree_method="exact", gamma=1e6, n_estimators=2).fit(X, y)
    assert [tree.num_nodes for tree in model.ensemble_.trees] == [1, 1]
    np.testing.assert_allclose(model.predict(X), np.full(len(X), y.mean()), atol=1e-9)


def test_missing_values_go_where_they_gain_most():
    X = np.array([[0.0]] * 20 + [[1.0]] * 20 + [[np.nan]] * 20)
    for side in (0, 1):
        y = np.repeat([0.0, 5.0, 5.0 * side], 20)
        model = XGBoostRegressor(n_estimators=1, max_depth=1, learning_rate=1.0, reg_lambda=0.0).fit(X, y)
        np.testing.assert_allclose(model.predict([[np.nan], [0.0], [1.0]]), [5.0 * side, 0.0, 5.0], atol=1e-9)
        assert model.ensemble_.trees[0].missing_left[0] == (side == 0)


# -- columns, rows, leaves -----------------------------------------------------------------------------------


def used(tree: Tree) -> set[int]:
    return set(tree.feature[tree.feature >= 0].tolist())


def test_column_samples_multiply():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 16))
    y = X.sum(axis=1)
    shares = {"n_estimators": 40, "max_depth": 4, "random_state": 0}
    by_tree = XGBoostRegressor(colsample_bytree=0.25, **shares).fit(X, y).ensemble_.trees
    assert max(len(used(tree)) for tree in by_tree) == 4
    assert len(set().union(*map(used, by_tree))) == 16
    by_level = (
        XGBoostRegressor(colsample_bytree=0.5, colsample_bylevel=0.25, **shares).fit(X, y).ensemble_.trees
    )
    for tree in by_level:
        for depth in range(4):
            level = tree.feature[(tree.depths == depth) & (tree.feature >= 0)]
            assert len(set(level.tolist())) <= 2
    by_node = (
        XGBoostRegressor(colsample_bytree=0.5, colsample_bylevel=0.5, colsample_bynode=0.25, **shares)
        .fit(X, y)
        .ensemble_.trees
    )
    roots, levels = {int(tree.feature[0]) for tree in by_node}, set()
    for tree in by_node:
        level = tree.feature[(tree.depths == 2) & (tree.feature >= 0)]
        levels.add(len(set(level.tolist())))
    assert len(roots) > 4
    assert max(levels) > 1  # nodes of a level draw for themselves
    assert max(levels) <= 4  # from the level's half of the tree's half


def test_subsampling_takes_its_share_of_rows_anew_for_every_tree():
    X, y, _ = problem(3)
    model = XGBoostClassifier(subsample=0.4, n_estimators=4, random_state=0).fit(X, y)
    assert {tree.count[0] for tree in model.ensemble_.trees} == {160}
    assert model.score(X, y) > 0.6


def test_lossguide_takes_the_best_split_first():
    X, y, _ = problem(n=1000)
    settings = {"n_estimators": 1, "learning_rate": 1.0}
    small = XGBoostRegressor(grow_policy="lossguide", max_leaves=5, max_depth=0, **settings).fit(X, y)
    large = XGBoostRegressor(max_depth=None, **settings).fit(X, y)
    (few,), (many,) = small.ensemble_.trees, large.ensemble_.trees
    assert few.num_leaves == 5
    # The four splits are the best ones that can be reached: no open split gains more than the worst taken.
    open_nodes, taken = [0], []
    for _ in range(4):
        best = max(open_nodes, key=lambda node: many.gain[node])
        open_nodes.remove(best)
        taken.append(many.gain[best])
        open_nodes += [many.left[best], many.right[best]]
    np.testing.assert_allclose(np.sort(few.gain[few.feature >= 0]), np.sort(taken), rtol=1e-9)


def test_few_categories_split_one_against_the_rest_and_many_by_sets():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 6, 600).astype(np.int32)
    table = Table((Column("c", "category", codes, tuple("abcdef")),))
    y = np.isin(codes, [0, 3, 5]) + rng.normal(size=600) / 10
    settings = {"n_estimators": 1, "max_depth": 1}
    (sets,) = XGBoostRegressor(max_cat_to_onehot=4, **settings).fit(table, y).ensemble_.trees
    left = set(sets.categories_left(0).tolist())
    assert left in ({0, 3, 5}, {1, 2, 4})
    (one,) = XGBoostRegressor(max_cat_to_onehot=7, **settings).fit(table, y).ensemble_.trees
    assert len(one.categories_left(0)) in (1, 5)


@pytest.mark.parametrize(
    ("objective", "best"),
    [
        ("reg:absoluteerror", np.median),
        ("reg:quantileerror", lambda y: np.quantile(y, 0.8, method="inverted_cdf")),
    ],
)
def test_leaves_of_robust_objectives_are_quantiles_of_their_rows(objective, best):
    rng = np.random.default_rng(0)
    X = np.repeat([0.0, 1.0], 51)[:, None]
    y = rng.exponential(size=102) + 3 * X[:, 0]
    model = XGBoostRegressor(
        objective=objective, quantile_alpha=0.8, n_estimators=1, learning_rate=1.0, max_depth=1
    ).fit(X, y)
    np.testing.assert_allclose(model.predict([[0.0], [1.0]]), [best(y[:51]), best(y[51:])], atol=1e-12)


# -- early stopping, importances, errors ---------------------------------------------------------------------


def test_early_stopping_keeps_the_best_round_of_the_given_rows():
    X, y, _ = problem(2, n=900)
    train, test = slice(0, 500), slice(500, None)
    model = XGBoostClassifier(n_estimators=200, learning_rate=0.5, early_stopping_rounds=7)
    for pairs in ((X[test], y[test]), [(X[test], y[test])]):
        model.fit(X[train], y[train], eval_set=pairs)
        best = int(np.argmin(model.validation_score_))
        assert model.n_estimators_ == best + 1
        assert len(model.validation_score_) == best + 1 + 7
        p = model.predict_proba(X[test])[np.arange(400), y[test]]
        assert -np.log(p).mean() == pytest.approx(model.validation_score_[best], abs=1e-9)


def test_early_stopping_holds_out_rows_by_itself():
    X, y, _ = problem(2, n=600)
    model = XGBoostClassifier(n_estimators=200, learning_rate=0.5, early_stopping_rounds=5, random_state=1)
    model.fit(X, y)
    assert model.n_estimators_ < 200
    assert model.ensemble_.trees[0].count[0] == 540


def test_held_out_rows_without_patience_are_only_judged():
    X, y, _ = problem()
    model = XGBoostRegressor(n_estimators=9).fit(X, y, eval_set=(X, y))
    assert model.n_estimators_ == len(model.validation_score_) == 9
    assert model.validation_score_[-1] == pytest.approx(np.mean((y - model.predict(X)) ** 2) / 2)


def test_importances_by_kind():
    X, y, _ = problem()
    model = XGBoostRegressor(n_estimators=3).fit(X, y)
    number, gain, cover = np.zeros(7), np.zeros(7), np.zeros(7)
    for tree in model.ensemble_.trees:
        for node in np.flatnonzero(tree.feature >= 0):
            number[tree.feature[node]] += 1
            gain[tree.feature[node]] += tree.gain[node]
            cover[tree.feature[node]] += tree.weight[node]
    some = np.maximum(number, 1)
    expected = {
        "weight": number,
        "total_gain": gain,
        "total_cover": cover,
        "gain": gain / some,
        "cover": cover / some,
    }
    for kind, values in expected.items():
        np.testing.assert_allclose(model.importances(kind), values, rtol=1e-12)
        model.importance_type = kind
        np.testing.assert_allclose(model.feature_importances_, values / values.sum(), rtol=1e-12)


@pytest.mark.parametrize("tree_method", ["hist", "approx", "exact"])
def test_bins_depend_on_training_rows_only(tree_method):
    X, y, _ = problem(n=500)
    settings = {"n_estimators": 3, "tree_method": tree_method, "max_bins": 8}
    alone = XGBoostRegressor(**settings).fit(X[:300], y[:300])
    judged = XGBoostRegressor(**settings).fit(X[:300], y[:300], eval_set=(X[300:] * 100, y[300:]))
    np.testing.assert_array_equal(alone.predict(X), judged.predict(X))


def test_the_approximate_method_proposes_anew_for_every_tree():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 1))
    y = (X[:, 0] + rng.normal(size=2000) / 4 > 0.5).astype(int)
    thresholds = {}
    for tree_method in ("hist", "approx"):
        model = XGBoostClassifier(tree_method=tree_method, max_bins=6, n_estimators=20).fit(X, y)
        found = np.concatenate([tree.threshold[tree.feature >= 0] for tree in model.ensemble_.trees])
        thresholds[tree_method] = np.unique(found)
    assert len(thresholds["hist"]) <= 5
    assert len(thresholds["approx"]) > 10
    # The hessian moves candidates to where the classes are still in doubt.
    in_doubt = {name: np.abs(found - 0.5).mean() for name, found in thresholds.items()}
    assert in_doubt["approx"] < in_doubt["hist"]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (XGBoostRegressor, {"tree_method": "gpu_hist"}),
        (XGBoostRegressor, {"grow_policy": "best"}),
        (XGBoostRegressor, {"max_leaves": 8}),
        (XGBoostRegressor, {"max_leaves": -1}),
        (XGBoostRegressor, {"min_child_weight": -1.0}),
        (XGBoostRegressor, {"reg_lambda": "much"}),
        (XGBoostRegressor, {"gamma": -0.5}),
        (XGBoostRegressor, {"colsample_bytree": 0.0}),
        (XGBoostRegressor, {"colsample_bynode": 1.2}),
        (XGBoostRegressor, {"max_cat_to_onehot": 0}),
        (XGBoostRegressor, {"early_stopping_rounds": 0}),
        (XGBoostRegressor, {"importance_type": "shap"}),
        (XGBoostRegressor, {"objective": "rank:ndcg"}),
        (XGBoostRegressor, {"quantile_alpha": 0.0}),
        (XGBoostClassifier, {"scale_pos_weight": -1.0}),
        (XGBoostClassifier, {"base_score": 1.5}),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(kind, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong).fit([[1.0], [2.0], [3.0]], [0, 1, 0])


def test_wrong_held_out_rows_and_counts_are_named():
    X, y, _ = problem(2)
    with pytest.raises(ValueError, match="eval_set"):
        XGBoostClassifier().fit(X, y, eval_set=X)
    with pytest.raises(ValueError, match="class 7"):
        XGBoostClassifier().fit(X, y, eval_set=(X, np.full(len(X), 7)))
    with pytest.raises(ValueError, match="row 2"):
        XGBoostRegressor(objective="count:poisson").fit([[1.0], [2.0], [3.0]], [0, 1, -2])
