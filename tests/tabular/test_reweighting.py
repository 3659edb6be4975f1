"""The passes of AdaBoost over the weights: compiled and in NumPy equal to the last bit, and the formulas."""

import math

import numpy as np
import pytest

from assay.tabular import reweighting
from assay.tabular.kernel import library
from assay.tabular.reweighting import missed_weight, raise_missed


def rows(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    weight = np.exp(rng.normal(0, 4, n)) * (rng.random(n) < 0.9)
    weight[-1] = 1.0
    return rng.random(n) < 0.3, weight


def both(
    missed: np.ndarray, weight: np.ndarray, factor: float, least: float = 0.0
) -> tuple[float, np.ndarray]:
    raised = weight.copy()
    raise_missed(missed, factor, least, raised)
    return missed_weight(missed, weight), raised


@pytest.mark.skipif(library() is None, reason="no compiled kernel")
@pytest.mark.parametrize("n", [1, 15, 16, 17, 1000, 40_001])
def test_compiled_and_numpy_agree_to_the_last_bit(monkeypatch, n):
    missed, weight = rows(n)
    compiled, raised = both(missed, weight, 7.3, 1e-7)
    monkeypatch.setattr(reweighting, "_compiled", lambda: None)
    in_numpy, raised_in_numpy = both(missed, weight, 7.3, 1e-7)
    assert compiled == in_numpy
    np.testing.assert_array_equal(raised.view(np.int64), raised_in_numpy.view(np.int64))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("n", [1, 100, 40_001])
def test_what_is_missed_weighs_more(monkeypatch, n, compiled):
    if not compiled:
        monkeypatch.setattr(reweighting, "_compiled", lambda: None)
    missed, weight = rows(n)
    wrong, raised = both(missed, weight, 2.5)
    assert wrong == pytest.approx(math.fsum(weight[missed]), rel=1e-14)
    exact = math.fsum(weight) + 1.5 * math.fsum(weight[missed])
    np.testing.assert_allclose(raised, weight * np.where(missed, 2.5, 1.0) / exact, rtol=1e-14)
    assert math.fsum(raised) == pytest.approx(1.0, rel=1e-14)
    _, kept = both(missed, weight, 2.5, least=1e-4)
    np.testing.assert_array_equal(kept, np.where(raised > 0, np.maximum(raised, 1e-4), 0.0))
