import re
import sys

import pytest
import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

import assay.attention
from assay.attention import attention, packed_attention
from assay.attention.entry import attention_and_lse, choose, own_method, patterned
from assay.attention.operands import Sizes


def drawn(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def wrong(message, call=attention):
    """Checks that operands 2 x 4 x 5 x 3, changed by the keywords, are refused with the message."""

    def check(q=None, k=None, v=None, **options):
        given = drawn((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 3))
        operands = [old if new is None else new for old, new in zip(given, (q, k, v), strict=True)]
        with pytest.raises(ValueError, match=re.escape(message)):
            call(*operands, **options)

    return check


class TestErrors:
    def test_shapes_that_do_not_go_together(self):
        wrong("expected [batch, heads, length, dim], got q (2, 4, 5)")(q=torch.zeros(2, 4, 5))
        wrong("k (1, 2, 7, 3)")(k=torch.zeros(1, 2, 7, 3, dtype=torch.float64))
        wrong("equal D of q and k")(k=torch.zeros(2, 2, 7, 4, dtype=torch.float64))
        wrong("equal lengths of k and v")(v=torch.zeros(2, 2, 6, 3, dtype=torch.float64))
        three = torch.zeros(2, 3, 7, 3, dtype=torch.float64)
        wrong("must be a multiple of those of k")(k=three, v=three)

    def test_dtypes_and_devices(self):
        wrong("one floating dtype, got torch.float32")(q=torch.zeros(2, 4, 5, 3))
        whole = torch.zeros(2, 2, 7, 3, dtype=torch.int64)
        wrong("one floating dtype")(q=torch.zeros(2, 4, 5, 3, dtype=torch.int64), k=whole, v=whole)
        wrong("one device")(q=torch.zeros(2, 4, 5, 3, dtype=torch.float64, device="meta"))

    def test_options(self):
        wrong("layout must be 'bhsd' or 'bshd', got 'sbhd'")(layout="sbhd")
        wrong("window must be two numbers from -1 (open) up, got (-2, 0)")(window=(-2, 0))
        wrong("expected one of naive, online")(method="flash9")
        wrong("mask must be bool, got torch.float32")(mask=torch.zeros(5, 7))
        wrong("bias must be floating point, got torch.bool")(bias=torch.zeros(5, 7, dtype=torch.bool))
        wrong("bias of shape (4, 7) does not broadcast to (2, 4, 5, 7)")(bias=torch.zeros(4, 7))
        wrong("mask of shape (1, 1, 1, 5, 7)")(mask=torch.ones(1, 1, 1, 5, 7, dtype=torch.bool))
        wrong("does not do functions")(mask_mod=lambda b, h, i, j: i == j, method="sdpa")
        wrong("expected one of naive", attention_and_lse)(method="sdpa")

    def test_packed(self):
        q, k, v = drawn((5, 4, 3), (7, 2, 3), (7, 2, 3))
        good = torch.tensor([0, 2, 5]), torch.tensor([0, 2, 7])
        for starts, words in (
            ((torch.tensor([0, 2, 4]), good[1]), "starts_q must rise from 0 to the 5 rows, got [0, 2, 4]"),
            ((good[0], torch.tensor([0, 9, 7])), "starts_k must rise from 0 to the 7 rows"),
            ((good[0], torch.tensor([0, 7])), "as many sequences, got 2 and 1"),
            ((torch.tensor([5]), good[1]), "starts_q must rise"),
        ):
            with pytest.raises(ValueError, match=re.escape(words)):
                packed_attention(q, k, v, *starts)
        with pytest.raises(ValueError, match="three dimensions"):
            packed_attention(q[None], k[None], v[None], *good)
        for method in ("naive", "sdpa"):
            with pytest.raises(ValueError, match="cannot keep packed sequences apart"):
                packed_attention(q, k, v, *good, method=method)


class TestLayout:
    def test_both_layouts_give_the_same_numbers(self):
        q, k, v = drawn((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 3))  # Lengths that no number of heads equals.
        turned = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
        for method in ("naive", "flash2", "sdpa"):
            out = attention(*turned, layout="bshd", method=method)
            torch.testing.assert_close(out.transpose(1, 2), attention(q, k, v, method=method))

    def test_operands_that_are_not_contiguous(self):
        q, k, v = (x.transpose(1, 2) for x in drawn((2, 5, 4, 6), (2, 7, 4, 6), (2, 7, 4, 6)))
        wanted = attention(q, k, v, method="naive")
        for x in (q[..., ::2], k[..., ::2]):
            assert not x.is_contiguous()
        torch.testing.assert_close(attention(q, k, v, method="flash2"), wanted)
        halves = q[..., ::2], k[..., ::2], v[..., ::2]
        wanted = attention(*halves, method="naive")
        torch.testing.assert_close(attention(*halves, method="flash2"), wanted)


class TestParity:
    def test_torchs_bottom_right_causal_bias(self):
        q, k, v = drawn((1, 2, 3, 4), (1, 2, 8, 4), (1, 2, 8, 4))
        theirs = scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(3, 8))
        torch.testing.assert_close(attention(q, k, v, causal=True), theirs)

    @pytest.mark.parametrize("method", [None, "naive", "online", "flash1", "flash2", "flash3", "sdpa"])
    def test_every_method_equals_torchs_value_and_gradient(self, method):
        q, k, v, g = (
            x.requires_grad_() for x in drawn((2, 4, 6, 8), (2, 2, 6, 8), (2, 2, 6, 8), (2, 4, 6, 8))
        )
        theirs = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        ours = attention(q, k, v, causal=True, method=method)
        torch.testing.assert_close(ours, theirs)
        found, wanted = (torch.autograd.grad(x, (q, k, v), g) for x in (ours, theirs))
        torch.testing.assert_close(found, wanted)

    def test_window_and_causal_together_are_the_narrower_of_the_two(self):
        q, k, v = drawn(*[(1, 1, 9, 4)] * 3)
        both = attention(q, k, v, causal=True, window=(2, 5))
        assert torch.equal(both, attention(q, k, v, window=(2, 0)))


