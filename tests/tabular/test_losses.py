"""The losses against hand-computed values, central differences, brute force and scikit-learn's own."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.tabular.losses import (
    AbsoluteError,
    Huber,
    Leaves,
    Logistic,
    Loss,
    Multinomial,
    Poisson,
    Quantile,
    SquaredError,
    newton_step,
    weighted_quantile,
)
from assay.tabular.slopes import sigmoid, softmax

REGRESSION = [SquaredError(), AbsoluteError(), Quantile(0.3), Huber(alpha=0.8, delta=0.7), Poisson()]
ALL: list[Loss] = [*REGRESSION, Logistic(), Multinomial(3)]


def problem(loss: Loss, n: int = 40, seed: int = 0):
    """Targets, margins and weights the loss accepts."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(size=(loss.num_outputs, n))
    if isinstance(loss, Poisson):
        y = rng.poisson(2.0, n).astype(float)
    elif isinstance(loss, Logistic | Multinomial):
        y = rng.integers(0, max(2, loss.num_outputs), n).astype(float)
    else:
        y = rng.normal(size=n)
    return y, margins, rng.integers(1, 4, n).astype(float)


def name(loss: Loss) -> str:
    return type(loss).__name__


@pytest.mark.parametrize(
    ("loss", "y", "margin", "value", "gradient", "hessian"),
    [
        (SquaredError(), 3.0, 1.0, 2.0, -2.0, 1.0),
        (AbsoluteError(), 3.0, 1.0, 2.0, -1.0, 1.0),
        (AbsoluteError(), 1.0, 1.0, 0.0, -1.0, 1.0),
        (Quantile(0.9), 3.0, 1.0, 1.8, -0.9, 1.0),
        (Quantile(0.9), 1.0, 3.0, 0.2, 0.1, 1.0),
        (Huber(delta=0.5), 3.0, 1.0, 0.5 * (2.0 - 0.25), -0.5, 1.0),
        (Huber(delta=3.0), 3.0, 1.0, 2.0, -2.0, 1.0),
        (Poisson(), 3.0, 0.0, 1.0, -2.0, 1.0),
        (Logistic(), 1.0, 0.0, math.log(2), -0.5, 0.25),
        (Logistic(), 0.0, math.log(3), math.log(4), 0.75, 0.1875),
    ],
)
def test_values_computed_by_hand(loss, y, margin, value, gradient, hessian):
    targets, margins = np.array([y]), np.array([[margin]])
    g, h = loss.derivatives(targets, margins)
    assert loss.value(targets, margins) == pytest.approx(value, abs=1e-15)
    assert g[0, 0] == pytest.approx(gradient, abs=1e-15)
    assert (1.0 if h is None else h[0, 0]) == pytest.approx(hessian, abs=1e-15)


def test_three_classes_by_hand():
    # exp: 1, 2, 5 -> probabilities 1/8, 2/8, 5/8
    margins = np.log([[1.0], [2.0], [5.0]])
    loss, y = Multinomial(3), np.array([1.0])
    g, h = loss.derivatives(y, margins)
    assert loss.value(y, margins) == pytest.approx(math.log(4), abs=1e-15)
    np.testing.assert_allclose(g[:, 0], [1 / 8, 2 / 8 - 1, 5 / 8], atol=1e-15)
    np.testing.assert_allclose(h[:, 0], [7 / 64, 12 / 64, 15 / 64], atol=1e-15)


