"""The public functions: arguments are checked, a method is chosen, and attention is computed."""

import functools
import importlib.util
import math
from typing import Literal, get_args

import torch
from torch import Tensor

from assay.attention import operator, sdpa
from assay.attention.compute import Plan
from assay.attention.naive import naive_attention
from assay.attention.operands import Sizes
from assay.attention.pattern import MaskMod, Pattern, ScoreMod

Method = Literal["naive", "online", "flash1", "flash2", "flash3", "sdpa", "triton"]
Layout = Literal["bhsd", "bshd"]
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    scale: float | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    mask_mod: MaskMod | None = None,
    score_mod: ScoreMod | None = None,
    layout: Layout = "bhsd",
    deterministic: bool = True,
    method: Method | None = None,
    sizes: Sizes | None = None,
) -> Tensor:
    """softmax(scale q k' + bias) v, row by row: out [batch, heads, Nq, Dv] in the dtype of q.

    A query that may attend to no key gives zeros, and zero gradients.

    Args:
        q: [batch, heads, Nq, D], float16, bfloat16, float32 or float64.
        k, v: [batch, kv_heads, Nk, D] and [batch, kv_heads, Nk, Dv]; heads is a multiple of kv_heads, and
            query head h reads head h // (heads / kv_heads).
        causal: query i sees key j <= i + Nk - Nq: the last query is aligned with the last key.
        window: (left, right), how many keys beside its own a query sees; -1 for all, both ends included.
        scale: of the products; None for 1 / sqrt(D).
        mask: bool, broadcastable to [batch, heads, Nq, Nk]; True where the query may attend.
        bias: added to the scaled scores, broadcastable likewise; it gets a gradient.
        mask_mod: (b, h, i, j) -> bool, True where the query may attend; a function of index tensors that
            broadcast against each other, as for `torch.nn.attention.flex_attention`.
        score_mod: (score, b, h, i, j) -> score, before bias and masks; tensors it reads get no gradient.
        layout: "bhsd" as above, or "bshd" for [batch, N, heads, D] of q, k, v and out.
        deterministic: whether a GPU's gradients must be the same bits every time.
        method: None for the one that is fastest for such operands on such a device; see `choose`.
        sizes: of a tile on a CPU; None for sizes that suit most.

    Raises:
        ValueError: shapes, dtypes or arguments that do not go together; the message names them.
    """
    if layout not in get_args(Layout):
        raise ValueError(f"layout must be 'bhsd' or 'bshd', got {layout!r}")
    if layout == "bshd":
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    check_operands(q, k, v)
    pattern = patterned(q, k, causal, window, scale, mask, bias, mask_mod, score_mod)
    chosen = method or choose(q, k, v, pattern)
    if chosen == "sdpa":
        out = sdpa.sdpa_attention(q, k, v, pattern)
    else:
        out = attend(q, k, v, pattern, chosen, deterministic, sizes)[0]
    return out.transpose(1, 2) if layout == "bshd" else out


def attention_and_lse(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    scale: float | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    mask_mod: MaskMod | None = None,
    score_mod: ScoreMod | None = None,
    deterministic: bool = True,
    method: Method | None = None,
    sizes: Sizes | None = None,
) -> tuple[Tensor, Tensor]:
    """What `attention` returns, and lse [batch, heads, Nq]: the natural logarithm of the sum of exp(score).

    Two such results over different keys are put together by `assay.attention.online.merge`. lse is float32,
    or float64 for float64 operands, minus infinity for a query that may attend to nothing, and it has a
    gradient.

    Args:
        q, k, v: and everything else as for `attention`; torch's own method gives no lse.

    Raises:
        ValueError: as for `attention`.
    """
    check_operands(q, k, v)
    pattern = patterned(q, k, causal, window, scale, mask, bias, mask_mod, score_mod)
    return attend(q, k, v, pattern, method or own_method(q, pattern), deterministic, sizes)


