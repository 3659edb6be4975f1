import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from assay.core.budget import Budget
from assay.core.run import Run
from assay.data.digits import digits
from assay.precision.formats import BF16, FP16, rounded
from assay.precision.network import EXPONENTS
from assay.precision.policy import Policy
from assay.precision.problem import Problem
from assay.precision.training import MOMENTS, RoundingSGD, magnitudes, threads, trained

MIXED = Policy(compute=FP16, output=FP16, scaling=True)


@pytest.fixture(scope="module")
def problem():
    return Problem(digits().take(slice(0, 300)), 8192)


def fit(problem, policy, run=None, **settings):
    options = {
        "hidden": (12,),
        "steps": 40,
        "batch_size": 32,
        "learning_rate": 0.2,
        "momentum": 0.0,
        "interval": 10,
    }
    return trained(problem, policy, run or Run(seed=1), **(options | settings))


class TestSGD:
    @pytest.mark.parametrize("momentum", [0.0, 0.9])
    def test_float32_is_torchs(self, momentum):
        rng = torch.Generator().manual_seed(0)
        ours, theirs = (torch.ones(5, requires_grad=True) for _ in range(2))
        one = RoundingSGD([ours], Policy(), lr=0.1, momentum=momentum)
        other = torch.optim.SGD([theirs], lr=0.1, momentum=momentum)
        for _ in range(6):
            ours.grad = torch.randn(5, generator=rng)
            theirs.grad = ours.grad.clone()
            one.step()
            other.step()
        assert torch.allclose(ours, theirs, atol=1e-6)

    @pytest.mark.parametrize(
        ("policy", "expected"), [(Policy(), 0.9), (Policy(param=FP16), 1.0), (Policy(param=BF16), 1.0)]
    )
    def test_a_master_copy_moves_where_few_bits_stay(self, policy, expected):
        weight = torch.ones(4, requires_grad=True)
        optimizer = RoundingSGD([weight], policy, lr=1.0)
        for _ in range(1000):
            weight.grad = torch.full((4,), 1e-4)
            optimizer.step()
        assert weight.tolist() == pytest.approx([expected] * 4, abs=1e-4)


class TestTraining:
    def test_float32_is_the_training_one_would_write(self, problem):
        found = fit(problem, Policy(), momentum=0.5)
        run = Run(seed=1)
        x, y = torch.from_numpy(problem.rows()), torch.from_numpy(problem.images.labels)
        x = (x - x.mean()) / x.std()
        rng, batches = run.rng("start"), run.rng("batches")
        weights = []
        for inputs, outputs in ((64, 12), (12, 10)):
            bound = inputs**-0.5
            weights += [
                rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32),
                np.zeros(outputs, "f4"),
            ]
        weights = [torch.from_numpy(w).requires_grad_() for w in weights]
        optimizer = torch.optim.SGD(weights, lr=0.2, momentum=0.5)
        for step in range(40):
            chosen = batches.choice(300, 32, replace=False)
            optimizer.param_groups[0]["lr"] = 0.2 * (1 + np.cos(np.pi * step / 40)) / 2
            hidden = F.linear(x[chosen], weights[0], weights[1]).relu()
            loss = F.cross_entropy(F.linear(hidden, weights[2], weights[3]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for a, b in zip(found.weights, weights, strict=True):
            # Momentum sees the rates of its time in either; only float32 differs.
            assert torch.allclose(a, b, atol=2e-5)

    def test_positions_mean_nothing_in_float32_and_something_in_fp16(self, problem):
        few = dataclasses.replace(problem, positions=1)
        same = [fit(data, Policy()).weights[0] for data in (problem, few)]
        assert torch.equal(*same)  # A power of two.
        other = [fit(data, Policy(compute=FP16, output=FP16)) for data in (problem, few)]
        assert not torch.equal(other[0].weights[0], other[1].weights[0])
        assert other[0].moments[-1].flushed > other[1].moments[-1].flushed

    @pytest.mark.parametrize("policy", [MIXED, Policy(param=BF16, compute=BF16, output=BF16)])
    def test_weights_stay_in_their_format_and_a_seed_decides(self, problem, policy):
        one, two, other = fit(problem, policy), fit(problem, policy), fit(problem, policy, Run(seed=2))
        for a, b in zip(one.weights, two.weights, strict=True):
            assert torch.equal(a, b)
            assert torch.equal(a, rounded(a, policy.param))
        assert not torch.equal(one.weights[0], other.weights[0])

    def test_learns(self, problem):
        for policy in (Policy(), MIXED):
            found = fit(problem, policy, steps=150)
            assert found.moments[-1].loss < 0.5 * found.moments[0].loss
            right = (found.logits(problem).argmax(1) == problem.images.labels).mean()
            assert right > 0.8

    def test_mixed_is_nearer_to_float32_than_its_halves(self, problem):
        exact = fit(problem, Policy()).weights[0]

        def distance(policy):
            return (fit(problem, policy).weights[0] - exact).norm().item()

        mixed = distance(MIXED)
        assert mixed < 0.5 * distance(dataclasses.replace(MIXED, scaling=False))
        assert mixed < 0.5 * distance(dataclasses.replace(MIXED, param=FP16))

    def test_moments_measure_what_is_lost(self, problem):
        found = fit(problem, MIXED, steps=100)
        assert len(found.moments) == len(found.earlier) == MOMENTS
        assert [moment.step for moment in found.moments] == list(range(5, 101, 5))
        assert sum(found.moments[0].magnitudes) > 0
        for moment in found.moments:
            assert moment.flushed <= moment.flushed_unscaled
        assert found.moments[-1].flushed_unscaled > 0
        scales = [moment.scale for moment in found.moments]
        assert scales[0] == 2.0**16
        assert max(scales) > 2.0**16  # It grows every ten good steps.
        assert found.moments[-1].skipped == 0
        overflowing = fit(problem, MIXED, steps=100, interval=2)
        assert overflowing.moments[-1].skipped > 0
        pure = fit(problem, Policy(param=FP16, compute=FP16, output=FP16), learning_rate=0.02)
        assert np.mean([moment.stagnant for moment in pure.moments]) > 0.1
        assert {moment.scale for moment in pure.moments} == {1.0}

    def test_budget_takes_the_place_of_steps(self, problem):
        run = Run(seed=1, budget=Budget(12, "steps"))
        assert fit(problem, Policy(), run).moments[-1].step == 12

    def test_log_and_progress(self, problem, tmp_path):
        seen = []
        run = Run(folder=tmp_path, progress=lambda fraction, text: seen.append((fraction, text)))
        fit(problem, MIXED, run, steps=5)
        run.close()
        lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
        assert lines[0]["scale"] == 65536
        assert seen[-1][0] == 1.0
        assert seen[0][1].startswith("step 1, loss ")


def test_magnitudes_count_binary_exponents():
    values = torch.tensor([0.0, 1.0, -1.5, 2.0, 2.0**-25, 1e-30, 1e30, float("inf"), float("nan")])
    counts = dict(zip(EXPONENTS, magnitudes(values), strict=True))
    assert {exponent: count for exponent, count in counts.items() if count} == {
        0: 2,
        1: 1,
        -25: 1,
        -60: 1,
        20: 1,
    }


def test_threads_are_the_runs_for_a_block():
    before = torch.get_num_threads()
    with threads(Run(threads=before + 1)):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
