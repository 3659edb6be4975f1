import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from assay.data.labelled import LabelledImages
from assay.precision.formats import BF16, FP16, rounded
from assay.precision.network import EXPONENTS, Moment, Network, forward, start
from assay.precision.policy import Policy
from assay.precision.problem import Problem

MOMENT = Moment(
    step=3,
    loss=0.5,
    scale=1024.0,
    skipped=1,
    flushed=0.1,
    flushed_unscaled=0.2,
    stagnant=0.3,
    magnitudes=tuple(range(len(EXPONENTS))),
)


def network(policy=None, sizes=(6, 5, 4, 3)):
    policy = policy or Policy()
    return Network(
        weights=start(sizes, policy, np.random.default_rng(0)),
        policy=policy,
        mean=0.4,
        spread=0.3,
        classes=("a", "b", "c"),
        moments=(MOMENT,),
    )


def problem():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (9, 2, 3), np.uint8)
    return Problem(LabelledImages(images, np.arange(9) % 3, ("a", "b", "c")))


def test_forward_is_a_sequence_of_layers():
    found = network()
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(7, 6)).astype(np.float32))
    hidden = x
    for i in range(0, 6, 2):
        hidden = nn.functional.linear(hidden, found.weights[i], found.weights[i + 1])
        hidden = hidden.relu() if i < 4 else hidden
    assert torch.allclose(forward(found.weights, x, Policy()), hidden, atol=1e-6)


def test_logits_standardise_pixels():
    found = network()
    x = (problem().rows() - 0.4) / 0.3
    expected = forward(found.weights, torch.from_numpy(x.astype(np.float32)), Policy())
    logits = found.logits(problem())
    assert logits.dtype == np.float64
    np.testing.assert_allclose(logits, expected.double().numpy(), atol=1e-6)


@pytest.mark.parametrize("format", [FP16, BF16])
def test_weights_start_in_the_format_and_alike_but_for_it(format):
    exact = start((6, 5), Policy(), np.random.default_rng(0))
    found = start((6, 5), Policy(param=format), np.random.default_rng(0))
    for a, b in zip(found, exact, strict=True):
        assert torch.equal(a, rounded(b, format))
    assert exact[0].abs().max() <= 6**-0.5
    assert not exact[1].any()


def test_saved_and_loaded(tmp_path):
    policy = Policy(compute=FP16, output=FP16, param=FP16, scaling=True)
    found = network(policy)
    found.save(tmp_path)
    again = Network.load(tmp_path)
    assert again.policy == policy
    assert np.array_equal(again.logits(problem()), found.logits(problem()))
    assert tuple(again.moments) == (MOMENT,)
    assert (again.mean, again.spread, again.classes) == (found.mean, found.spread, found.classes)


def test_earlier_weights_can_be_looked_at():
    found = network()
    earlier = tuple(w + 1 for w in found.weights)
    then = dataclasses.replace(found, earlier=(earlier,)).at(0)
    assert torch.equal(then.weights[0], earlier[0])
    assert not then.moments


@pytest.mark.parametrize("damage", ["network.json", "network.safetensors", "policy"])
def test_damage_is_named(tmp_path, damage):
    network().save(tmp_path)
    if damage == "policy":
        text = (tmp_path / "network.json").read_text()
        (tmp_path / "network.json").write_text(text.replace('"param"', '"parma"'))
    else:
        (tmp_path / damage).write_text("{")
    with pytest.raises(ValueError, match="expected a network of the precision wing"):
        Network.load(tmp_path)
