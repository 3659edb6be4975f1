"""Exact means of leaves: compiled, in NumPy, and by hand."""

import numpy as np
import pytest

from assay.tabular import growing, kernel
from assay.tabular.growing import leaf_means

needs_kernel = pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_kernel), False])
def test_leaf_means_are_those_of_the_rows(weighted, compiled, monkeypatch):
    rng = np.random.default_rng(0)
    leaf = rng.choice([-1, 1, 4, 5], size=200).astype(np.int32)
    target, weight = rng.normal(size=200) * 1e6, rng.integers(1, 5, 200).astype(float) if weighted else None
    if not compiled:
        monkeypatch.setattr(growing, "_compiled", lambda: None)
    found = leaf_means(leaf, target, weight, 7)
    for node in range(7):
        rows = leaf == node
        if rows.any():
            expected = np.average(target[rows], weights=None if weight is None else weight[rows])
            assert found[node] == pytest.approx(expected, rel=1e-12)
        else:
            assert np.isnan(found[node])


@needs_kernel
@pytest.mark.parametrize("weighted", [True, False])
def test_compiled_and_numpy_means_are_equal_to_the_last_bit(weighted, monkeypatch):
    rng = np.random.default_rng(1)
    leaf = rng.integers(-1, 9, 500).astype(np.int32)
    target, weight = rng.normal(size=500), rng.random(500) if weighted else None
    compiled = leaf_means(leaf, target, weight, 10)
    monkeypatch.setattr(growing, "_compiled", lambda: None)
    np.testing.assert_array_equal(leaf_means(leaf, target, weight, 10), compiled)
