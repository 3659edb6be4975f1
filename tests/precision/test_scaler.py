import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranks import run_ranks
from torch import nn

from assay.precision.scaler import LossScaler, Step

TRACE = {
    "event": "oooxooxxoo",
    "scale": [65536, 131072, 131072, 65536, 65536, 131072, 65536, 32768, 32768, 65536],
    "tracker": [1, 0, 1, 0, 1, 0, 0, 0, 1, 0],
    "stepped": "yyynyynnyy",
}


def weights(count=2):
    return [nn.Parameter(torch.full((3,), float(i + 1))) for i in range(count)]


def give(parameters, value, scale):
    """Gradients of `value`, as they are after the backward pass of a scaled loss."""
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, value) * scale


def naive_update(scale, count, good, growth, backoff, interval):
    """The rule in plain Python: the scale, a float32, and the row of good steps after a step."""
    if not good:
        return float(np.float32(scale * backoff)), 0
    if count + 1 < interval:
        return scale, count + 1
    with np.errstate(over="ignore"):
        grown = float(np.float32(scale * growth))
    return grown if math.isfinite(grown) else scale, 0


def tracker(scaler):
    return scaler.state_dict()["_growth_tracker"]


class TestTrace:
    def test_of_the_handbook(self):
        parameters = weights()
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        scaler = LossScaler(interval=2)
        found = {"scale": [], "tracker": [], "stepped": ""}
        for event in TRACE["event"]:
            scale = scaler.get_scale()
            give(parameters, 1.0 if event == "o" else math.inf, scale)
            result = scaler.step(optimizer)
            assert result == Step(event == "o", scale, event == "x")
            scaler.update()
            found["scale"].append(scaler.get_scale())
            found["tracker"].append(tracker(scaler))
            found["stepped"] += "y" if result.stepped else "n"
        assert found == {key: TRACE[key] for key in found}
        assert parameters[0][0].item() == pytest.approx(1 - 0.1 * 7)

    @pytest.mark.filterwarnings("ignore:the loss scale fell")
    @settings(max_examples=60, deadline=None)
    @given(
        script=st.lists(st.sampled_from([1.0, -0.5, 0.0, math.inf, -math.inf, math.nan]), max_size=25),
        interval=st.integers(1, 4),
        growth=st.sampled_from([1.5, 2.0, 4.0]),
        backoff=st.sampled_from([0.25, 0.5, 0.9]),
        init=st.sampled_from([1.0, 3.0, 2.0**16, 2.0**127]),
        accumulate=st.integers(1, 2),
    )
    def test_equals_torchs_on_random_scripts(self, script, interval, growth, backoff, init, accumulate):
        ours, theirs = weights(), weights()
        optimizers = [torch.optim.Adam(p, lr=0.1) for p in (ours, theirs)]
        scaler = LossScaler(init_scale=init, growth=growth, backoff=backoff, interval=interval)
        reference = torch.amp.GradScaler(
            "cpu", init_scale=init, growth_factor=growth, backoff_factor=backoff, growth_interval=interval
        )
        reference.scale(torch.zeros(()))  # It makes its scale at the first use.
        for first in range(0, len(script), accumulate):
            scale = scaler.get_scale()
            for values, parameters in itertools.product(script[first : first + accumulate], (ours, theirs)):
                for parameter in parameters:
                    gradient = torch.full_like(parameter, values) * scale
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
            scaler.unscale_(optimizers[0])
            reference.unscale_(optimizers[1])
            for a, b in zip(ours, theirs, strict=True):
                assert torch.equal(a.grad.nan_to_num(nan=7.0), b.grad.nan_to_num(nan=7.0))
            scaler.step(optimizers[0])
            reference.step(optimizers[1])
            scaler.update()
            reference.update()
            assert scaler.state_dict() == reference.state_dict()
            for a, b in zip(ours, theirs, strict=True):
                assert torch.equal(a, b)
                a.grad = b.grad = None

    @pytest.mark.filterwarnings("ignore:the loss scale fell")
    @settings(max_examples=60, deadline=None)
    @given(
        script=st.lists(st.booleans(), max_size=25),
        interval=st.integers(1, 4),
        growth=st.sampled_from([1.1, 1.5, 2.0, 4.0]),
        backoff=st.sampled_from([0.1, 0.5, 0.9]),
        init=st.sampled_from([1.0, 3.0, 2.0**16, 2.0**127]),
    )
    def test_follows_the_rule_written_in_plain_python(self, script, interval, growth, backoff, init):
        parameters = weights(1)
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        scaler = LossScaler(init_scale=init, growth=growth, backoff=backoff, interval=interval)
        scale, count = init, 0
        for good in script:
            give(parameters, 0.0 if good else math.inf, 1.0)
            assert scaler.step(optimizer) == Step(good, scale, not good)
            scaler.update()
            scale, count = naive_update(scale, count, good, growth, backoff, interval)
            assert (scaler.get_scale(), tracker(scaler)) == (scale, count)

    def test_scale_stays_finite(self):
        parameters = weights()
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        scaler = LossScaler(init_scale=2.0**127, interval=1)
        give(parameters, 0.0, 1.0)
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == 2.0**127
        assert tracker(scaler) == 0

    def test_resumes_inside_an_interval_on_either_side(self):
        reference = torch.amp.GradScaler("cpu", growth_interval=3)
        reference.scale(torch.zeros(()))
        first, second = LossScaler(interval=3), LossScaler(init_scale=2.0, interval=9)
        parameters = weights()
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        give(parameters, 1.0, first.get_scale())
        first.step(optimizer)
        first.update()
        second.load_state_dict(first.state_dict())
        reference.load_state_dict(first.state_dict())
        for scaler in (first, second, reference):
            for _ in range(2):
                give(parameters, 1.0, scaler.get_scale())
                scaler.step(optimizer)
                scaler.update()
        assert first.state_dict() == second.state_dict() == reference.state_dict()
        assert first.get_scale() == 2.0**17


