import pytest
import torch

from assay.attention.methods import SDPA, Flash1, Flash2, Flash3, Naive, Online, Prepared, Triton
from assay.attention.operands import Sizes
from assay.attention.problem import Problem
from assay.core.run import Run

PROBLEM = Problem(batch=1, heads=4, length=9, dim=3, kv_heads=2, causal=True)


METHODS = [Naive(), Naive(upcast=True), Online(), Online(columns=2), Flash1(), SDPA()]
METHODS += [Flash2(), Flash2(rows=2, columns=3), Flash3(), Flash3(rows=3, columns=2)]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_every_method_computes_the_same_and_is_saved(method, tmp_path):
    q, k, v, _ = PROBLEM.operands()
    model = method.fit(PROBLEM, run=Run())
    wanted = Naive(upcast=True).fit(PROBLEM, run=Run())(q, k, v)
    torch.testing.assert_close(model(q, k, v), wanted, atol=1e-6, rtol=1e-5)
    model.save(tmp_path)
    again = Prepared.load(tmp_path)
    assert again == model
    assert torch.equal(again(q, k, v), model(q, k, v))


def test_settings_reach_the_schedule(monkeypatch):
    seen = []

    def attend(q, k, v, pattern, method, deterministic=True, sizes=None):
        seen.append((method, deterministic, sizes))
        return q, q

    monkeypatch.setattr("assay.attention.methods.attend", attend)
    q, k, v, _ = PROBLEM.operands()
    for method in (Flash1(rows=2, columns=3), Flash2(), Online(columns=5), Triton(deterministic=False)):
        method.fit(PROBLEM, run=Run())(q, k, v)
    assert seen == [
        ("flash1", True, Sizes(2, 3)),
        ("flash2", True, None),
        ("online", True, Sizes(columns=5)),
        ("triton", False, None),
    ]


def test_flash3_in_8_bits_is_near_and_forward_only():
    q, k, v, _ = PROBLEM.operands()
    exact = Naive(upcast=True).fit(PROBLEM, run=Run())(q, k, v)
    rough = Flash3(fp8=True).fit(PROBLEM, run=Run())
    error = (rough(q, k, v) - exact).abs().max()
    assert 1e-4 < error < 0.2
    with pytest.raises(ValueError, match="no backward pass"):
        rough(q.requires_grad_(), k, v)
    with pytest.raises(ValueError, match="tiles cannot be chosen"):
        Flash3(fp8=True, rows=2, columns=3)


def test_sizes_come_in_pairs_and_are_positive():
    with pytest.raises(ValueError, match="give rows and columns, or neither; got 4 and None"):
        Flash2(rows=4)
    with pytest.raises(ValueError, match="at least one row"):
        Flash1(rows=0, columns=2)
