from dataclasses import replace

import numpy as np
import pytest
from random_densities import all_vectors, finite_differences, random_model

from assay.core.run import Run
from assay.density import nade
from assay.density.autoregressive import Sweep
from assay.density.contract import BinaryData
from assay.density.likelihood import log_likelihood
from assay.density.nade import NADE, hidden_states, nade_complete, nade_gradient, nade_logits


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def naive_logits(row, weights):
    """The paper's conditionals, every hidden layer computed anew."""
    W, V, b, c = (weights[name] for name in "WVbc")
    U = weights.get("U", np.zeros_like(W))
    logits = []
    for d in range(len(row)):
        a = c.copy()
        for j in range(d):
            a += W[j] * row[j] + U[j]
        logits.append(b[d] + V[d] @ sigmoid(a))
    return np.array(logits)


def random_weights(D, H, seed=0, *, orderless=False):
    rng = np.random.default_rng(seed)
    weights = {"W": rng.normal(size=(D, H)), "V": rng.normal(size=(D, H))}
    if orderless:
        weights["U"] = rng.normal(size=(D, H))
    return weights | {"b": rng.normal(size=D), "c": rng.normal(size=H)}


@pytest.mark.parametrize("orderless", [False, True])
@pytest.mark.parametrize(("D", "H"), [(1, 1), (2, 3), (6, 4)])
def test_one_pass_is_the_sequential_loop(D, H, orderless):
    weights = random_weights(D, H, orderless=orderless)
    x = all_vectors(D).astype(float)
    expected = np.stack([naive_logits(row, weights) for row in x])
    assert nade_logits(x, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("order_seed", [0, 1])
def test_orders_are_applied_to_rows_and_weights(order_seed):
    model = random_model("nade", 6, order_seed)
    order = model.structure["orders"][0]
    inverse = np.argsort(order)
    x = all_vectors(6)
    weights = {name: w if name == "c" else w[inverse] for name, w in model.weights.items()}
    for row, logits in zip(x, model.logits(x.astype(float)), strict=True):
        assert logits[inverse] == pytest.approx(naive_logits(row[inverse], weights), abs=1e-12)


@pytest.mark.parametrize("block", [1, 40, 1 << 16])
@pytest.mark.parametrize("kept", [1, 50, 1 << 24])
def test_gradient_agrees_with_finite_differences(block, kept, monkeypatch):
    monkeypatch.setattr(nade, "_BLOCK", block)
    monkeypatch.setattr(nade, "_KEPT", kept)
    weights = random_weights(6, 4)
    x = np.random.default_rng(1).integers(0, 2, (5, 6)).astype(float)
    loss, slope = nade_gradient(x, weights)

    def naive(w):
        return -np.mean([log_likelihood(naive_logits(row, w)[None], row[None])[0] for row in x])

    assert loss == pytest.approx(naive(weights), abs=1e-12)
    for name, expected in finite_differences(naive, weights).items():
        assert slope[name] == pytest.approx(expected, abs=1e-7), name


def test_gradient_agrees_with_automatic_differentiation():
    torch = pytest.importorskip("torch")
    weights = random_weights(9, 5, seed=2)
    x = np.random.default_rng(3).integers(0, 2, (8, 9)).astype(float)
    w = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    rows, a, loss = torch.tensor(x), w["c"].expand(8, 5), 0.0
    for d in range(9):
        logit = w["b"][d] + torch.sigmoid(a) @ w["V"][d]
        loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(logit, rows[:, d], reduction="sum")
        a = a + rows[:, d, None] * w["W"][d]
    (loss / 8).backward()
    value, slope = nade_gradient(x, weights)
    assert value == pytest.approx(loss.item() / 8, abs=1e-10)
    for name in weights:
        assert slope[name] == pytest.approx(w[name].grad.numpy(), abs=1e-10)


def test_without_output_weights_bits_are_independent():
    model = random_model("nade", 5)
    alone = replace(model, weights={**model.weights, "V": np.zeros_like(model.weights["V"])})
    x = all_vectors(5)
    z = np.tile(model.weights["b"], (32, 1))
    assert alone.log_prob(x) == pytest.approx(log_likelihood(z, x), abs=1e-14)


def test_the_running_sum_does_not_drift():
    """After 784 additions in float32, the hidden layer is still the one computed at once."""
    rng = np.random.default_rng(0)
    weights = {name: w.astype(np.float32) for name, w in random_weights(784, 20).items()}
    x = rng.integers(0, 2, (10, 784)).astype(np.float32)
    last = None
    for _, states in hidden_states(x, weights):
        last = states[-1].copy()
    exact = sigmoid(x[:, :-1].astype(float) @ weights["W"][:-1].astype(float) + weights["c"])
    assert last == pytest.approx(exact, abs=1e-4)


def test_sampling_feeds_back_the_drawn_bit():
    """Two bits that are always equal: fed with probabilities, the second would be a coin of its own."""
    weights = {"W": np.array([[60.0], [0.0]]), "c": np.array([-30.0])}
    weights |= {"V": np.array([[0.0], [60.0]]), "b": np.array([0.0, -30.0])}
    nothing = np.zeros((500, 2))
    sweep = Sweep(nothing, nothing > 1, np.random.default_rng(0))
    nade_complete(sweep, weights, np.arange(2))
    x = sweep.x
    assert np.array_equal(x[:, 0], x[:, 1])
    assert 0.4 < x[:, 0].mean() < 0.6


def test_work_is_linear_in_the_number_of_variables():
    """Counted, not timed: every variable reads one column of W."""

    class Counting(np.ndarray):
        reads = 0

        def __getitem__(self, key):
            Counting.reads += isinstance(key, int)
            return super().__getitem__(key)

    counts = []
    for D in (10, 20, 40):
        weights = random_weights(D, 3)
        Counting.reads = 0
        weights["W"] = weights["W"].view(Counting)
        x = np.zeros((4, D))
        nade_complete(Sweep(x, x > 0, np.random.default_rng(0)), weights, np.arange(D))
        counts.append(Counting.reads)
    assert counts == [10, 20, 40]


def test_learns_a_distribution_that_is_not_independent():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, (1500, 1))
    x = np.concatenate([first, 1 - first, rng.integers(0, 2, (1500, 1))], axis=1).astype(np.uint8)
    model = NADE(hidden=8, max_epochs=60).fit(BinaryData(x), run=Run())
    assert -model.log_prob(x).mean() == pytest.approx(2 * np.log(2), abs=0.03)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="expected hidden of at least 1, got 0"):
        NADE(hidden=0)
    with pytest.raises(ValueError, match="expected learning_rate above 0, got 0"):
        NADE(learning_rate=0)
