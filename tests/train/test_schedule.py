import math

import pytest
import torch

from assay.train.schedule import constant, cosine, linear

POINTS = [i / 40 for i in range(41)]


def test_cosine_by_its_formula():
    schedule = cosine(warmup=0.1, floor=0.2)
    assert schedule(0.0) == 0
    assert schedule(0.05) == pytest.approx(0.5)
    assert schedule(0.1) == pytest.approx(1.0)
    assert schedule(0.55) == pytest.approx(0.2 + 0.8 / 2)
    assert schedule(1.0) == pytest.approx(0.2)
    for done in POINTS[4:]:
        x = (done - 0.1) / 0.9
        assert schedule(done) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi * x)) / 2, abs=1e-15)


def test_cosine_equals_torchs():
    steps, optimizer = 50, torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, eta_min=0.1)
    ours = cosine(warmup=0.0, floor=0.1)
    for step in range(steps):
        assert ours(step / steps) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_linear_and_constant():
    assert [linear()(x) for x in (0, 0.25, 1)] == pytest.approx([1, 0.75, 0])
    assert [linear(warmup=0.5, floor=0.5)(x) for x in (0, 0.25, 0.5, 0.75, 1)] == [0, 0.5, 1, 0.75, 0.5]
    assert [constant()(x) for x in (0, 0.5, 1)] == [1, 1, 1]
    assert [constant(warmup=0.5)(x) for x in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, 1]


@pytest.mark.parametrize("make", [cosine, linear])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5])
def test_rises_then_falls_within_bounds(make, warmup):
    values = [make(warmup=warmup, floor=0.1)(x) for x in POINTS]
    top = values.index(max(values))
    assert values[:top] == sorted(values[:top])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert all(0 <= value <= 1 for value in values)


@pytest.mark.parametrize("make", [cosine, linear])
@pytest.mark.parametrize(("name", "value"), [("warmup", 1.0), ("warmup", -0.1), ("floor", 1.5)])
def test_settings_out_of_range_are_named(make, name, value):
    with pytest.raises(ValueError, match=rf"expected {name} in \[0, 1\), got"):
        make(**{name: value})
    with pytest.raises(ValueError, match="expected warmup"):
        constant(warmup=2)
