import numpy as np
import pytest

from assay.image_text.probe import linear_probe

linear_model = pytest.importorskip("sklearn.linear_model")


def data():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    return rng.normal(size=(90, 5)) + np.eye(3, 5)[labels], labels


def test_is_scikit_learns_logistic_regression():
    x, y = data()
    reference = linear_model.LogisticRegression(C=0.5, tol=1e-8, max_iter=1000).fit(x, y)
    probe = linear_probe(x, y, penalty=2.0)
    assert np.abs(probe.weight - reference.coef_).max() < 1e-4
    difference = probe.bias - reference.intercept_  # Biases are known up to a constant.
    assert np.ptp(difference) < 1e-4
    assert probe.accuracy(x, y) == reference.score(x, y)


def test_begins_where_it_is_told():
    x, y = data()
    weight, bias = np.ones((3, 5)), np.arange(3.0)
    probe = linear_probe(x, y, max_iterations=0, start=(weight, bias))
    assert np.array_equal(probe.weight, weight)
    assert np.array_equal(probe.bias, bias)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"got \(0, 5\) and 0"):
        linear_probe(np.zeros((0, 5)), np.zeros(0, int))
    with pytest.raises(ValueError, match="a label for each"):
        linear_probe(np.zeros((2, 5)), np.zeros(3, int))
