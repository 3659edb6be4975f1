import pytest
import torch

from assay.attention.entry import attention
from assay.attention.pattern import Pattern
from assay.attention.sdpa import refuses, sdpa_attention


def drawn(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


MASK, BIAS = torch.ones(1, 1, 5, 5, dtype=torch.bool), torch.zeros(1, 1, 5, 5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask_mod": lambda b, h, i, j: i == j}, "functions of indices"),
        ({"score_mod": lambda s, b, h, i, j: s}, "functions of indices"),
        ({"mask": MASK, "bias": BIAS}, "a mask and a bias at once"),
        ({"window": (3, 0)}, "a window on the left"),
        ({"window": (-1, 2)}, "causal attention with other"),
        ({"window": (-1, 0), "mask": MASK}, "causal attention with a mask or a bias"),
        ({"window": (-1, 0), "bias": BIAS}, "causal attention with a mask or a bias"),
    ],
)
def test_what_it_does_not_do_is_refused(options, words):
    q, k, v = drawn(*[(1, 1, 5, 4)] * 3)
    pattern = Pattern(scale=0.5, **options)
    assert words in str(refuses(pattern, 5, 5))
    with pytest.raises(ValueError, match=words):
        sdpa_attention(q, k, v, pattern)


def test_causal_is_refused_where_top_left_and_bottom_right_differ():
    pattern = Pattern(scale=0.5, window=(-1, 0))
    assert refuses(pattern, 5, 5) is None
    assert refuses(pattern, 4, 5) is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["plain", "causal", "mask", "bias", "scale"])
def test_equals_naive_also_for_rows_that_see_nothing(dtype, name):
    q, k, v, g = (x.requires_grad_() for x in drawn(*[(2, 4, 5, 8)] * 4, dtype=dtype))
    mask = drawn((2, 1, 5, 5), seed=1)[0] > 1.2
    assert not mask.any(-1).all()
    (bias,) = drawn((1, 4, 5, 5), seed=2)
    options = {
        "plain": {},
        "causal": {"causal": True},
        "mask": {"mask": mask},
        "bias": {"bias": bias},  # float64, whatever the operands are.
        "scale": {"scale": 0.11},
    }[name]
    results = []
    for method in ("naive", "sdpa"):
        out = attention(q, k, v, method=method, **options)
        results.append((out, *torch.autograd.grad(out, (q, k, v), g)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=1e-5)