class TestChoice:
    def test_torchs_own_where_it_can_and_flash2_elsewhere(self):
        q, k, v = drawn((1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8), dtype=torch.float32)
        longer = drawn((1, 2, 6, 8), dtype=torch.float32)[0]

        def chosen(keys=k, **options):
            given = {"causal": False, "window": (-1, -1), "scale": None, "mask": None, "bias": None}
            given |= {"mask_mod": None, "score_mod": None} | options
            return choose(q, keys, v, patterned(q, keys, **given))

        assert chosen() == chosen(causal=True) == chosen(bias=torch.zeros(4, 4)) == "sdpa"
        assert chosen(mask=torch.ones(4, 4, dtype=torch.bool)) == "sdpa"
        assert chosen(window=(2, 0)) == chosen(longer, causal=True) == "flash2"
        assert chosen(causal=True, bias=torch.zeros(4, 4)) == "flash2"
        assert chosen(mask=torch.ones(4, 4, dtype=torch.bool), bias=torch.zeros(4, 4)) == "flash2"
        assert chosen(score_mod=lambda s, b, h, i, j: s) == "flash2"
        assert own_method(q, patterned(q, k, False, (-1, -1), None, None, None, None, None)) == "flash2"

    def test_sizes_that_are_asked_for_are_used(self, monkeypatch):
        seen = []
        monkeypatch.setattr(
            "assay.attention.entry.operator.apply",
            lambda q, k, v, pattern, plan: (seen.append(plan.sizes) or q, q),
        )
        q, k, v = drawn(*[(1, 1, 4, 2)] * 3)
        for options in ({}, {"causal": True}, {"causal": True, "sizes": Sizes(3, 5)}, {"sizes": Sizes(3, 5)}):
            attention(q, k, v, method="flash2", **options)
        assert seen == [Sizes(), Sizes(rows=128, columns=256), Sizes(3, 5), Sizes(3, 5)]


def test_the_package_has_its_functions_and_no_others():
    assert assay.attention.attention is attention
    with pytest.raises(AttributeError, match=r"assay.attention.* atention"):
        assay.attention.atention  # noqa: B018


def test_listing_the_task_imports_no_torch():
    import subprocess

    code = "import sys, assay.attention.task, assay.attention.claims; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
