import pytest
import torch

from assay.core.method import build, locate, spec
from assay.core.run import Run
from assay.data.digits import digits
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


@pytest.fixture(scope="module")
def trained():
    """Every recipe on the same images, from the same start, for a few steps."""
    problem = Problem(digits().take(slice(0, 60)), 8192)
    found = {}
    for name, path in task.methods.items():
        method = locate(path)(hidden=(8,), steps=10, batch_size=16, learning_rate=0.3)
        found[name] = method.fit(problem, run=Run())
    return found


def test_every_recipe_computes_something_else(trained):
    weights = [torch.cat([w.flatten() for w in network.weights]) for network in trained.values()]
    for i, one in enumerate(weights):
        assert torch.isfinite(one).all()
        for other in weights[:i]:
            assert not torch.equal(one, other)
            torch.testing.assert_close(one, other, atol=0.02, rtol=0)  # Yet nearly the same.
