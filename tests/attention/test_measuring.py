import numpy as np
import pytest
import torch
from attention_loops import loops

from assay.attention import attention, measuring
from assay.attention.measuring import Outcome, error, exact_rows, measured, peak_bytes, stepping, tiny
from assay.attention.problem import Problem
from assay.core.budget import Budget
from assay.core.run import Run

PROBLEM = Problem(batch=1, heads=4, length=9, dim=3, kv_heads=2, keys=7, causal=True, left=4, seed=3)


def ours(q, k, v):
    return attention(q, k, v, causal=True, window=(4, -1), method="flash2")


def test_exact_rows_are_those_of_loops_also_where_nothing_is_seen():
    q, k, v, _ = (x.double().numpy() for x in PROBLEM.operands())
    wanted, _ = loops(q, k, v, causal=True, window=(4, -1))
    rows = np.array([0, 1, 5, 8])
    np.testing.assert_allclose(exact_rows(PROBLEM, rows), wanted[:, :, rows], atol=1e-12)
    assert not wanted[:, :, :2].any()


def test_error_is_the_largest_difference_in_millionths():
    rows = np.arange(PROBLEM.length)
    out = exact_rows(PROBLEM, rows)
    assert error(Outcome(out, (1.0,), 0), PROBLEM) == 0
    out = out.copy()
    out[0, 2, 4, 1] += 3e-6
    assert error(Outcome(out, (1.0,), 0), PROBLEM) == pytest.approx(3.0)


class TestMeasured:
    def test_output_time_and_memory(self):
        outcome = measured(ours, PROBLEM, Run())
        assert error(outcome, PROBLEM) < 1.0
        assert 3 <= len(outcome.milliseconds) <= 50
        assert min(outcome.milliseconds) > 0
        assert outcome.peak_bytes >= 0
        assert np.array_equal(np.asarray(outcome), outcome.out)
        assert measuring.median_milliseconds(Outcome(outcome.out, (3.0, 1.0, 2.0), 0)) == 2.0

    def test_a_budget_is_a_number_of_steps(self):
        outcome = measured(ours, PROBLEM, Run(budget=Budget(7, "steps")))
        assert len(outcome.milliseconds) == 7

    def test_half_precision_comes_back_as_float32(self):
        problem = Problem(batch=1, heads=1, length=4, dim=2, dtype="bf16")
        outcome = measured(lambda q, k, v: v, problem, Run())
        assert outcome.out.dtype == np.float32

    def test_another_shape_is_refused(self):
        with pytest.raises(ValueError, match=r"of shape \(1, 4, 9, 3\), got \(1, 2, 7, 3\)"):
            measured(lambda q, k, v: v, PROBLEM, Run())

    def test_threads_are_those_of_the_run_and_put_back(self):
        seen = []
        before = torch.get_num_threads()
        measured(lambda q, k, v: (seen.append(torch.get_num_threads()), q)[1], tiny(PROBLEM), Run(threads=2))
        assert set(seen) == {2}
        assert torch.get_num_threads() == before


class TestStep:
    def test_without_gradients_no_history_is_kept(self):
        (out,) = stepping(ours, PROBLEM)()
        assert out.grad_fn is None

    def test_with_gradients_they_are_those_of_the_problem(self):
        problem = Problem(batch=1, heads=2, length=5, dim=3, gradients=True)
        found = stepping(lambda q, k, v: attention(q, k, v, method="flash2"), problem)()
        q, k, v, g = (x.double().numpy() for x in problem.operands())
        wanted = loops(q, k, v, dout=g)
        for one, other in zip(found, (wanted[0], *wanted[2:5]), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_peak_memory_is_what_a_step_takes_beyond_its_results():
    def step():
        large = torch.ones(50_000_000)  # 200 MB, kept by the system apart from smaller pieces
        return (large[:1000].clone(),)

    peak, results = peak_bytes(step, "cpu")
    assert 150e6 < peak < 260e6
    assert results[0].shape == (1000,)


def test_results_are_not_counted():
    peak, _ = peak_bytes(lambda: (torch.ones(50_000_000),), "cpu")
    assert peak < 50e6
