import numpy as np
import pytest
from random_densities import all_vectors, finite_differences, random_model

from assay.core.run import Run
from assay.density.contract import BinaryData
from assay.density.fvsbn import FVSBN, FVSBNModel, before, fvsbn_gradient, fvsbn_logits
from assay.density.likelihood import log_likelihood, smoothed_log_odds


def naive_log_prob(row, W, b, order):
    """Frey's product of logistic regressions, one pair of bits at a time."""
    total = 0.0
    for d in range(len(row)):
        logit = b[d]
        for j in range(len(row)):
            if order[j] < order[d]:
                logit += W[j, d] * row[j]
        p = 1 / (1 + np.exp(-logit))
        total += np.log(p if row[d] else 1 - p)
    return total


@pytest.mark.parametrize("D", [1, 2, 5])
def test_is_the_product_of_logistic_regressions(D):
    model = random_model("fvsbn", D)
    x = all_vectors(D)
    W, b, order = model.weights["W"], model.weights["b"], model.structure["orders"][0]
    expected = [naive_log_prob(row, W, b, order) for row in x]
    assert model.log_prob(x) == pytest.approx(expected, abs=1e-12)


def test_gradient_agrees_with_finite_differences():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (7, 6)).astype(float)
    mask = before(rng.permutation(6))
    weights = {"W": rng.normal(size=(6, 6)), "b": rng.normal(size=6)}
    loss, slope = fvsbn_gradient(x, weights, mask)

    def naive(w):
        return -log_likelihood(fvsbn_logits(x, w, mask), x).mean()

    assert loss == pytest.approx(naive(weights), abs=1e-12)
    for name, expected in finite_differences(naive, weights).items():
        assert slope[name] == pytest.approx(expected, abs=1e-7)
    assert (slope["W"][~mask] == 0).all()


def test_loss_and_gradient_are_those_of_a_masked_linear_layer():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (6, 9)).astype(float)
    mask = before(rng.permutation(9))
    weights = {"W": rng.normal(size=(9, 9)), "b": rng.normal(size=9)}
    layer = torch.nn.Linear(9, 9, dtype=torch.float64)
    rows = torch.tensor(x)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights["W"].T))
        layer.bias.copy_(torch.tensor(weights["b"]))
    logits = torch.nn.functional.linear(rows, layer.weight * torch.tensor(mask.T), layer.bias)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, rows, reduction="sum") / len(x)
    loss.backward()
    value, slope = fvsbn_gradient(x, weights, mask)
    assert value == pytest.approx(loss.item(), abs=1e-10)
    assert slope["W"] == pytest.approx(layer.weight.grad.numpy().T, abs=1e-10)
    assert slope["b"] == pytest.approx(layer.bias.grad.numpy(), abs=1e-10)


def test_without_weights_bits_are_independent():
    model = random_model("fvsbn", 5)
    alone = FVSBNModel(
        weights={"W": np.zeros((5, 5)), "b": model.weights["b"]}, structure=dict(model.structure)
    )
    x = all_vectors(5)
    z = np.tile(model.weights["b"], (32, 1))
    assert np.array_equal(alone.log_prob(x), log_likelihood(z, x))


def test_weights_that_are_cut_off_do_not_matter():
    model = random_model("fvsbn", 6)
    cut = ~before(model.structure["orders"][0])
    W = np.array(model.weights["W"])
    W[cut] = 1e6
    changed = FVSBNModel(weights={**model.weights, "W": W}, structure=model.structure)
    x = all_vectors(6)
    assert np.array_equal(changed.log_prob(x), model.log_prob(x))


def test_nothing_beats_the_entropy_of_the_data():
    """A weight on the diagonal would let a bit predict itself."""
    model = random_model("fvsbn", 6, seed=4)
    p = np.exp(model.log_prob(all_vectors(6)))
    x = model.sample(1500, np.random.default_rng(0))
    fitted = FVSBN(max_epochs=15, learning_rate=0.02).fit(BinaryData(x), run=Run())
    cross_entropy = -float(p @ fitted.log_prob(all_vectors(6)))
    entropy = -float(p @ np.log(p))
    assert entropy < cross_entropy < entropy + 0.1


def test_converges_to_logistic_regressions_column_by_column():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x = random_model("fvsbn", 4, seed=1).sample(400, np.random.default_rng(0))
    weights = {"W": np.zeros((4, 4)), "b": np.zeros(4)}
    mask = before(np.arange(4))
    for _ in range(2500):  # Plain gradient descent: the loss is convex.
        _, slope = fvsbn_gradient(x.astype(float), weights, mask)
        weights = {name: w - 1.5 * slope[name] for name, w in weights.items()}
    for d in range(1, 4):
        reference = linear_model.LogisticRegression(C=1e8, tol=1e-10, max_iter=1000).fit(x[:, :d], x[:, d])
        assert weights["W"][:d, d] == pytest.approx(reference.coef_[0], abs=1e-3)
        assert weights["b"][d] == pytest.approx(reference.intercept_[0], abs=1e-3)


def test_starts_at_the_independent_model():
    x = np.random.default_rng(0).random((60, 8)) < np.linspace(0.02, 0.9, 8)
    data = BinaryData(x.astype(np.uint8))
    fitted = FVSBN(max_epochs=1, learning_rate=1e-12).fit(data, run=Run())
    z = np.tile(smoothed_log_odds(data.x), (60, 1))
    assert fitted.log_prob(data.x) == pytest.approx(log_likelihood(z, data.x), abs=1e-4)
