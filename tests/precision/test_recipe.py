import pytest
import torch

from assay.core.method import build, locate, spec
from assay.core.run import Run
from assay.data.digits import digits
from assay.precision.formats import BF16, FP16, rounded
from assay.precision.fp16_mixed import FP16Mixed
from assay.precision.fp32 import FP32Full
from assay.precision.problem import Problem
from assay.precision.task import task


def test_settings_reach_the_training():
    problem = Problem(digits().take(slice(0, 60)))
    found = FP32Full(hidden=(7, 5), steps=20, batch_size=16).fit(problem, run=Run())
    assert [tuple(w.shape) for w in found.weights] == [(7, 64), (7,), (5, 7), (5,), (10, 5), (10,)]
    assert found.moments[-1].step == 20
    assert found.policy == FP32Full.policy


def test_the_scale_grows_as_it_is_told():
    problem = Problem(digits().take(slice(0, 60)), 8192)
    for interval, expected in ((2, 2.0**16 * 2**4), (1000, 2.0**16)):
        method = FP16Mixed(hidden=(4,), steps=10, batch_size=16, interval=interval)
        assert method.fit(problem, run=Run()).moments[-1].scale == pytest.approx(expected)
    assert FP32Full().growth_interval == 2000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "expected steps above 0, got 0"),
        ({"batch_size": -1}, "expected batch_size above 0"),
        ({"learning_rate": 0.0}, "expected learning_rate above 0"),
        ({"hidden": (3, 0)}, r"expected sizes above 0 in hidden, got \(3, 0\)"),
        ({"momentum": 1.0}, r"expected momentum in \[0, 1\), got 1\.0"),
        ({"interval": 0}, "expected interval of at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        FP16Mixed(**wrong)


@pytest.mark.parametrize("path", list(task.methods.values()))
def test_every_recipe_is_data(path):
    method = locate(path)(steps=7)
    assert build(spec(method)) == method


BEHAVIOUR = {  # Format of 16 bits that holds all weights, and all logits, if one does; the first loss scale.
    "fp32": ("", "", 1.0),
    "tf32": ("", "", 1.0),
    "fp16": ("fp16", "fp16", 1.0),
    "fp16-scaled": ("fp16", "fp16", 2.0**16),
    "fp16-master": ("", "fp16", 1.0),
    "fp16-mixed": ("", "fp16", 2.0**16),
    "bf16": ("", "bf16", 1.0),
    "bf16-pure": ("bf16", "bf16", 1.0),
    "bf16-stochastic": ("bf16", "bf16", 1.0),
}


def holding(tensors):
    """The name of the format with the fewest digits in which rounding changes none of these."""
    return next((f.name for f in (BF16, FP16) if all(torch.equal(t, rounded(t, f)) for t in tensors)), "")


@pytest.fixture(scope="module")
def trained():
    """Every recipe on the same images, from the same start, for a few steps."""
    problem = Problem(digits().take(slice(0, 60)), 8192)
    found = {}
    for name, path in task.methods.items():
        method = locate(path)(hidden=(8,), steps=10, batch_size=16, learning_rate=0.3)
        network = method.fit(problem, run=Run())
        found[name] = network, torch.from_numpy(network.logits(problem)).float()
    return found


@pytest.mark.parametrize("name", list(task.methods))
def test_every_recipe_keeps_numbers_in_the_formats_of_its_name(trained, name):
    network, logits = trained[name]
    weights, outputs, scale = BEHAVIOUR[name]
    assert holding(network.weights) == weights
    assert holding([logits]) == outputs
    assert network.moments[0].scale == scale


def test_every_recipe_computes_something_else(trained):
    weights = [torch.cat([w.flatten() for w in network.weights]) for network, _ in trained.values()]
    for i, one in enumerate(weights):
        assert torch.isfinite(one).all()
        for other in weights[:i]:
            assert not torch.equal(one, other)
            torch.testing.assert_close(one, other, atol=0.02, rtol=0)  # Yet nearly the same.
