"""Cost-complexity pruning against scikit-learn's path and against a search over all subtrees."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.tabular.cart import CARTClassifier, CARTRegressor


def problem(num_classes, rows=300, seed=0, features=5):
    """Continuous features that scikit-learn's float32 holds exactly, and a target that needs interactions."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features)).astype(np.float32).astype(np.float64)
    signal = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=rows)
    if num_classes is None:
        return X, signal
    return X, np.digitize(signal, np.quantile(signal, np.arange(1, num_classes) / num_classes))


@pytest.mark.parametrize(("criterion", "num_classes"), [("gini", 3), ("entropy", 2), ("squared_error", None)])
def test_pruning_path_and_pruned_trees_equal_scikit_learns(criterion, num_classes):
    tree = pytest.importorskip("sklearn.tree")
    X, y = problem(num_classes, rows=500)  # Large enough that no two splits tie.
    limits = {"max_leaf_nodes": 25, "criterion": criterion}
    ours, theirs = (
        (CARTRegressor, tree.DecisionTreeRegressor)
        if num_classes is None
        else (CARTClassifier, tree.DecisionTreeClassifier)
    )
    path = ours(**limits).cost_complexity_pruning_path(X, y)
    expected = theirs(random_state=0, **limits).cost_complexity_pruning_path(X, y)
    np.testing.assert_allclose(path.ccp_alphas, expected.ccp_alphas, atol=1e-12)
    np.testing.assert_allclose(path.impurities, expected.impurities, atol=1e-12)
    for alpha in path.ccp_alphas[[1, len(path.ccp_alphas) // 2, -1]] * (1 + 1e-9):
        mine = ours(ccp_alpha=alpha, **limits).fit(X, y)
        its = theirs(ccp_alpha=alpha, random_state=0, **limits).fit(X, y)
        assert mine.get_n_leaves() == its.get_n_leaves()
        np.testing.assert_allclose(mine.predict(X), its.predict(X))


def test_pruning_collapses_equal_links_together():
    X = np.arange(8.0)[:, None]
    y = np.array([0, 4, 0, 4, 100, 104, 100, 104.0])  # Four pairs that gain the same each.
    path = CARTRegressor().cost_complexity_pruning_path(X, y)
    tied = np.flatnonzero(np.isclose(path.ccp_alphas, path.ccp_alphas[1]))
    assert len(tied) > 1
    pruned = CARTRegressor(ccp_alpha=path.ccp_alphas[1]).fit(X, y)
    assert pruned.get_n_leaves() == CARTRegressor().fit(X, y).get_n_leaves() - leaves_lost(path, tied)


def leaves_lost(path, tied):
    """Each collapse of one of these links takes this many leaves: the loss over alpha."""
    losses = np.diff(path.impurities)[tied - 1]
    return round(float((losses / path.ccp_alphas[tied]).sum()))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_pruning_minimises_cost_among_all_subtrees(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.integers(0, 6, (14, 2)).astype(float), rng.normal(size=14)
    full = CARTRegressor(max_depth=3).fit(X, y).tree_

    def subtrees(node):
        """Every pruned subtree below a node, as (gain, leaves)."""
        yield 0.0, 1
        if full.feature[node] >= 0:
            for (g1, n1), (g2, n2) in itertools.product(
                subtrees(full.left[node]), subtrees(full.right[node])
            ):
                yield full.gain[node] + g1 + g2, n1 + n2

    for alpha in (0.001, 0.01, 0.05, 0.2):
        pruned = CARTRegressor(max_depth=3, ccp_alpha=alpha).fit(X, y).tree_
        best = min(alpha * len(y) * leaves - gain for gain, leaves in subtrees(0))
        assert alpha * len(y) * pruned.num_leaves - pruned.gain.sum() == pytest.approx(best, abs=1e-9)
