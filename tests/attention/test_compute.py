import pytest
import torch

from assay.attention import compute
from assay.attention.compute import Plan
from assay.attention.entry import attention, packed_attention
from assay.attention.operands import Sizes
from assay.attention.pattern import Pattern

STARTS_Q, STARTS_K = [0, 3, 3, 8, 10], [0, 4, 6, 11, 12]


def drawn(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("method", ["online", "flash1", "flash2", "flash3"])
@pytest.mark.parametrize("causal", [False, True])
class TestPacked:
    def test_equals_a_loop_over_the_sequences_value_and_gradient(self, method, causal):
        q, k, v, g = (x.requires_grad_() for x in drawn((10, 4, 3), (12, 2, 3), (12, 2, 2), (10, 4, 2)))
        starts = torch.tensor(STARTS_Q, dtype=torch.int32), torch.tensor(STARTS_K, dtype=torch.int32)
        packed = packed_attention(q, k, v, *starts, causal=causal, method=method)
        alone = torch.cat(
            [
                attention(
                    q[None, a:b], k[None, c:d], v[None, c:d], causal=causal, layout="bshd", method="naive"
                )[0]
                for a, b, c, d in zip(STARTS_Q[:-1], STARTS_Q[1:], STARTS_K[:-1], STARTS_K[1:], strict=True)
            ]
        )
        torch.testing.assert_close(packed, alone, atol=1e-12, rtol=0)
        ours, theirs = (torch.autograd.grad(x, (q, k, v), g) for x in (packed, alone))
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)

    def test_functions_count_from_each_sequences_start(self, method, causal):
        seen = []

        def mask_mod(b, h, i, j):
            seen.append((int(b.max()), int(i.max()), int(j.max())))
            return i >= 0

        q, k, v = drawn((7, 1, 2), (7, 1, 2), (7, 1, 2))
        packed_attention(q, k, v, torch.tensor([0, 3, 7]), causal=causal, mask_mod=mask_mod, method=method)
        assert {b for b, _, _ in seen} == {0, 1}
        assert max(seen, key=lambda s: s[0])[1:] == (3, 3)


def test_one_sequence_never_sees_another():
    q, k, v = drawn((6, 1, 2), (6, 1, 2), (6, 1, 2))
    starts = torch.tensor([0, 2, 6])
    before = packed_attention(q, k, v, starts)
    k[2:] = 1e3
    v[2:] = -7.0
    assert torch.equal(packed_attention(q, k, v, starts)[:2], before[:2])


class TestParts:
    def test_of_what_is_packed_and_of_what_is_not(self):
        q, k = torch.zeros(2, 1, 5, 3), torch.zeros(2, 1, 7, 3)
        assert list(Plan("flash2").parts(q, k)) == [(0, slice(5), slice(7))]
        starts = torch.tensor([0, 2, 5]), torch.tensor([0, 7, 7])
        parts = list(Plan("flash2", Sizes(), *starts).parts(q, k))
        assert parts == [(0, slice(0, 2), slice(0, 7)), (1, slice(2, 5), slice(7, 7))]


class TestMemory:
    @pytest.mark.parametrize("schedule", ["flash1", "flash2", "flash3", "online"])
    def test_nothing_as_large_as_all_scores_is_made(self, schedule):
        from torch.utils._python_dispatch import TorchDispatchMode

        class Largest(TorchDispatchMode):
            elements = 0

            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                out = func(*args, **(kwargs or {}))
                for x in out if isinstance(out, tuple) else (out,):
                    if isinstance(x, torch.Tensor):
                        self.elements = max(self.elements, x.untyped_storage().nbytes() // 4)
                return out

        found = []
        for n in (64, 128, 256):
            q, k, v = drawn(*[(1, 1, n, 8)] * 3, dtype=torch.float32)
            pattern, plan = Pattern(scale=0.3), Plan(schedule, Sizes(32, 32))
            with Largest() as largest:
                out, lse = compute.forward(q, k, v, pattern, plan)
                compute.backward(out, lse, q, k, v, out, lse, pattern, plan, bias=False)
            found.append(largest.elements)
        assert found[-1] <= 4 * found[0]  # Linear, or less; all scores would be sixteen times as many.
        assert found[-1] <= 256 * 32
