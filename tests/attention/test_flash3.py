import pytest
import torch

from assay.attention import flash2, flash3
from assay.attention.mods import prefix_lm, soft_cap
from assay.attention.operands import Operands, Sizes
from assay.attention.pattern import Pattern

MODS = {"mask_mod": prefix_lm(3), "score_mod": soft_cap(2.0)}


def drawn(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def run(schedule, q, k, v, sizes, pattern, **options):
    out, lse = q.new_empty(*q.shape[:3], v.shape[-1]), q.new_empty(q.shape[:3])
    schedule.forward(Operands(q, k, v, pattern), out.flatten(0, 1), lse.flatten(0, 1), sizes, **options)
    return out, lse


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8])
@pytest.mark.parametrize(
    "pattern",
    [Pattern(scale=0.5), Pattern(scale=0.5, window=(-1, 0)), Pattern(scale=0.5, window=(2, 1), **MODS)],
    ids=["plain", "causal", "window and functions"],
)
def test_equals_flash2_bit_for_bit_with_any_number_of_blocks(count, pattern):
    q, k, v = drawn((2, 4, 13, 6), (2, 2, 4 * count, 6), (2, 2, 4 * count, 5), seed=count)
    for one, other in zip(*(run(s, q, k, v, Sizes(5, 4), pattern) for s in (flash2, flash3)), strict=True):
        assert torch.equal(one, other)


def test_bounded_by_no_more_than_two_tiles_of_scores():
    q, k, v = drawn((1, 1, 32, 4), (1, 1, 96, 4), (1, 1, 96, 4))
    operands = Operands(q, k, v, Pattern(scale=0.5))
    out, lse = torch.empty(1, 32, 4), torch.empty(1, 32)
    flash3.forward(operands, out, lse, Sizes(8, 16))
    assert [scratch.numel() for scratch in operands._scratch] == [8 * 16] * 2


def test_what_is_narrowed_are_weights_from_0_to_1_and_their_sum_is_not():
    seen = []

    def narrowed(weights):
        seen.append(weights.clone())
        return torch.zeros_like(weights)

    q, k, v = drawn((1, 1, 6, 4), (1, 1, 12, 4), (1, 1, 12, 3))
    out, lse = run(flash3, q, k, v, Sizes(6, 4), Pattern(scale=0.5), narrowed=narrowed)
    assert len(seen) == 3
    assert all(weights.min() >= 0 and weights.max() <= 1 for weights in seen)
    assert not out.any()
    torch.testing.assert_close(lse, torch.logsumexp(q @ k.transpose(-2, -1) * 0.5, -1))
