# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
"""FlashAttention 2 as Triton kernels: forward, and backward for keys and values and for queries.

One program keeps a block of queries (or, backward, of keys) on chip while the others stream past. Blocks that
the window hides whole are never visited, those it cuts through are masked, and the rest run without a mask.

Reference:
    Dao. "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning".
    ICLR 2024. arXiv:2307.08691v1
    Implements: Algorithm 1 (forward) and Algorithm 2 (backward), Section 3.2 (parallel over the sequence).
    Departs: the backward pass is two kernels with seven products in all, whose sums come in a fixed order;
        one kernel with five and atomic additions on request.
    Omits: dropout. That copies and products overlap, as in FlashAttention 3, is the compiler's business.
    Verified: in Triton's interpreter against the naive method; the compiled kernels have not been run.

Arguments: `*_at` are strides (batch, head, row, and for bias and mask column); `unit` is the scale, times
log2(e) where nothing is added to the scores later; `bias`, `mask`, `starts_*` may be None. UPCAST multiplies
in float32 what is bfloat16, for the interpreter cannot multiply that.
"""

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _limits(b, starts_q, starts_k, nq, nk, left, right):
    """First row and number of queries and of keys of a sequence, and its band of j - i."""
    first_q, first_k = b * 0, b * 0
    if starts_q is not None:
        first_q, first_k = tl.load(starts_q + b), tl.load(starts_k + b)
        nq, nk = tl.load(starts_q + b + 1) - first_q, tl.load(starts_k + b + 1) - first_k
    low = tl.where(left >= 0, nk - nq - left, -nq)
    high = tl.where(right >= 0, nk - nq + right, nk)
    return first_q, first_k, nq, nk, low, high


