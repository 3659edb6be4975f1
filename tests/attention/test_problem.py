import json

import pytest
import torch

from assay.attention.problem import SHAPES, Problem, parse_shape
from assay.data.table import ContractError

SMALL = {"batch": 1, "heads": 4, "length": 8, "dim": 2}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"length": 0}, "length must be a whole number from 1 up, got 0"),
        ({"batch": 1.5}, "batch must be a whole number"),
        ({"heads": True}, "heads must be a whole number"),
        ({"keys": -1}, "keys must be a whole number"),
        ({"kv_heads": 3}, "kv_heads must divide the 4 heads, got 3"),
        ({"left": -2}, "left must be a number of keys, or -1"),
        ({"dtype": "fp8"}, "dtype must be one of fp16, bf16, fp32, fp64, got 'fp8'"),
        ({"causal": "yes"}, "causal must be true or false, got 'yes'"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong, words):
    with pytest.raises(ContractError, match=words):
        Problem(**SMALL | wrong)


class TestShape:
    def test_written_and_named(self):
        assert parse_shape("4x16x4096X64") == {"batch": 4, "heads": 16, "length": 4096, "dim": 64}
        assert parse_shape("gpt2")["causal"]
        for name in SHAPES:
            Problem(**parse_shape(name))

    @pytest.mark.parametrize("text", ["4x16x64", "bert", "4x16x4096x64x2", "-1x1x1x1", ""])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(ContractError, match="expected a shape batch x heads x length x dim such as"):
            parse_shape(text)


def test_name_says_what_is_special():
    assert Problem(**SMALL).name == "1x4x8x2"
    special = Problem(**SMALL, kv_heads=2, keys=9, causal=True, left=3, dtype="bf16", gradients=True)
    assert special.name == "1x4x8x2 2 kv heads 9 keys causal 3 to the left bf16 with gradients"


def test_fingerprint_is_of_everything_but_the_seed():
    one, seeded = Problem(**SMALL), Problem(**SMALL, seed=5)
    assert one.fingerprint() == seeded.fingerprint()
    assert len({one.fingerprint(), Problem(**SMALL, causal=True).fingerprint()}) == 2
    assert json.loads(json.dumps(one.describe()))["scores, bytes"] == 4 * 8 * 8 * 4


def test_operands_are_fixed_by_the_seed_and_leave_global_state_alone():
    state = torch.get_rng_state()
    problem = Problem(**SMALL, kv_heads=2, keys=5, dtype="bf16")
    q, k, v, g = problem.operands()
    assert torch.equal(torch.get_rng_state(), state)
    assert q.shape == g.shape == (1, 4, 8, 2)
    assert k.shape == v.shape == (1, 2, 5, 2)
    assert q.dtype == torch.bfloat16
    assert torch.equal(q, problem.operands()[0])
    assert not torch.equal(q, Problem(**SMALL, kv_heads=2, keys=5, dtype="bf16", seed=1).operands()[0])


def test_operations_and_pattern():
    problem = Problem(**SMALL, causal=True, left=3, gradients=True)
    assert problem.flops == 3.5 * 4 * 4 * 8 * 8 * 2 / 2
    assert problem.pattern().window == (3, 0)
    assert problem.pattern().scale == pytest.approx(2**-0.5)
