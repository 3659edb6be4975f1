import pytest
import torch

from assay.attention import flash1, flash2
from assay.attention.entry import attention_and_lse
from assay.attention.online import State
from assay.attention.operands import Operands, Sizes
from assay.attention.pattern import Pattern


def drawn(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def run(schedule, q, k, v, sizes, pattern, **more):
    out, lse = torch.empty_like(q).flatten(0, 1), q.new_empty(q.shape[:3]).flatten(0, 1)
    schedule.forward(Operands(q, k, v, pattern), out, lse, sizes, **more)
    return out, lse


def test_the_stored_output_is_attention_over_the_keys_seen_so_far():
    q, k, v = drawn(*[(1, 3, 11, 4)] * 3)
    k *= torch.linspace(0.1, 5, 11, dtype=torch.float64)[:, None]  # Later keys raise the maximum.
    steps = []

    def after(heads, columns, stored):
        seen = slice(0, columns.stop)
        wanted = torch.softmax(q[0] @ k[0, :, seen].transpose(1, 2) * 0.5, -1) @ v[0, :, seen]
        torch.testing.assert_close(stored, wanted[heads.start : heads.stop], atol=1e-12, rtol=0)
        steps.append(columns.stop)

    run(flash1, q, k, v, Sizes(3, 4), Pattern(scale=0.5), after=after)
    assert steps == [4, 8, 11]


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("causal", [False, True])
def test_every_length_up_to_two_blocks_and_one(n, causal):
    q, k, v = drawn((1, 2, n, 3), (1, 2, 10 - n, 3), (1, 2, 10 - n, 3), seed=n)
    out, lse = attention_and_lse(q, k, v, causal=causal, method="flash1", sizes=Sizes(4, 4))
    wanted, wanted_lse = attention_and_lse(q, k, v, causal=causal, method="naive")
    torch.testing.assert_close(out, wanted, atol=1e-12, rtol=0)
    torch.testing.assert_close(lse, wanted_lse, atol=1e-12, rtol=0)


def test_half_precision_is_rounded_once():
    q, k, v = (x.half() for x in drawn(*[(1, 1, 64, 16)] * 3))
    exact = attention_and_lse(q.double(), k.double(), v.double(), method="naive")[0]
    out = attention_and_lse(q, k, v, method="flash1", sizes=Sizes(8, 8))[0]
    assert (out - exact).abs().max() <= 2**-11 * exact.abs().max() * 1.01


def test_it_divides_once_for_every_block_of_keys_and_the_second_version_once(monkeypatch):
    divided = []

    output = State.output

    def counting(state, *out):
        divided.append(state.o.numel())
        return output(state, *out)

    monkeypatch.setattr(State, "output", counting)
    q, k, v = drawn(*[(1, 2, 32, 4)] * 3)
    counts = {}
    for schedule in (flash1, flash2):
        divided.clear()
        run(schedule, q, k, v, Sizes(8, 4), Pattern(scale=0.5))
        counts[schedule.__name__] = sum(divided)
    assert counts["assay.attention.flash2"] == 2 * 32 * 4
    assert counts["assay.attention.flash1"] == 8 * counts["assay.attention.flash2"]


def test_no_keys_give_zeros():
    q, k, v = drawn((1, 1, 3, 4), (1, 1, 0, 4), (1, 1, 0, 4))
    out, lse = run(flash1, q, k, v, Sizes(), Pattern(scale=0.5))
    assert not out.any()
    assert (lse == -torch.inf).all()
