"""The noise of gradients, by its definition and by what must hold."""

import numpy as np
import pytest

from assay.data.table import Table
from assay.tabular.boosting import Rows
from assay.tabular.gbdt import GBDTClassifier, GBDTRegressor
from assay.tabular.losses import Huber, Logistic, Loss, Poisson, SquaredError
from assay.tabular.noise import Noise
from assay.tabular.xgboost import XGBoostClassifier, XGBoostRegressor


def letters(n: int) -> Table:
    return Table.of({"letter": [chr(97 + i % 5) for i in range(n)]})


def parts(loss: Loss, y: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Gradient and curvature at one margin for all."""
    gradient, curvature = loss.derivatives(y, np.full((1, len(y)), 0.3), weight)
    return gradient[0], None if curvature is None else curvature[0]


@pytest.mark.parametrize("loss", [SquaredError(), Huber(), Logistic(), Poisson()])
def test_is_the_variance_over_the_hessian(loss):
    rng = np.random.default_rng(0)
    y, weight = rng.integers(0, 2, 300).astype(float), rng.integers(0, 4, 300).astype(float)
    gradient, curvature = parts(loss, y, weight)
    hessian = rng.random(300) * weight
    variance = 0.0
    assert curvature is not None
    for g, c, w in zip(gradient, curvature, weight, strict=True):
        if w > 0:
            variance += c if isinstance(loss, Logistic | Poisson) else g * g / w
    found = Noise(letters(300), weight).per_unit(loss, gradient, curvature, hessian)
    assert found == pytest.approx(variance / hessian.sum(), rel=1e-6)


def test_of_the_likelihoods_own_curvature_it_is_one():
    gradient, curvature = parts(Logistic(), np.array([0.0, 1.0, 1.0]), None)
    assert Noise(letters(3), None).per_unit(Logistic(), gradient, curvature, curvature) == 1.0


@pytest.mark.parametrize("loss", [SquaredError(), Logistic()])
def test_a_weight_of_two_is_a_row_twice(loss):
    rng = np.random.default_rng(1)
    y, weight = rng.integers(0, 2, 200).astype(float), rng.integers(0, 4, 200).astype(float)
    weight[0] = 1
    gradient, curvature = parts(loss, y, weight)
    repeated = np.repeat(y, weight.astype(int))
    plain, bend = parts(loss, repeated, None)
    found = Noise(letters(200), weight).per_unit(loss, gradient, curvature, weight)
    assert found == pytest.approx(
        Noise(letters(len(repeated)), None).per_unit(loss, plain, bend, None), rel=1e-6
    )


@pytest.mark.parametrize("loss", [SquaredError(), Logistic()])
def test_small_weights_make_as_little_of_the_noise_as_of_gains(loss):
    y = np.random.default_rng(2).integers(0, 2, 100).astype(float)
    noise = []
    for scale in (1.0, 2.0**-20):
        weight = np.full(100, scale)
        gradient, curvature = parts(loss, y, weight)
        noise.append(Noise(letters(100), weight).per_unit(loss, gradient, curvature, weight))
    assert noise[1] == pytest.approx(noise[0] * 2.0**-20, rel=1e-9)


def test_it_does_not_depend_on_the_order_of_the_rows():
    rng = np.random.default_rng(3)
    gradient, hessian = np.exp(rng.normal(0, 9, 5000)), rng.random(5000)
    order = rng.permutation(5000)
    noise = Noise(letters(5000), None)
    first = noise.per_unit(SquaredError(), gradient, None, hessian)
    assert first == noise.per_unit(SquaredError(), gradient[order], None, hessian[order])


def test_without_categories_nobody_asks():
    table = Table.of({"x": np.arange(4.0)})
    assert Noise(table, None).per_unit(SquaredError(), np.ones(4), None, None) == 0.0


def test_nothing_left_to_learn_is_no_noise_and_the_largest_gradients_a_finite_one():
    noise = Noise(letters(4), None)
    assert noise.per_unit(SquaredError(), np.zeros(4), None, None) == 0.0
    assert np.isfinite(noise.per_unit(SquaredError(), np.full(4, 1e270), None, None))


# -- what it is for ------------------------------------------------------------------------------------------

MODELS = [
    GBDTRegressor(n_estimators=10),
    GBDTClassifier(n_estimators=10),
    XGBoostRegressor(n_estimators=10, max_depth=3, importance_type="total_gain"),
    XGBoostClassifier(n_estimators=10, max_depth=3, importance_type="total_gain"),
]


@pytest.mark.parametrize("model", MODELS)
def test_many_categories_that_tell_nothing_are_hardly_split(model):
    rng = np.random.default_rng(0)
    n, x = 4000, rng.normal(size=4000)
    names = [f"{i:03d}" for i in rng.integers(0, 200, n)]
    y = x + rng.normal(0, 2, n)
    target = y > 0 if hasattr(model, "predict_proba") else y
    model.fit(Table.of({"x": x, "name": names}), target)
    assert model.feature_importances_[1] < 0.1


@pytest.mark.parametrize("model", MODELS)
def test_many_categories_that_tell_much_are_split(model):
    rng = np.random.default_rng(0)
    n, effect = 4000, rng.normal(size=200)
    codes = rng.integers(0, 200, n)
    y = effect[codes] + rng.normal(0, 0.5, n)
    target = y > 0 if hasattr(model, "predict_proba") else y
    model.fit(Table.of({"x": rng.normal(size=n), "name": [f"{i:03d}" for i in codes]}), target)
    assert model.feature_importances_[1] > 0.9
    assert np.corrcoef(_outputs(model, codes), effect[codes])[0, 1] > 0.8


def _outputs(model, codes) -> np.ndarray:
    table = Table.of({"x": np.zeros(len(codes)), "name": [f"{i:03d}" for i in codes]})
    return model.predict_proba(table)[:, 1] if hasattr(model, "predict_proba") else model.predict(table)


def test_rows_of_weight_zero_change_nothing():
    rng = np.random.default_rng(5)
    table = Table.of({"x": rng.normal(size=300), "name": [f"{i}" for i in rng.integers(0, 30, 300)]})
    y, weight = rng.normal(size=300), rng.integers(0, 2, 300).astype(float)
    kept = Rows.of(table, y, None).take(np.flatnonzero(weight))
    with_zeros = GBDTRegressor(n_estimators=5).fit(table, y, weight)
    without = GBDTRegressor(n_estimators=5).fit(kept.table, kept.target)
    np.testing.assert_allclose(with_zeros.predict(table), without.predict(table), rtol=1e-9)
