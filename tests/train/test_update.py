import math

import pytest
import torch
from torch import nn

from assay.core.run import Run
from assay.precision.scaler import LossScaler
from assay.train.ranks import Ranks
from assay.train.update import Update, not_finite


def network(seed=0):
    rng = torch.Generator().manual_seed(seed)
    found = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    with torch.no_grad():
        for p in found.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=p.dtype))
    return found


def batch(rows=6, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, n, generator=rng, dtype=torch.float64) for n in (4, 2))


def make(model, *, scaler=None, clip_norm=None, loss_fn=None, lr=0.1):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    run = Run()

    def loss(x, y):
        error = (model(x) - y).square().mean()
        return {"loss": error, "double": 2 * error}

    ranks = Ranks(model, optimizer, run)
    return Update(loss_fn or loss, model, optimizer, run, ranks=ranks, scaler=scaler, clip_norm=clip_norm)


def weights(model):
    return [p.detach().clone() for p in model.parameters()]


def test_one_batch_by_hand():
    model, (x, y) = network(), batch()
    before = weights(model)
    loss = (model(x) - y).square().mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    outcome = make(model)([(x, y)])
    assert outcome.updated
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    expected = {"loss": loss.item(), "double": 2 * loss.item(), "grad_norm": norm.item()}
    assert outcome.scalars == pytest.approx(expected, abs=1e-12)
    for p, old, g in zip(model.parameters(), before, gradients, strict=True):
        assert torch.allclose(p, old - 0.1 * g, atol=1e-12, rtol=0)


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_parts_equal_the_whole_batch(parts):
    whole, cut = network(), network()
    x, y = batch()
    one = make(whole)([(x, y)])
    many = make(cut)(list(zip(x.chunk(parts), y.chunk(parts), strict=True)))
    assert many.scalars == pytest.approx(one.scalars, abs=1e-12)
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", [None, 1.0, 2.0**16])
def test_clipping_bounds_the_true_gradient_whatever_the_scale(scale):
    model = network()
    before = weights(model)
    scaler = None if scale is None else LossScaler(init_scale=scale)
    outcome = make(model, clip_norm=0.25, scaler=scaler, lr=1.0)([batch()])
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, model.parameters(), strict=True)])
    assert moved.norm().item() == pytest.approx(0.25, rel=1e-5)
    assert outcome.scalars["grad_norm"] > 0.25
    plain = network()
    make(plain, clip_norm=0.25, lr=1.0)([batch()])
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_gradient_below_the_bound_is_not_changed():
    clipped, plain = network(), network()
    make(clipped, clip_norm=1e6)([batch()])
    make(plain)([batch()])
    for a, b in zip(clipped.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("scaled", [False, True])
def test_what_is_not_finite_changes_nothing_but_the_scale(value, scaled):
    model, (x, y) = network(), batch()
    before = weights(model)
    scaler = LossScaler() if scaled else None
    outcome = make(model, scaler=scaler)([(x, y), (x * value, y)])
    assert not outcome.updated
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not_finite(model) == "0.weight"
    assert ("loss_scale" in outcome.scalars) == scaled
    if scaler is not None:
        assert scaler.get_scale() == 2.0**15
        assert outcome.scalars["loss_scale"] == 2.0**16


def test_a_loss_that_is_not_finite_with_a_finite_gradient_is_skipped_too():
    model, (x, y) = network(), batch()
    before = weights(model)
    outcome = make(model, loss_fn=lambda x, y: {"loss": model(x).mean() + math.inf})([(x, y)])
    assert not outcome.updated
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not_finite(model) == "none"


def test_the_device_is_asked_once(monkeypatch):
    model, asked = network(), []
    for name in ("item", "tolist", "__float__", "__bool__", "cpu", "numpy"):
        original = getattr(torch.Tensor, name)
        spy = lambda self, *a, _o=original, _n=name, **k: (asked.append(_n), _o(self, *a, **k))[1]  # noqa: E731
        monkeypatch.setattr(torch.Tensor, name, spy)
    make(model, scaler=LossScaler(), clip_norm=1.0)([batch()])
    assert asked == ["tolist"]
