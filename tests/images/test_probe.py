"""Softmax regression: gradient by finite differences, scikit-learn's minimum, and what a probe returns."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from assay.core.run import Run
from assay.images.probe import linear_probe, regression_loss, softmax_regression


def drawn(rows=80, inputs=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs))
    x[:, -1] = 1
    labels = (x[:, :classes] + rng.normal(size=(rows, classes))).argmax(1)
    return torch.tensor(x), torch.tensor(labels)


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_loss_and_gradient(penalty):
    x, labels = drawn()
    weights = torch.tensor(np.random.default_rng(1).normal(size=(3, 5)))
    loss, gradient = regression_loss(weights, x, labels, penalty)
    total = 0.0
    for row, label in zip(x.numpy(), labels.tolist(), strict=True):
        logits = weights.numpy() @ row
        total += np.log(np.exp(logits).sum()) - logits[label]
    expected = total / len(x) + penalty / 2 * (weights.numpy()[:, :-1] ** 2).sum()
    assert loss == pytest.approx(expected, abs=1e-12)
    for index in np.ndindex(3, 5):
        step = torch.zeros(3, 5, dtype=torch.float64)
        step[index] = 1e-6
        up, down = (regression_loss(weights + s * step, x, labels, penalty)[0] for s in (1, -1))
        assert float(gradient[index]) == pytest.approx((up - down) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("penalty", [1e-3, 0.1])
def test_the_minimum_is_sklearns(penalty):
    x, labels = drawn()
    found = softmax_regression(x, labels, classes=3, penalty=penalty)
    theirs = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-10, max_iter=10_000)
    theirs.fit(x[:, :-1].numpy(), labels.numpy())
    probs = (x @ found.T).softmax(1).numpy()
    np.testing.assert_allclose(probs, theirs.predict_proba(x[:, :-1].numpy()), atol=2e-4)
    _, gradient = regression_loss(found, x, labels, penalty)
    assert gradient.abs().max() < 1e-4


def test_a_start_leads_to_the_same_minimum():
    x, labels = drawn()
    cold = softmax_regression(x, labels, classes=3, penalty=0.01)
    warm = softmax_regression(x, labels, classes=3, penalty=0.01, start=cold + 0.5)
    assert torch.allclose((x @ cold.T).softmax(1), (x @ warm.T).softmax(1), atol=1e-3)


def probed(x, labels, **changes):
    options = {"classes": 3, "penalties": (1e-2,), "run": Run(seed=0)}
    return linear_probe(x, labels, **options | changes)


def test_units_of_features_make_no_difference():
    x, labels = drawn()
    features = x[:, :-1]
    weight, bias = probed(features, labels)
    scale, offset = torch.tensor([1.0, 10.0, 0.1, 3.0]).double(), torch.tensor([0.0, -5.0, 2.0, 7.0]).double()
    weight2, bias2 = probed(features * scale + offset, labels)
    one = features @ weight.T + bias
    two = (features * scale + offset) @ weight2.T + bias2
    assert torch.allclose(one.softmax(1), two.softmax(1), atol=1e-4)


def test_a_constant_feature_is_nothing():
    x, labels = drawn()
    weight, bias = probed(x, labels)  # The last column is 1.
    assert torch.isfinite(weight).all()
    assert weight[:, -1].abs().max() < 1e-6
    without, _ = probed(x[:, :-1], labels)
    assert torch.allclose(weight[:, :-1], without, atol=1e-3)
    assert torch.isfinite(bias).all()


def test_the_penalty_is_chosen_on_held_out_images():
    """With as many features as images and labels of noise, only a strong penalty is good for others."""
    rng = np.random.default_rng(0)
    x, labels = torch.tensor(rng.normal(size=(60, 40))), torch.tensor(rng.integers(0, 3, 60))
    chosen, _ = probed(x, labels, penalties=(1e-4, 10.0))
    strong, _ = probed(x, labels, penalties=(10.0,))
    assert torch.allclose(chosen, strong, atol=1e-3)
    clean = torch.eye(3).double().repeat(20, 1)
    weak, _ = probed(clean, clean.argmax(1), penalties=(1e-4, 10.0))
    assert weak.abs().max() > 10 * strong.abs().max()


def test_progress_is_told_and_classes_may_be_missing():
    x, labels = drawn()
    told = []
    run = Run(seed=0, progress=lambda fraction, text: told.append(fraction))
    weight, bias = probed(x[:, :-1], labels, classes=5, penalties=(0.1, 0.01), run=run)
    assert weight.shape == (5, 4)
    assert (bias[3:] < bias[:3].min()).all()
    assert told == pytest.approx([1 / 3, 2 / 3])


def test_one_image_is_too_few():
    with pytest.raises(ValueError, match="expected at least 2 images to learn from, got 1"):
        probed(torch.zeros(1, 4), torch.zeros(1, dtype=torch.long))