@pytest.mark.parametrize("loss", ALL, ids=name)
@pytest.mark.parametrize("weighted", [False, True])
def test_derivatives_are_central_differences(loss, weighted):
    y, margins, weight = problem(loss)
    weight = weight if weighted else np.ones(len(y))
    g, h = loss.derivatives(y, margins, weight if weighted else None)
    step = 1e-5
    for k in range(loss.num_outputs):
        up, down = margins.copy(), margins.copy()
        up[k] += step
        down[k] -= step
        slope = weight * (loss.pointwise(y, up) - loss.pointwise(y, down)) / (2 * step)
        np.testing.assert_allclose(g[k], slope, atol=1e-6)
        if h is not None and isinstance(loss, Poisson | Logistic | Multinomial):
            bend = weight * (loss.slopes(y, up)[0][k] - loss.slopes(y, down)[0][k]) / (2 * step)
            np.testing.assert_allclose(h[k], bend, atol=1e-6)


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_inputs_are_not_mutated_and_weights_of_one_change_nothing(loss):
    y, margins, weight = problem(loss)
    before = y.copy(), margins.copy(), weight.copy()
    plain = loss.derivatives(y, margins)
    ones = loss.derivatives(y, margins, np.ones(len(y)))
    loss.derivatives(y, margins, weight)
    np.testing.assert_array_equal(plain[0], ones[0])
    np.testing.assert_array_equal(np.ones_like(plain[0]) if plain[1] is None else plain[1], ones[1])
    for array, copy in zip((y, margins, weight), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("loss", ALL, ids=name)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_initial_margin_is_the_best_constant(loss, weighted):
    y, _, weight = problem(loss, n=60, seed=3)
    weight = weight if weighted else None
    start = loss.initial(y, weight)
    assert start.shape == (loss.num_outputs,)
    loss = loss.settled(y, np.tile(start[:, None], len(y)), weight)
    best = loss.value(y, np.tile(start[:, None], len(y)), weight)
    slack = 0.02 if isinstance(loss, Huber) else 1e-12  # the median is Huber's start, not his minimum
    for shift in np.random.default_rng(1).normal(scale=0.2, size=(50, loss.num_outputs)):
        assert loss.value(y, np.tile((start + shift)[:, None], len(y)), weight) >= best - slack


@pytest.mark.parametrize("loss", ALL, ids=name)
def test_a_weight_of_two_is_a_repeated_row(loss):
    y, margins, weight = problem(loss)
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    assert loss.value(y, margins, weight) == pytest.approx(loss.value(y[rows], margins[:, rows]))
    if not isinstance(loss, AbsoluteError | Quantile | Huber):  # those interpolate without weights
        np.testing.assert_allclose(loss.initial(y, weight), loss.initial(y[rows]), atol=1e-12)
    node = np.arange(len(y), dtype=np.int32) % 4
    for k in range(loss.num_outputs):
        steps = []
        for pick, w in ((np.arange(len(y)), weight), (rows, None)):
            g, h = loss.derivatives(y[pick], np.ascontiguousarray(margins[:, pick]), w)
            leaves = Leaves(node[pick], 4, w)
            steps.append(
                loss.line_search(leaves, y[pick], margins[k, pick], g[k], None if h is None else h[k])
            )
        np.testing.assert_allclose(*steps, atol=1e-12)


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError(), Quantile(0.3)], ids=name)
def test_the_line_search_minimises_the_loss_of_each_leaf(loss):
    y, margins, weight = problem(loss, n=30, seed=5)
    node = np.arange(30, dtype=np.int32) % 3
    g, h = loss.derivatives(y, margins, weight)
    step = loss.line_search(Leaves(node, 3, weight), y, margins[0], g[0], h[0])
    for leaf in range(3):
        rows = node == leaf
        grid = [step[leaf] + shift for shift in np.linspace(-1, 1, 201)]
        values = [loss.value(y[rows], margins[:, rows] + shift, weight[rows]) for shift in grid]
        assert loss.value(y[rows], margins[:, rows] + step[leaf], weight[rows]) <= min(values) + 1e-12


def test_newton_steps_by_loops():
    for loss in (Logistic(), Multinomial(4), Poisson()):
        y, margins, weight = problem(loss, n=50, seed=7)
        node = np.random.default_rng(0).integers(0, 5, 50).astype(np.int32)
        g, h = loss.derivatives(y, margins, weight)
        factor = 3 / 4 if isinstance(loss, Multinomial) else 1.0
        for k in range(loss.num_outputs):
            step = loss.line_search(Leaves(node, 6, weight), y, margins[k], g[k], h[k])
            for leaf in range(5):
                top = sum(-g[k, i] for i in range(50) if node[i] == leaf)
                bottom = sum(h[k, i] for i in range(50) if node[i] == leaf)
                assert step[leaf] == pytest.approx(factor * top / bottom, abs=1e-12)
            assert step[5] == 0  # no row fell there


