import pytest
import torch
from attention_loops import loops

from assay.attention.entry import attention
from assay.attention.mods import Inlined, alibi, alibi_slopes, documents, prefix_lm, soft_cap
from assay.attention.operands import Sizes


def drawn(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


NUMBERS = torch.tensor([[0, 0, 1, 1, 1, 2, 2], [0, 1, 1, 2, 2, 2, 2]])
SLOPES = alibi_slopes(4).double()
DENSE = {
    "alibi": (
        {"score_mod": alibi(SLOPES)},
        {"score_mod": lambda s, b, h, i, j: s - 2.0 ** (-2 * (h + 1)) * abs(i - j)},
    ),
    "soft cap": (
        {"score_mod": soft_cap(0.7)},
        {"score_mod": lambda s, b, h, i, j: 0.7 * float(torch.tanh(torch.tensor(s / 0.7).double()))},
    ),
    "prefix": ({"mask_mod": prefix_lm(3)}, {"mask_mod": lambda b, h, i, j: j <= i or j < 3}),
    "documents": (
        {"mask_mod": documents(NUMBERS)},
        {"mask_mod": lambda b, h, i, j: NUMBERS[b, i] == NUMBERS[b, j]},
    ),
}


@pytest.mark.parametrize("method", ["naive", "online", "flash1", "flash2", "flash3"])
@pytest.mark.parametrize("name", DENSE)
def test_equals_loops_over_the_formula(name, method):
    q, k, v = drawn(*[(2, 4, 7, 3)] * 3)
    ours, oracle = DENSE[name]
    out = attention(q, k, v, method=method, sizes=Sizes(3, 2), **ours)
    wanted, _ = loops(q.numpy(), k.numpy(), v.numpy(), **oracle)
    torch.testing.assert_close(out, torch.from_numpy(wanted), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", DENSE)
def test_equals_torchs_flex_attention(name):
    from torch.nn.attention.flex_attention import _create_empty_block_mask, create_block_mask, flex_attention

    q, k, v = (x.float() for x in drawn(*[(2, 4, 7, 4)] * 3))
    options = DENSE[name][0]
    score_mod = alibi(SLOPES.float()) if name == "alibi" else options.get("score_mod")
    block_mask = _create_empty_block_mask(q, k)
    if "mask_mod" in options:
        block_mask = create_block_mask(options["mask_mod"], 2, 4, 7, 7, device="cpu")
    theirs = flex_attention(q, k, v, score_mod=score_mod, block_mask=block_mask)
    torch.testing.assert_close(attention(q, k, v, method="flash2", **options), theirs)


def test_slopes_of_the_paper():
    assert alibi_slopes(8).tolist() == [2.0**-n for n in range(1, 9)]
    assert alibi_slopes(16)[0] == pytest.approx(2**-0.5)
    with pytest.raises(ValueError, match="power of two of heads, got 12"):
        alibi_slopes(12)


def test_a_cap_must_be_positive_and_caps():
    with pytest.raises(ValueError, match="cap must be positive"):
        soft_cap(0)
    assert soft_cap(5.0)(torch.tensor([1e9, -1e9, 0.0]), 0, 0, 0, 0).tolist() == [5.0, -5.0, 0.0]


def test_inlined_calls_its_function():
    mod = Inlined(lambda s, b, h, i, j: s + h, kernel=None)
    assert mod(1.0, 0, 2, 0, 0) == 3.0
