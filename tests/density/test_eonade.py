import itertools

import numpy as np
import pytest
from random_densities import all_vectors, finite_differences, random_model

from assay.core.run import Run
from assay.density.contract import BinaryData
from assay.density.eonade import EoNADE, EoNADEModel, draw_known, orderless_gradient
from assay.density.likelihood import log_likelihood
from assay.density.nade import nade_logits


def random_weights(D, H, seed=0):
    return dict(random_model("eonade", D, seed, hidden=H).weights)


def naive_loss(x, known, weights):
    """D / missing times the cross-entropy of the missing bits, bit by bit; mean over rows."""
    total = 0.0
    for row, seen in zip(x, known, strict=True):
        a = weights["c"] + sum(
            (row[j] * weights["W"][j] + weights["U"][j] for j in range(len(row)) if seen[j]),
            start=np.zeros(len(weights["c"])),
        )
        h = 1 / (1 + np.exp(-a))
        missing = [d for d in range(len(row)) if not seen[d]]
        for d in missing:
            p = 1 / (1 + np.exp(-(weights["b"][d] + weights["V"][d] @ h)))
            total -= len(row) / len(missing) * np.log(p if row[d] else 1 - p)
    return total / len(x)


def test_loss_is_the_loops_and_gradient_the_finite_differences():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (6, 5)).astype(float)
    known = draw_known(x.shape, rng)
    weights = random_weights(5, 4)
    loss, slope = orderless_gradient(x, known, weights)
    assert loss == pytest.approx(naive_loss(x, known, weights), abs=1e-12)
    expected = finite_differences(lambda w: naive_loss(x, known, w), weights)
    for name in weights:
        assert slope[name] == pytest.approx(expected[name], abs=1e-7), name


def test_gradient_agrees_with_automatic_differentiation():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    x = rng.integers(0, 2, (7, 8)).astype(float)
    known = draw_known(x.shape, rng)
    weights = random_weights(8, 5, seed=3)
    w = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    rows, seen = torch.tensor(x), torch.tensor(known.astype(float))
    hidden = torch.sigmoid((rows * seen) @ w["W"] + seen @ w["U"] + w["c"])
    logits = hidden @ w["V"].T + w["b"]
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, rows, reduction="none") * (1 - seen)
    loss = (8 / (1 - seen).sum(dim=1) * each.sum(dim=1)).mean()
    loss.backward()
    value, slope = orderless_gradient(x, known, weights)
    assert value == pytest.approx(loss.item(), abs=1e-10)
    for name in weights:
        assert slope[name] == pytest.approx(w[name].grad.numpy(), abs=1e-10), name


def test_expected_loss_is_the_mean_over_all_orders():
    """Without the weight D / (D - d + 1) it would not be. All orders of four bits, and all splits."""
    D = 4
    weights = random_weights(D, 3, seed=1)
    x = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    losses, expected = [], []
    for inverse in itertools.permutations(range(D)):
        order = np.argsort(inverse)
        model = EoNADEModel(weights=weights, structure={"orders": order[None]})
        expected.append(-model.log_prob(x).mean())
        for count in range(D):
            known = np.tile(order < count, (2, 1))
            losses.append(orderless_gradient(x, known, weights)[0])
    assert np.mean(losses) == pytest.approx(np.mean(expected), abs=1e-10)


def test_zero_and_hidden_are_not_the_same():
    """The mask is an input of its own."""
    weights = random_weights(3, 4)
    x = np.zeros((1, 3))
    zero, hidden = np.array([[True, False, False]]), np.zeros((1, 3), bool)
    both = [orderless_gradient(x, known, weights)[1]["b"][2] for known in (zero, hidden)]
    scale = [3 / 2, 1.0]
    assert both[0] / scale[0] != pytest.approx(both[1] / scale[1], abs=1e-3)


def test_known_bits_are_drawn_by_number_and_then_evenly():
    known = draw_known((40_000, 4), np.random.default_rng(0))
    counts = np.bincount(known.sum(axis=1), minlength=5) / len(known)
    assert counts[:4] == pytest.approx([0.25] * 4, abs=0.015)
    assert counts[4] == 0  # Something is always missing.
    assert known.mean(axis=0) == pytest.approx([1.5 / 4] * 4, abs=0.015)


@pytest.mark.parametrize("members", [1, 4])
def test_is_a_nade_in_each_of_its_orders(members):
    model = random_model("eonade", 5, members=members)
    x = all_vectors(5).astype(float)
    for member, order in enumerate(model.structure["orders"]):
        inverse = np.argsort(order)
        weights = {name: w if name == "c" else w[inverse] for name, w in model.weights.items()}
        expected = log_likelihood(nade_logits(x[:, inverse], weights), x[:, inverse])
        assert log_likelihood(model.logits(x, member), x) == pytest.approx(expected, abs=1e-12)


def test_learns_in_all_orders_at_once():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, (1500, 1))
    x = np.concatenate([first, rng.integers(0, 2, (1500, 1)), 1 - first], axis=1).astype(np.uint8)
    model = EoNADE(hidden=10, num_orders=6, learning_rate=0.02, max_epochs=60).fit(BinaryData(x), run=Run())
    for member in range(6):
        score = -log_likelihood(model.logits(x.astype(np.float32), member), x).mean()
        assert score == pytest.approx(2 * np.log(2), abs=0.08)
    # Any bit is known from any other that is tied to it.
    given = np.array([[9, 0, 1], [9, 0, 0]])
    for seed in range(5):
        painted = model.in_paint(given % 9, np.array([False, True, True]), np.random.default_rng(seed))
        assert painted[:, 0].tolist() == [0, 1]


def test_settings_are_checked():
    with pytest.raises(ValueError, match="at least 1"):
        EoNADE(num_orders=0)
    with pytest.raises(ValueError, match="expected patience above 0"):
        EoNADE(patience=0)