def test_huber_step_is_friedmans_mixed_form():
    residual = np.array([0.0, 1.0, 2.0, 10.0, -4.0])
    loss = Huber(delta=1.5)
    step = loss.line_search(Leaves(np.zeros(5, np.int32), 1), residual, np.zeros(5), residual, None)
    # the median is 1; what is left of it, -1, 0, 1, 9 and -5, is cut at 1.5
    assert step[0] == pytest.approx(1 + (-1 + 0 + 1 + 1.5 - 1.5) / 5)


def test_huber_settles_on_the_quantile_of_the_residuals():
    y, margins = np.arange(10.0), np.zeros((1, 10))
    assert Huber(alpha=0.75).settled(y, margins).delta == 7.0
    assert SquaredError().settled(y, margins) == SquaredError()


def test_far_margins_neither_overflow_nor_warn():
    margins = np.array([[-800.0, -40.0, 0.0, 40.0, 800.0]])
    y = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    with np.errstate(all="raise", under="ignore"):
        value = Logistic().pointwise(y, margins)
        g, h = Logistic().derivatives(y, margins)
        assert value[0] == 800
        assert value[4] == 800
        np.testing.assert_array_equal(g[0, [0, 4]], [-1, 1])
        assert h.min() >= 0
        p = softmax(np.vstack([margins, -margins]))
    np.testing.assert_allclose(p.sum(axis=0), 1, atol=1e-15)
    np.testing.assert_allclose(sigmoid(np.array([-1e4, 1e4])), [0, 1], atol=1e-300)


def test_a_leaf_without_curvature_keeps_zero():
    step = newton_step(
        Leaves(np.array([0, 0, 1], np.int32), 3), np.array([1.0, 1.0, 1.0]), np.array([0.0, 0.0, 2.0])
    )
    np.testing.assert_array_equal(step, [0, -0.5, 0])


def test_one_class_alone_starts_finite():
    assert np.isfinite(Logistic().initial(np.ones(4))).all()
    assert np.isfinite(Multinomial(3).initial(np.ones(4))).all()
    assert np.isfinite(Poisson().initial(np.zeros(4))).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), min_size=1, max_size=30),
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]),
)
def test_weighted_quantile_by_definition(pairs, alpha):
    values, weight = np.array(pairs, dtype=float).T
    if weight.sum() == 0:
        weight = weight + 1
    found = weighted_quantile(values, alpha, weight)
    reached = [
        v for v in values[weight > 0] if weight[values <= v].sum() >= alpha * weight.sum() * (1 - 1e-12)
    ]
    assert found == min(reached)


def test_quantiles_of_leaves_are_those_of_their_rows():
    rng = np.random.default_rng(0)
    node, values, weight = rng.integers(0, 7, 200) * 2, rng.normal(size=200), rng.random(200)
    for w in (None, weight):
        found = Leaves(node, 14, w).quantile(values, 0.4)
        for leaf in range(14):
            rows = node == leaf
            alone = weighted_quantile(values[rows], 0.4, None if w is None else w[rows]) if rows.any() else 0
            assert found[leaf] == alone


@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_scikit_learns_losses(weighted):
    theirs = pytest.importorskip("sklearn._loss.loss")
    pairs = [
        (SquaredError(), theirs.HalfSquaredError()),
        (AbsoluteError(), theirs.AbsoluteError()),
        (Quantile(0.3), theirs.PinballLoss(quantile=0.3)),
        (Huber(alpha=0.8, delta=0.7), theirs.HuberLoss(quantile=0.8, delta=0.7)),
        (Poisson(), theirs.HalfPoissonLoss()),
        (Logistic(), theirs.HalfBinomialLoss()),
        (Multinomial(3), theirs.HalfMultinomialLoss(n_classes=3)),
    ]
    for ours, peer in pairs:
        y, margins, weight = problem(ours)
        weight = weight if weighted else None
        raw = np.ascontiguousarray(margins.T) if ours.num_outputs > 1 else margins[0]
        value = peer(y_true=y, raw_prediction=raw, sample_weight=weight)
        assert ours.value(y, margins, weight) == pytest.approx(value, abs=1e-12)
        gradient = peer.gradient(y_true=y, raw_prediction=raw, sample_weight=weight)
        np.testing.assert_allclose(ours.derivatives(y, margins, weight)[0].T.squeeze(), gradient, atol=1e-12)