def packed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    starts_q: Tensor,
    starts_k: Tensor | None = None,
    *,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    scale: float | None = None,
    mask_mod: MaskMod | None = None,
    score_mod: ScoreMod | None = None,
    deterministic: bool = True,
    method: Method | None = None,
) -> Tensor:
    """Attention within each of several sequences packed one behind the other: out [all queries, heads, Dv].

    Args:
        q, k, v: [all queries, heads, D], [all keys, kv_heads, D] and [all keys, kv_heads, Dv].
        starts_q: int32 [sequences + 1], where the queries of each sequence begin and the last one ends.
        starts_k: the same for the keys; None if they are the queries'.
        causal, window, scale, mask_mod, score_mod, deterministic: as for `attention`, within a sequence; b is
            the number of the sequence, and i and j count from its start.
        method: one of assay's own; torch's has no packing.

    Raises:
        ValueError: as for `attention`, or the starts do not rise from 0 to the number of rows.
    """
    starts_k = starts_q if starts_k is None else starts_k
    if q.ndim != 3 or k.ndim != 3 or v.ndim != 3:
        shapes = [tuple(x.shape) for x in (q, k, v)]
        raise ValueError(f"expected packed q, k and v of three dimensions [rows, heads, dim], got {shapes}")
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    check_operands(q, k, v)
    _check_starts("starts_q", starts_q, q.shape[2])
    _check_starts("starts_k", starts_k, k.shape[2])
    if len(starts_q) != len(starts_k):
        raise ValueError(
            f"starts_q and starts_k must name as many sequences, got "
            f"{len(starts_q) - 1} and {len(starts_k) - 1}"
        )
    pattern = patterned(q, k, causal, window, scale, None, None, mask_mod, score_mod)
    chosen = method or own_method(q, pattern)
    if chosen in ("sdpa", "naive"):
        raise ValueError(f"method {chosen!r} cannot keep packed sequences apart")
    plan = Plan(chosen, suited(pattern), starts_q.to(torch.int32), starts_k.to(torch.int32), deterministic)
    return operator.apply(q, k, v, pattern, plan)[0][0].transpose(0, 1)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    pattern: Pattern,
    method: Method,
    deterministic: bool = True,
    sizes: Sizes | None = None,
) -> tuple[Tensor, Tensor]:
    """out and lse by one of assay's own methods, without any check."""
    if method == "naive":
        return naive_attention(q, k, v, pattern)
    if method not in get_args(Method) or method == "sdpa":
        own = ", ".join(name for name in get_args(Method) if name != "sdpa")
        raise ValueError(f"expected one of {own} as a method, got {method!r}")
    plan = Plan(method, sizes or suited(pattern), deterministic=deterministic)
    return operator.apply(q, k, v, pattern, plan)


def choose(q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> Method:
    """The fastest method by the measurements of `benchmarks/attention.py`: torch's own where it can."""
    if sdpa.refuses(pattern, q.shape[2], k.shape[2]) is None:
        return "sdpa"
    return own_method(q, pattern)


def own_method(q: Tensor, pattern: Pattern) -> Method:
    """The fastest of assay's own methods."""
    functions = pattern.mask_mod is not None or pattern.score_mod is not None
    if q.is_cuda and q.dtype != torch.float64 and not functions and has_triton():
        return "triton"
    return "flash2"


def suited(pattern: Pattern) -> Sizes:
    """The fastest tiles by the measurements of `benchmarks/attention.py`: a window cuts small ones closer."""
    return Sizes() if pattern.window == (-1, -1) else Sizes(rows=128, columns=256)


@functools.cache
def has_triton() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("triton") is not None


def patterned(
    q: Tensor,
    k: Tensor,
    causal: bool,
    window: tuple[int, int],
    scale: float | None,
    mask: Tensor | None,
    bias: Tensor | None,
    mask_mod: MaskMod | None,
    score_mod: ScoreMod | None,
) -> Pattern:
    """The pattern of these arguments.

    Raises:
        ValueError: a window below -1, or a mask or bias of the wrong shape or dtype.
    """
    left, right = window
    if left < -1 or right < -1:
        raise ValueError(f"window must be two numbers from -1 (open) up, got {window}")
    right = 0 if causal else right
    whole = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    for name, given in (("mask", mask), ("bias", bias)):
        if given is None:
            continue
        if given.ndim > 4 or any(
            n not in (1, m) for n, m in zip(given.shape[::-1], whole[::-1], strict=False)
        ):
            raise ValueError(f"{name} of shape {tuple(given.shape)} does not broadcast to {whole}")
        if (given.dtype == torch.bool) != (name == "mask"):
            wanted = "bool" if name == "mask" else "floating point"
            raise ValueError(f"{name} must be {wanted}, got {given.dtype}")
    mask, bias = (x if x is None else x[(None,) * (4 - x.ndim)] for x in (mask, bias))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    return Pattern(
        scale=scale, window=(left, right), mask=mask, bias=bias, mask_mod=mask_mod, score_mod=score_mod
    )


def check_operands(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Nothing if q, k and v go together.

    Raises:
        ValueError: they do not; the message says which number is wrong.
    """
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if q.ndim != 4 or k.ndim != 4 or v.ndim != 4:
        raise ValueError(f"expected [batch, heads, length, dim], got {shapes}")
    if q.dtype not in _DTYPES or k.dtype != q.dtype or v.dtype != q.dtype:
        raise ValueError(f"expected one floating dtype, got {q.dtype}, {k.dtype} and {v.dtype}")
    if not (q.device == k.device == v.device):
        raise ValueError(f"expected one device, got {q.device}, {k.device} and {v.device}")
    if k.shape[:3] != v.shape[:3] or q.shape[0] != k.shape[0] or q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"expected equal batches, equal lengths of k and v and equal D of q and k, got {shapes}"
        )
    if q.shape[1] % max(k.shape[1], 1):
        raise ValueError(f"heads of q must be a multiple of those of k, got {shapes}")


def _check_starts(name: str, starts: Tensor, rows: int) -> None:
    values = starts.tolist()
    if len(values) < 2 or values[0] != 0 or values[-1] != rows or values != sorted(values):
        raise ValueError(f"{name} must rise from 0 to the {rows} rows, got {values}")