@triton.jit
def _segments(start, stop, full_start, full_stop, SIZE: tl.constexpr):
    """Multiples of SIZE: begin, begin of the blocks that are seen whole, their end, end."""
    start = tl.maximum(start, 0) // SIZE * SIZE
    end = tl.maximum(tl.cdiv(stop, SIZE) * SIZE, start)
    full_start = tl.minimum(tl.maximum(tl.cdiv(tl.maximum(full_start, 0), SIZE) * SIZE, start), end)
    full_stop = tl.maximum(tl.maximum(full_stop, 0) // SIZE * SIZE, full_start)
    return start, full_start, full_stop, end


@triton.jit
def _key_bounds(first, nq, nk, low, high, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """`_segments` of the keys that a block of queries sees."""
    last = tl.minimum(first + ROWS, nq) - 1
    stop, whole = tl.minimum(nk, last + high + 1), tl.minimum(nk, first + high + 1)
    return _segments(first + low, stop, last + low, whole, COLUMNS)


@triton.jit
def _of_head(pointer, at, batch, head):
    """Where a head's part of a bias or mask begins; None if there is none."""
    if pointer is None:
        return None
    else:  # The compiler follows one branch only if each has its return.
        return pointer + batch.to(tl.int64) * at[0] + head.to(tl.int64) * at[1]


@triton.jit
def _base(pointer, at, batch, head, row):
    """Where a row of a head begins; 64 bits, for the products may exceed 31."""
    return pointer + batch.to(tl.int64) * at[0] + head.to(tl.int64) * at[1] + row.to(tl.int64) * at[2]


@triton.jit
def _block(base, rows, count, at, DIM: tl.constexpr, PADDED: tl.constexpr, CHECK: tl.constexpr):
    """Rows of a head, with zeros beyond the last one and in padded columns."""
    columns = tl.arange(0, PADDED)
    where = base + rows[:, None].to(tl.int64) * at[2] + columns[None, :]
    if CHECK or DIM != PADDED:
        return tl.load(where, mask=(rows < count)[:, None] & (columns < DIM)[None, :], other=0.0)
    return tl.load(where)


@triton.jit
def _put(base, rows, count, at, block, DIM: tl.constexpr, PADDED: tl.constexpr):
    """Stores rows of a head."""
    columns = tl.arange(0, PADDED)
    where = base + rows[:, None].to(tl.int64) * at[2] + columns[None, :]
    inside = (rows < count)[:, None] & (columns < DIM)[None, :]
    tl.store(where, block.to(base.dtype.element_ty), mask=inside)


@triton.jit
def _dot(a, b, UPCAST: tl.constexpr):
    """The product of two matrices, exact in float32 but for the order of summation."""
    if UPCAST:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def _scores(
    q, k, unit, rows, columns, b, h, nq, nk, low, high, bias, bias_at, mask, mask_at,
    SCORE_MOD: tl.constexpr, MASK_MOD: tl.constexpr, CUT: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """Scores of a tile in units of ln 2, minus infinity where hidden; and as they were before SCORE_MOD."""
    raw = _dot(q, tl.trans(k), UPCAST) * unit
    i, j = rows[:, None], columns[None, :]
    inside = (i < nq) & (j < nk)
    s = raw
    if SCORE_MOD is not None:
        s = SCORE_MOD(s, b, h, i, j)
    if bias is not None:
        where = bias + i.to(tl.int64) * bias_at[2] + j * bias_at[3]
        s += tl.load(where, mask=inside, other=0.0).to(tl.float32)
    if bias is not None or SCORE_MOD is not None:
        s *= LOG2E
    if CUT:
        s = tl.where(inside & (j - i >= low) & (j - i <= high), s, float("-inf"))
    if mask is not None:
        seen = tl.load(mask + i.to(tl.int64) * mask_at[2] + j * mask_at[3], mask=inside, other=0)
        s = tl.where(seen != 0, s, float("-inf"))
    if MASK_MOD is not None:
        s = tl.where(MASK_MOD(b, h, i, j), s, float("-inf"))
    return s, raw


@triton.jit
def forward_kernel(
    q, q_at, k, k_at, v, v_at, out, out_at, lse, lse_at, bias, bias_at, mask, mask_at, starts_q, starts_k,
    heads, group, nq, nk, left, right, unit,
    D: tl.constexpr, DV: tl.constexpr, PADDED_D: tl.constexpr, PADDED_DV: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    SCORE_MOD: tl.constexpr, MASK_MOD: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """out and lse of one block of queries of one head."""
    b, h = tl.program_id(1) // heads, tl.program_id(1) % heads
    first_q, first_k, nq, nk, low, high = _limits(b, starts_q, starts_k, nq, nk, left, right)
    first = tl.program_id(0) * ROWS
    if first >= nq:
        return
    batch = b if starts_q is None else b * 0
    rows = first + tl.arange(0, ROWS)
    k, v = _base(k, k_at, batch, h // group, first_k), _base(v, v_at, batch, h // group, first_k)
    bias, mask = _of_head(bias, bias_at, batch, h), _of_head(mask, mask_at, batch, h)
    queries = _block(_base(q, q_at, batch, h, first_q), rows, nq, q_at, D, PADDED_D, True)
    m = tl.full([ROWS], float("-inf"), tl.float32)
    l = tl.zeros([ROWS], tl.float32)  # noqa: E741, the paper's letter
    o = tl.zeros([ROWS, PADDED_DV], tl.float32)
    bounds = _key_bounds(first, nq, nk, low, high, ROWS, COLUMNS)
    for phase in tl.static_range(3):
        for start in range(bounds[phase], bounds[phase + 1], COLUMNS):
            columns = start + tl.arange(0, COLUMNS)
            keys = _block(k, columns, nk, k_at, D, PADDED_D, phase != 1)
            s, _ = _scores(
                queries, keys, unit, rows, columns, b, h, nq, nk, low, high, bias, bias_at, mask, mask_at,
                SCORE_MOD, MASK_MOD, phase != 1, UPCAST,
            )  # fmt: skip
            peak = tl.maximum(m, tl.max(s, 1))
            shift = tl.where(peak == float("-inf"), 0.0, peak)
            p, decay = tl.exp2(s - shift[:, None]), tl.exp2(m - shift)
            values = _block(v, columns, nk, v_at, DV, PADDED_DV, phase != 1)
            m, l = peak, l * decay + tl.sum(p, 1)  # noqa: E741
            o = o * decay[:, None] + _dot(p.to(values.dtype), values, UPCAST)
    some = tl.where(l == 0.0, 1.0, l)
    _put(_base(out, out_at, batch, h, first_q), rows, nq, out_at, o / some[:, None], DV, PADDED_DV)
    lse = lse + batch.to(tl.int64) * lse_at[0] + h.to(tl.int64) * lse_at[1] + first_q
    tl.store(lse + rows, (m + tl.log2(some)) * LN2, mask=rows < nq)


@triton.jit
def delta_kernel(
    out, out_at, dout, dout_at, dlse, delta, delta_at, heads, total,
    DV: tl.constexpr, PADDED_DV: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """delta = rowsum(out * dout) - dlse for one block of queries of one head, packed or not."""
    b, h = tl.program_id(1) // heads, tl.program_id(1) % heads
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    zero = b * 0
    o = _block(_base(out, out_at, b, h, zero), rows, total, out_at, DV, PADDED_DV, True).to(tl.float32)
    g = _block(_base(dout, dout_at, b, h, zero), rows, total, dout_at, DV, PADDED_DV, True).to(tl.float32)
    here = b.to(tl.int64) * delta_at[0] + h.to(tl.int64) * delta_at[1] + rows
    found = tl.sum(o * g, 1)
    if dlse is not None:
        found -= tl.load(dlse + here, mask=rows < total, other=0.0)
    tl.store(delta + here, found, mask=rows < total)


@triton.jit
def _weights(
    q, k, v, g, shift, delta, unit, rows, columns, b, h, nq, nk, low, high, bias, bias_at, mask, mask_at,
    SCORE_MOD: tl.constexpr, SCORE_GRAD: tl.constexpr, MASK_MOD: tl.constexpr,
    CUT: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """P, dS with respect to the final and dS with respect to the scaled scores of a tile."""
    s, raw = _scores(
        q, k, unit, rows, columns, b, h, nq, nk, low, high, bias, bias_at, mask, mask_at,
        SCORE_MOD, MASK_MOD, CUT, UPCAST,
    )  # fmt: skip
    p = tl.exp2(s - shift[:, None])
    ds = p * (_dot(g, tl.trans(v), UPCAST) - delta[:, None])
    before = ds
    if SCORE_MOD is not None:
        before = ds * SCORE_GRAD(raw, b, h, rows[:, None], columns[None, :])
    return p, ds, before


@triton.jit
def _row_sums(lse, delta, rows, nq):
    """lse in units of ln 2, zero for rows that see nothing, and delta."""
    found = tl.load(lse + rows, mask=rows < nq, other=0.0)
    shift = tl.where(found == float("-inf"), 0.0, found) * LOG2E
    return shift, tl.load(delta + rows, mask=rows < nq, other=0.0)


@triton.jit
def keys_kernel(
    q, q_at, k, k_at, v, v_at, dout, dout_at, lse, delta, lse_at, dq, dq_at, dk, dk_at, dv, dv_at,
    bias, bias_at, mask, mask_at, starts_q, starts_k,
    heads, group, nq, nk, left, right, unit, scale,
    D: tl.constexpr, DV: tl.constexpr, PADDED_D: tl.constexpr, PADDED_DV: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    SCORE_MOD: tl.constexpr, SCORE_GRAD: tl.constexpr, MASK_MOD: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """dK and dV of one block of keys of one key head, summed over its query heads; dQ too if it is given."""
    kv_heads = heads // group
    b, kv_head = tl.program_id(1) // kv_heads, tl.program_id(1) % kv_heads
    first_q, first_k, nq, nk, low, high = _limits(b, starts_q, starts_k, nq, nk, left, right)
    first = tl.program_id(0) * COLUMNS
    if first >= nk:
        return
    batch = b if starts_q is None else b * 0
    columns = first + tl.arange(0, COLUMNS)
    keys = _block(_base(k, k_at, batch, kv_head, first_k), columns, nk, k_at, D, PADDED_D, True)
    values = _block(_base(v, v_at, batch, kv_head, first_k), columns, nk, v_at, DV, PADDED_DV, True)
    sum_k = tl.zeros([COLUMNS, PADDED_D], tl.float32)
    sum_v = tl.zeros([COLUMNS, PADDED_DV], tl.float32)
    last = tl.minimum(first + COLUMNS, nk) - 1
    whole = tl.where(first + COLUMNS <= nk, tl.minimum(nq, first - low + 1), 0)
    bounds = _segments(first - high, tl.minimum(nq, last - low + 1), last - high, whole, ROWS)
    for member in range(group):
        h = kv_head * group + member
        q_base, g_base = _base(q, q_at, batch, h, first_q), _base(dout, dout_at, batch, h, first_q)
        row_base = batch.to(tl.int64) * lse_at[0] + h.to(tl.int64) * lse_at[1] + first_q
        bias_base, mask_base = _of_head(bias, bias_at, batch, h), _of_head(mask, mask_at, batch, h)
        for phase in tl.static_range(3):
            for start in range(bounds[phase], bounds[phase + 1], ROWS):
                rows = start + tl.arange(0, ROWS)
                queries = _block(q_base, rows, nq, q_at, D, PADDED_D, phase != 1)
                g = _block(g_base, rows, nq, dout_at, DV, PADDED_DV, phase != 1)
                shift, sums = _row_sums(lse + row_base, delta + row_base, rows, nq)
                p, _, ds = _weights(
                    queries, keys, values, g, shift, sums, unit, rows, columns, b, h, nq, nk, low, high,
                    bias_base, bias_at, mask_base, mask_at,
                    SCORE_MOD, SCORE_GRAD, MASK_MOD, phase != 1, UPCAST,
                )  # fmt: skip
                sum_v += _dot(tl.trans(p.to(g.dtype)), g, UPCAST)
                ds = ds.to(queries.dtype)
                sum_k += _dot(tl.trans(ds), queries, UPCAST)
                if dq is not None:
                    wide = tl.arange(0, PADDED_D)
                    where = _base(dq, dq_at, batch, h, first_q) + rows[:, None].to(tl.int64) * dq_at[2] + wide
                    inside = (rows < nq)[:, None] & (wide < D)[None, :]
                    tl.atomic_add(where, _dot(ds, keys, UPCAST) * scale, mask=inside)
    _put(_base(dk, dk_at, batch, kv_head, first_k), columns, nk, dk_at, sum_k * scale, D, PADDED_D)
    _put(_base(dv, dv_at, batch, kv_head, first_k), columns, nk, dv_at, sum_v, DV, PADDED_DV)


@triton.jit
def queries_kernel(
    q, q_at, k, k_at, v, v_at, dout, dout_at, lse, delta, lse_at, dq, dq_at, dbias, dbias_at,
    bias, bias_at, mask, mask_at, starts_q, starts_k,
    heads, group, nq, nk, left, right, unit, scale,
    D: tl.constexpr, DV: tl.constexpr, PADDED_D: tl.constexpr, PADDED_DV: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    SCORE_MOD: tl.constexpr, SCORE_GRAD: tl.constexpr, MASK_MOD: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """dQ of one block of queries of one head, and its part of the bias's gradient if that is given."""
    b, h = tl.program_id(1) // heads, tl.program_id(1) % heads
    first_q, first_k, nq, nk, low, high = _limits(b, starts_q, starts_k, nq, nk, left, right)
    first = tl.program_id(0) * ROWS
    if first >= nq:
        return
    batch = b if starts_q is None else b * 0
    rows = first + tl.arange(0, ROWS)
    k, v = _base(k, k_at, batch, h // group, first_k), _base(v, v_at, batch, h // group, first_k)
    bias, mask = _of_head(bias, bias_at, batch, h), _of_head(mask, mask_at, batch, h)
    queries = _block(_base(q, q_at, batch, h, first_q), rows, nq, q_at, D, PADDED_D, True)
    g = _block(_base(dout, dout_at, batch, h, first_q), rows, nq, dout_at, DV, PADDED_DV, True)
    row_base = batch.to(tl.int64) * lse_at[0] + h.to(tl.int64) * lse_at[1] + first_q
    shift, sums = _row_sums(lse + row_base, delta + row_base, rows, nq)
    sum_q = tl.zeros([ROWS, PADDED_D], tl.float32)
    bounds = _key_bounds(first, nq, nk, low, high, ROWS, COLUMNS)
    for phase in tl.static_range(3):
        for start in range(bounds[phase], bounds[phase + 1], COLUMNS):
            columns = start + tl.arange(0, COLUMNS)
            keys = _block(k, columns, nk, k_at, D, PADDED_D, phase != 1)
            values = _block(v, columns, nk, v_at, DV, PADDED_DV, phase != 1)
            _, ds, before = _weights(
                queries, keys, values, g, shift, sums, unit, rows, columns, b, h, nq, nk, low, high,
                bias, bias_at, mask, mask_at, SCORE_MOD, SCORE_GRAD, MASK_MOD, phase != 1, UPCAST,
            )  # fmt: skip
            sum_q += _dot(before.to(keys.dtype), keys, UPCAST)
            if dbias is not None:
                i, j = rows[:, None].to(tl.int64), columns[None, :]
                where = dbias + batch.to(tl.int64) * dbias_at[0] + h.to(tl.int64) * dbias_at[1]
                tl.store(where + i * dbias_at[2] + j * dbias_at[3], ds, mask=(i < nq) & (j < nk))
    _put(_base(dq, dq_at, batch, h, first_q), rows, nq, dq_at, sum_q * scale, D, PADDED_D)
