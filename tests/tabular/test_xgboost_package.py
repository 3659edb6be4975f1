"""XGBoost against the xgboost package: trees of the exact method, base scores, binned methods."""

import json

import numpy as np
import pytest
from xgboost_problem import problem

from assay.tabular.tree import Tree
from assay.tabular.xgboost import XGBoostClassifier, XGBoostRegressor

package = pytest.importorskip("xgboost")

SETTINGS = [
    {},
    {"max_depth": 3, "reg_alpha": 2.0, "reg_lambda": 0.5},
    {"gamma": 2.0},
    {"gamma": 8.0, "reg_lambda": 0.1},
    {"min_child_weight": 5.0, "learning_rate": 0.1},
    {"max_delta_step": 0.2, "max_depth": 4},
    {"reg_alpha": 0.3, "min_child_weight": 0.0, "max_depth": 4},
]


def estimator(num_classes: int) -> type:
    return XGBoostClassifier if num_classes else XGBoostRegressor


Nodes = dict[bytes, tuple[str, float, float]]  # rows of a node -> (kind, gain or value, cover)


def our_nodes(tree: Tree, X: np.ndarray) -> Nodes:
    nodes: Nodes = {}

    def walk(node: int, rows: np.ndarray) -> None:
        if tree.feature[node] < 0:
            nodes[rows.tobytes()] = ("leaf", tree.value[node, 0], tree.weight[node])
            return
        x = X[:, tree.feature[node]]
        left = np.where(np.isnan(x), tree.missing_left[node], x <= tree.threshold[node])
        nodes[rows.tobytes()] = ("split", tree.gain[node], tree.weight[node])
        walk(tree.left[node], rows & left)
        walk(tree.right[node], rows & ~left)

    walk(0, np.ones(len(X), bool))
    return nodes


def their_nodes(dump: str, X: np.ndarray) -> Nodes:
    nodes: Nodes = {}

    def walk(node: dict, rows: np.ndarray) -> None:
        if "leaf" in node:
            nodes[rows.tobytes()] = ("leaf", node["leaf"], node["cover"])
            return
        x = X[:, int(node["split"][1:])].astype(np.float32)
        left = np.where(np.isnan(x), node["missing"] == node["yes"], x < np.float32(node["split_condition"]))
        nodes[rows.tobytes()] = ("split", node["gain"], node["cover"])
        children = {child["nodeid"]: child for child in node["children"]}
        walk(children[node["yes"]], rows & left)
        walk(children[node["no"]], rows & ~left)

    walk(json.loads(dump), np.ones(len(X), bool))
    return nodes


def assert_equal_trees(model, booster, X: np.ndarray) -> None:
    dumps = booster.get_dump(dump_format="json", with_stats=True)
    assert len(dumps) == len(model.ensemble_)
    for tree, dump in zip(model.ensemble_.trees, dumps, strict=True):
        ours, theirs = our_nodes(tree, X), their_nodes(dump, X)
        assert ours.keys() == theirs.keys()
        for rows, (kind, *numbers) in ours.items():
            assert kind == theirs[rows][0]
            np.testing.assert_allclose(numbers, theirs[rows][1:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_classes", [0, 2, 3])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_exact_trees_are_the_packages(num_classes, settings):
    X, y, weight = problem(num_classes)
    ours = estimator(num_classes)(tree_method="exact", n_estimators=4, **settings).fit(X, y, weight)
    theirs = package.XGBClassifier if num_classes else package.XGBRegressor
    theirs = theirs(tree_method="exact", n_estimators=4, n_jobs=1, **settings).fit(X, y, sample_weight=weight)
    assert_equal_trees(ours, theirs.get_booster(), X)
    if num_classes:
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    else:
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_exact_trees_without_weights_are_the_packages(seed):
    X, y, _ = problem(0, seed)
    ours = XGBoostRegressor(tree_method="exact", n_estimators=5, max_depth=5).fit(X, y)
    theirs = package.XGBRegressor(tree_method="exact", n_estimators=5, max_depth=5, n_jobs=1).fit(X, y)
    assert_equal_trees(ours, theirs.get_booster(), X)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("num_classes", "settings"),
    [
        (0, {}),
        (0, {"objective": "reg:absoluteerror"}),
        (0, {"base_score": 0.7}),
        (2, {}),
        (2, {"scale_pos_weight": 3.5}),
        (2, {"base_score": 0.2}),
        (4, {}),
    ],
    ids=str,
)
def test_base_scores_are_the_packages(num_classes, settings, weighted):
    """A tree that cannot split and does not step leaves only the base score in the margins."""
    X, y, weight = problem(num_classes, n=203)
    weight = weight if weighted else None
    flat = {"n_estimators": 1, "learning_rate": 0.0, "n_jobs": 1, **settings}
    ours = estimator(num_classes)(**flat).fit(X, y, weight)
    theirs = (package.XGBClassifier if num_classes else package.XGBRegressor)(**flat)
    theirs.fit(X, y, sample_weight=weight)
    margins = theirs.predict(X[:1], output_margin=True).reshape(-1)
    np.testing.assert_allclose(ours.base_score_, margins, atol=2e-6)


def test_a_poisson_round_is_the_packages():
    X, y, weight = problem()
    counts = np.floor(np.exp(y / 2))
    settings = {"objective": "count:poisson", "tree_method": "exact", "n_estimators": 4, "max_depth": 3}
    ours = XGBoostRegressor(**settings).fit(X, counts, weight)
    theirs = package.XGBRegressor(**settings, n_jobs=1).fit(X, counts, sample_weight=weight)
    assert_equal_trees(ours, theirs.get_booster(), X)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-5)


@pytest.mark.parametrize("tree_method", ["hist", "approx"])
def test_binned_methods_are_as_good_as_the_packages(tree_method):
    X, y, _ = problem(n=3000)
    train, test = slice(0, 2000), slice(2000, None)
    settings = {"tree_method": tree_method, "n_estimators": 30, "learning_rate": 0.2, "max_depth": 4}
    ours = XGBoostRegressor(max_bins=64, **settings).fit(X[train], y[train])
    theirs = package.XGBRegressor(max_bin=64, n_jobs=1, **settings).fit(X[train], y[train])
    errors = [np.sqrt(np.mean((y[test] - model.predict(X[test])) ** 2)) for model in (ours, theirs)]
    assert errors[0] < 1.02 * errors[1]


@pytest.mark.parametrize(
    "shape", [{"max_depth": 0, "max_leaves": 31, "grow_policy": "lossguide"}, {"max_depth": 5}]
)
def test_on_equal_bins_histograms_grow_the_packages_trees(shape):
    """Products of normals, which no first split tells: any other bins, and the trees are others."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(4000, 6))
    y = X[:, 0] * X[:, 1] + X[:, 2] ** 2 + rng.logistic(size=4000) > 1
    codes = np.column_stack([np.searchsorted(np.quantile(x, np.arange(1, 200) / 200), x) for x in X.T])
    settings = {"tree_method": "hist", "n_estimators": 20, "learning_rate": 0.1, "n_jobs": 1, **shape}
    ours = XGBoostClassifier(**settings).fit(codes.astype(float), y)
    theirs = package.XGBClassifier(**settings).fit(codes, y)
    np.testing.assert_allclose(
        ours.predict_proba(codes.astype(float)), theirs.predict_proba(codes), atol=1e-5
    )