class TestGradients:
    def test_power_of_two_scales_change_no_bit(self):
        def gradient(scaled):
            torch_rng = torch.Generator().manual_seed(0)
            layer = nn.Linear(7, 5)
            with torch.no_grad():
                for p in layer.parameters():
                    p.copy_(torch.randn(p.shape, generator=torch_rng))
            loss = layer(torch.randn(4, 7, generator=torch_rng)).square().mean()
            if not scaled:
                loss.backward()
                return layer.weight.grad
            scaler = LossScaler(init_scale=2.0**14)
            scaler.scale(loss).backward()
            scaler.unscale_(torch.optim.SGD(layer.parameters(), lr=1.0))
            return layer.weight.grad

        assert torch.equal(gradient(scaled=True), gradient(scaled=False))

    def test_clipping_after_unscaling_does_not_depend_on_the_scale(self):
        updates = []
        for scale in (1.0, 2.0**16):
            [parameter] = weights(1)
            optimizer = torch.optim.SGD([parameter], lr=1.0)
            scaler = LossScaler(init_scale=scale)
            scaler.scale((parameter * torch.tensor([3.0, 4.0, 12.0])).sum()).backward()
            scaler.unscale_(optimizer)
            norm = nn.utils.clip_grad_norm_([parameter], 1.0)
            before = parameter.detach().clone()
            scaler.step(optimizer)
            updates.append(before - parameter.detach())
            assert norm.item() == pytest.approx(13.0)
        assert torch.equal(*updates)
        assert updates[0].norm().item() == pytest.approx(1.0, abs=1e-6)

    def test_tied_parameters_are_unscaled_once(self):
        table = nn.Embedding(5, 3)
        head = nn.Linear(3, 5, bias=False)
        head.weight = table.weight
        model = nn.ModuleList([table, head])

        def loss():
            return head(table(torch.tensor([1, 2]))).square().sum()

        loss().backward()
        expected = table.weight.grad.clone()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        optimizer.zero_grad()
        scaler = LossScaler(init_scale=1024.0)
        scaler.scale(loss()).backward()
        scaler.unscale_(optimizer)
        assert torch.equal(table.weight.grad, expected)

    def test_a_skipped_step_leaves_the_optimizers_state_alone(self):
        parameters = weights()
        optimizer = torch.optim.Adam(parameters, lr=0.1)
        scaler = LossScaler()
        for value in (1.0, math.nan):
            before = {k: v.clone() for p in parameters for k, v in optimizer.state[p].items()}
            held = [p.detach().clone() for p in parameters]
            give(parameters, value, scaler.get_scale())
            scaler.step(optimizer)
            scaler.update()
        after = {k: v for p in parameters for k, v in optimizer.state[p].items()}
        assert before.keys() == after.keys()
        assert all(torch.equal(before[k], after[k]) for k in before)
        assert all(torch.equal(a, b) for a, b in zip(held, parameters, strict=True))

    def test_parameters_without_gradients_are_passed_over(self):
        used, unused = weights()
        give([used], 2.0, 65536.0)
        scaler = LossScaler()
        optimizer = torch.optim.SGD([used, unused], lr=1.0)
        assert scaler.step(optimizer).stepped
        assert used[0].item() == 1.0 - 2.0
        scaler.update()
        used.grad = None
        assert scaler.step(optimizer) == Step(True, 65536.0, False)

    def test_scale_is_fixed_until_update(self):
        scaler = LossScaler(interval=1)
        parameters = weights()
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        one = scaler.scale(torch.ones(()))
        give(parameters, 1.0, 65536.0)
        scaler.unscale_(optimizer)
        assert scaler.scale(torch.ones(())) == one == 65536
        scaler.step(optimizer)
        assert scaler.scale(torch.ones(())) == one
        scaler.update()
        assert scaler.scale(torch.ones(())) == 2 * one

    def test_what_was_read_with_other_numbers_is_believed(self):
        parameters = weights()
        optimizer = torch.optim.SGD(parameters, lr=1.0)
        scaler = LossScaler(init_scale=4.0)
        give(parameters, 1.0, 4.0)
        scaler.unscale_(optimizer)
        assert scaler.pending.tolist() == [4.0, 0.0]
        assert scaler.step(optimizer, read=(4.0, 1.0)) == Step(False, 4.0, True)
        assert parameters[0][0].item() == 1.0


