"""Exact means of leaves: compiled, in NumPy, and by hand."""

import numpy as np
import pytest

from assay.tabular import growing, kernel
from assay.tabular.growing import set_means

needs_kernel = pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_kernel), False])
def test_means_are_those_of_the_rows_of_a_leaf(weighted, compiled, monkeypatch):
    rng = np.random.default_rng(0)
    leaf = rng.choice([-1, 1, 4, 5], size=200).astype(np.int32)
    target, weight = rng.normal(size=200) * 1e6, rng.integers(1, 5, 200).astype(float) if weighted else None
    if not compiled:
        monkeypatch.setattr(growing, "_compiled", lambda: None)
    found = np.full(7, -3.0)
    set_means(leaf, target, weight, found)
    for node in range(7):
        rows = leaf == node
        if rows.any():
            expected = np.average(target[rows], weights=None if weight is None else weight[rows])
            assert found[node] == pytest.approx(expected, rel=1e-12)
        else:
            assert found[node] == -3.0


@needs_kernel
@pytest.mark.parametrize("weighted", [True, False])
def test_compiled_and_numpy_means_are_equal_to_the_last_bit(weighted, monkeypatch):
    rng = np.random.default_rng(1)
    leaf = rng.integers(-1, 9, 500).astype(np.int32)
    target, weight = rng.normal(size=500), rng.random(500) if weighted else None
    compiled, twin = np.zeros(10), np.zeros(10)
    set_means(leaf, target, weight, compiled)
    monkeypatch.setattr(growing, "_compiled", lambda: None)
    set_means(leaf, target, weight, twin)
    np.testing.assert_array_equal(twin, compiled)
