"""The passes of boosting: compiled and in NumPy equal to the last bit, and both equal to the formulas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.tabular import slopes
from assay.tabular.kernel import library

needs_kernel = pytest.mark.skipif(library() is None, reason="no compiled kernel")
EDGES = [0.0, -0.0, 1.0, -1.0, 40.0, -40.0, 707.9, -707.9, 708.0, -708.0, 1e4, -1e4, 5e-324, 1e300]


def problem(classes: int, n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    margins = rng.normal(scale=5, size=(classes, n))
    margins.flat[: len(EDGES)] = EDGES[: margins.size]
    return rng.integers(0, max(2, classes), n).astype(float), margins, rng.random(n) * 3


def slopes_of(function, y, margins, weight):
    gradient, hessian = np.empty(margins.shape), np.empty(margins.shape)
    function(y, margins, weight, gradient, hessian)
    return np.stack([gradient, hessian])


def in_both_ways(monkeypatch, function, *arguments):
    compiled = function(*arguments)
    monkeypatch.setattr(slopes, "_compiled", lambda: None)
    in_numpy = function(*arguments)
    monkeypatch.undo()
    return compiled, in_numpy


@needs_kernel
@pytest.mark.parametrize("n", [1, 7, 255, 256, 257, 5000])
@pytest.mark.parametrize("weighted", [False, True])
def test_compiled_and_numpy_agree_to_the_last_bit(monkeypatch, n, weighted):
    for classes in (1, 2, 3, 7):
        y, margins, weight = problem(classes, n, seed=n)
        weight = weight if weighted else None
        calls = [(slopes_of, slopes.softmax_slopes, y, margins, weight), (slopes.sigmoid, margins)]
        if classes == 1:
            calls.append((slopes_of, slopes.logistic_slopes, y, margins[0], weight))
            calls.append((slopes.logistic_losses, y, margins[0]))
            assert len({*in_both_ways(monkeypatch, slopes.logistic_loss, y, margins[0])}) == 1
        for call in calls:
            ours, theirs = in_both_ways(monkeypatch, *call)
            np.testing.assert_array_equal(ours.view(np.int64), theirs.view(np.int64))


def loss_and_slopes(function, y, margins):
    gradient, hessian = np.empty(margins.shape), np.empty(margins.shape)
    loss = function(y, margins, gradient, hessian)
    return loss, np.stack([gradient, hessian])


@needs_kernel
@pytest.mark.parametrize("n", [1, 7, 255, 256, 257, 5000])
def test_one_pass_gives_the_loss_and_the_slopes_of_two(monkeypatch, n):
    y, (margins,), _ = problem(1, n, seed=n)
    expected = slopes.logistic_loss(y, margins), slopes_of(slopes.logistic_slopes, y, margins, None)
    for loss, found in in_both_ways(
        monkeypatch, loss_and_slopes, slopes.logistic_loss_and_slopes, y, margins
    ):
        assert loss == expected[0]
        np.testing.assert_array_equal(found.view(np.int64), expected[1].view(np.int64))
    for classes in (1, 2, 3, 7):
        y, margins, _ = problem(classes, n, seed=n)
        y = np.minimum(y, classes - 1)
        expected = slopes_of(slopes.softmax_slopes, y, margins, None)
        both = in_both_ways(monkeypatch, loss_and_slopes, slopes.softmax_loss_and_slopes, y, margins)
        for loss, found in both:
            assert loss == both[0][0]
            np.testing.assert_array_equal(found.view(np.int64), expected.view(np.int64))


@pytest.mark.parametrize("classes", [1, 3, 40])
def test_the_loss_of_classes_is_the_sum_of_the_losses(classes):
    rng = np.random.default_rng(classes)
    y, margins = rng.integers(0, classes, 1000), rng.normal(scale=5, size=(classes, 1000))
    exact = np.logaddexp.reduce(margins.astype(np.longdouble), axis=0) - margins[y, np.arange(1000)]
    loss, _ = loss_and_slopes(slopes.softmax_loss_and_slopes, y.astype(float), margins)
    assert loss == pytest.approx(float(exact.sum()), rel=1e-14, abs=1e-12)


@needs_kernel
def test_a_step_is_the_same_in_both_ways(monkeypatch):
    rng = np.random.default_rng(0)
    leaf, value, start = rng.integers(0, 9, 1000).astype(np.int32), rng.normal(size=9), rng.normal(size=1000)
    moved = []
    for compiled in (slopes._compiled(), None):
        monkeypatch.setattr(slopes, "_compiled", lambda compiled=compiled: compiled)
        margins = start.copy()
        slopes.step(margins, leaf, value)
        moved.append(margins)
    np.testing.assert_array_equal(*moved)
    np.testing.assert_array_equal(moved[0], [m + value[i] for m, i in zip(start, leaf, strict=True)])


@needs_kernel
@pytest.mark.parametrize("n", [1, 3, 4, 1001])
def test_sums_of_leaves_are_the_same_in_both_ways_and_right(monkeypatch, n):
    rng = np.random.default_rng(n)
    leaf, first, second = rng.integers(0, 9, n).astype(np.int32), *rng.normal(size=(2, n))
    for values in (first, second, None):
        compiled, in_numpy = in_both_ways(monkeypatch, slopes.leaf_sums, leaf, values, 11)
        np.testing.assert_array_equal(compiled, in_numpy)
        some = np.ones(n) if values is None else values
        exact = [math.fsum(some[leaf == node]) for node in range(11)]
        np.testing.assert_allclose(compiled, exact, rtol=1e-12, atol=1e-13)
    for pair in in_both_ways(monkeypatch, slopes.leaf_pairs, leaf, first, second, 11):
        for sums, values in zip(pair, (first, second), strict=True):
            np.testing.assert_array_equal(sums, slopes.leaf_sums(leaf, values, 11))


@pytest.mark.parametrize("n", [1, 15, 4096, 4097, 20_000])
@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_a_sum_of_losses_is_the_sum_of_the_losses(n, scale):
    rng = np.random.default_rng(n)
    y, margins = rng.integers(0, 2, n).astype(float), rng.normal(scale=scale, size=n)
    exact = np.logaddexp(np.longdouble(0), margins.astype(np.longdouble)) - y * margins.astype(np.longdouble)
    assert slopes.logistic_loss(y, margins) == pytest.approx(float(exact.sum()), rel=1e-14, abs=n * 1e-15)


@settings(max_examples=200, deadline=None)
@given(st.floats(-708, 708))
def test_the_exponential_is_right_to_a_few_units_in_the_last_place(x):
    exact = np.exp(np.longdouble(x))
    assert abs(np.longdouble(slopes.exponential(np.array([x]))[0]) - exact) <= 4 * np.spacing(
        np.float64(exact)
    )


def test_the_exponential_of_zero_is_one_and_far_out_it_stays_finite():
    found = slopes.exponential(np.array([0.0, -0.0, -1e9, 1e9]))
    assert found[:2].tolist() == [1.0, 1.0]
    assert 0 < found[2] < 1e-300
    assert 1e300 < found[3] < np.inf


def test_slopes_and_losses_follow_their_formulas():
    y, margins, weight = problem(1, 500)
    m = np.clip(margins[0], -700, 700)
    p = 1 / (1 + np.exp(-m))
    gradient, hessian = slopes_of(slopes.logistic_slopes, y, m, weight)
    np.testing.assert_allclose(gradient, weight * (p - y), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(hessian, weight * p * (1 - p), rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(
        slopes.logistic_losses(y, m), np.logaddexp(0, m) - y * m, rtol=1e-13, atol=1e-15
    )
    y, margins, weight = problem(4, 300)
    margins = np.clip(margins, -700, 700)
    p = np.exp(margins - margins.max(axis=0))
    p /= p.sum(axis=0)
    gradient, hessian = slopes_of(slopes.softmax_slopes, y, margins, weight)
    np.testing.assert_allclose(gradient, weight * (p - (y == np.arange(4)[:, None])), atol=1e-14)
    np.testing.assert_allclose(hessian, weight * p * (1 - p), atol=1e-14)
    np.testing.assert_allclose(slopes.softmax(margins), p, atol=1e-15)