class TestMistakes:
    def test_unscaling_twice(self):
        parameters = weights()
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        give(parameters, 1.0, 65536.0)
        scaler = LossScaler()
        scaler.unscale_(optimizer)
        with pytest.raises(RuntimeError, match="unscaled already"):
            scaler.unscale_(optimizer)

    def test_updating_or_asking_before_a_step(self):
        with pytest.raises(RuntimeError, match=r"expected step\(\) before update\(\)"):
            LossScaler().update()
        with pytest.raises(RuntimeError, match="not unscaled yet"):
            _ = LossScaler().pending

    def test_fp16_gradients(self):
        parameter = nn.Parameter(torch.ones(2, dtype=torch.float16))
        parameter.grad = torch.ones_like(parameter)
        with pytest.raises(TypeError, match="keep the parameters in float32"):
            LossScaler().unscale_(torch.optim.SGD([parameter], lr=0.1))

    @pytest.mark.parametrize(
        "wrong", [{"init_scale": 0.0}, {"growth": 1.0}, {"backoff": 1.0}, {"backoff": 0.0}, {"interval": 0}]
    )
    def test_settings(self, wrong):
        with pytest.raises(ValueError, match="expected init_scale > 0"):
            LossScaler(**wrong)

    def test_a_scale_below_one_is_warned_about_once(self):
        parameters = weights()
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        scaler = LossScaler(init_scale=2.0)

        def steps(count):
            for _ in range(count):
                give(parameters, math.inf, 1.0)
                scaler.step(optimizer)
                scaler.update()

        with pytest.warns(UserWarning, match=r"the loss scale fell to 0\.5") as caught:
            steps(5)
        assert len(caught) == 1


RANKS = """
from assay.precision.scaler import LossScaler
import torch.distributed as dist

parameter = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.SGD([parameter], lr=0.5)
ours = LossScaler(interval=2)
theirs_parameter = torch.nn.Parameter(torch.ones(3))
theirs_optimizer = torch.optim.SGD([theirs_parameter], lr=0.5)
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
theirs = ShardedGradScaler(device="cpu", growth_interval=2)
theirs.scale(torch.zeros(()))
trace, reference = [], []
for event in "oooxooxxoo":
    bad = event == "x" and rank == len(trace) % world  # On one rank only, each time another.
    parameter.grad = torch.full((3,), float("inf") if bad else 1.0) * ours.get_scale()
    theirs_parameter.grad = parameter.grad.clone()
    stepped = ours.step(optimizer).stepped
    ours.update()
    trace.append([ours.get_scale(), ours.state_dict()["_growth_tracker"], stepped])
    theirs.step(theirs_optimizer)
    theirs.update()
    reference.append([theirs.get_scale(), theirs.state_dict()["_growth_tracker"]])
result = {"trace": trace, "reference": reference, "weight": parameter.tolist()}
result["theirs"] = theirs_parameter.tolist()
"""


@pytest.mark.parametrize("world", [2])
def test_one_ranks_overflow_is_everybodys(tmp_path, world):
    for found in run_ranks(RANKS, world, tmp_path):
        assert [scale for scale, _, _ in found["trace"]] == TRACE["scale"]
        assert [count for _, count, _ in found["trace"]] == TRACE["tracker"]
        assert "".join("y" if stepped else "n" for _, _, stepped in found["trace"]) == TRACE["stepped"]
        assert [pair[:2] for pair in found["trace"]] == found["reference"]
        assert found["weight"] == found["theirs"] == [1 - 0.5 * 7] * 3
