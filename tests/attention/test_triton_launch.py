import pytest
import torch

from assay.attention.compute import Plan
from assay.attention.operands import LOG2E, Sizes
from assay.attention.pattern import Pattern

pytest.importorskip("triton", reason="triton is not installed: pip install 'assay[triton]'")
from assay.attention import triton_launch

PATTERN, PLAN = Pattern(scale=0.5), Plan("triton")


def operands(dim=4, dtype=torch.float32):
    return [torch.zeros(1, 2, 5, dim, dtype=dtype) for _ in range(3)]


class TestRefused:
    def test_float64_and_large_heads(self):
        with pytest.raises(ValueError, match=r"float16, bfloat16 and float32, got torch\.float64"):
            triton_launch.forward(*operands(dtype=torch.float64), PATTERN, PLAN)
        with pytest.raises(ValueError, match="D up to 256, got 257 and 257"):
            triton_launch.forward(*operands(dim=257), PATTERN, PLAN)

    def test_a_cpu_without_the_interpreter(self, monkeypatch):
        monkeypatch.setattr(triton_launch, "INTERPRETED", False)
        with pytest.raises(ValueError, match="need a GPU, or TRITON_INTERPRET=1"):
            triton_launch.forward(*operands(), PATTERN, PLAN)

    def test_functions_that_cannot_be_inlined(self, monkeypatch):
        monkeypatch.setattr(triton_launch, "INTERPRETED", True)
        for name, function in (("mask_mod", lambda b, h, i, j: i == j), ("score_mod", lambda s, *at: s)):
            pattern = Pattern(scale=0.5, **{name: function})
            with pytest.raises(ValueError, match=f"{name} must be an `Inlined` function"):
                triton_launch.forward(*operands(), pattern, PLAN)


class TestArguments:
    def test_unit_is_in_ln_2_unless_something_is_added(self):
        q, k, _ = operands()
        assert triton_launch._numbers(q, k, PATTERN)[-1] == pytest.approx(0.5 * LOG2E)
        biased = Pattern(scale=0.5, window=(3, 0), bias=torch.zeros(1, 1, 1, 5))
        assert triton_launch._numbers(q, k, biased) == (2, 1, 5, 5, 3, 0, 0.5)

    def test_a_bias_keeps_its_memory_and_repeats_by_strides_of_zero(self):
        q, k, _ = operands()
        bias = torch.zeros(1, 2, 1, 5)
        given, strides, mask, none, *starts = triton_launch._pattern(
            q, k, Pattern(scale=1.0, bias=bias), PLAN
        )
        assert given is bias
        assert strides[2:] == (0, 1)
        assert (mask, none, starts) == (None, (0, 0, 0, 0), [None, None])

    def test_the_longest_sequence_makes_the_grid(self):
        q, k, _ = operands()
        assert triton_launch._counts(q, k, PLAN) == (1, 5, 5)
        starts = torch.tensor([0, 1, 5]), torch.tensor([0, 3, 5])
        assert triton_launch._counts(q, k, Plan("triton", Sizes(), *starts)) == (2, 4, 3)

    def test_dimensions_are_padded_to_powers_of_two(self):
        assert triton_launch._dims(torch.zeros(1, 80), torch.zeros(1, 3)) == (80, 3, 128, 16)

    def test_only_a_last_dimension_in_pieces_is_copied(self):
        x = torch.zeros(1, 5, 2, 4).transpose(1, 2)
        assert triton_launch._dense(x) is x
        assert triton_launch._dense(x[..., ::2]).is_contiguous()


@pytest.mark.parametrize("dim", [16, 64, 80, 128, 256])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_default_blocks_fit_into_the_memory_of_a_multiprocessor(dim, dtype):
    chosen = triton_launch.config(dim, dtype)
    size = torch.empty(0, dtype=dtype).element_size()
    padded = 1 << (dim - 1).bit_length()
    queries = chosen.rows * padded * size
    streamed = 2 * chosen.stages * chosen.columns * padded * size
    assert queries + streamed <= 163_840  # bytes that an A100 gives one block
    for number in (chosen.rows, chosen.columns):
        assert number >= 16
        assert number & (number - 1) == 0
