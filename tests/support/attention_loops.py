"""Attention by plain loops in float64, written from the definition: the oracle of the attention tests."""

import math

import numpy as np


def sees(i, j, nq, nk, *, causal=False, window=(-1, -1), mask=None, mask_mod=None, b=0, h=0):
    """Whether query i may attend to key j."""
    left, right = window
    apart = j - (i + nk - nq)
    if causal and apart > 0:
        return False
    if (left >= 0 and apart < -left) or (right >= 0 and apart > right):
        return False
    if mask is not None and not mask[b, h, i, j]:
        return False
    return mask_mod is None or bool(mask_mod(b, h, i, j))


def loops(q, k, v, *, scale=None, bias=None, mask=None, score_mod=None, dout=None, dlse=None, **pattern):
    """out, lse and, if dout is given, dq, dk, dv and dbias; all arrays [B, H, N, D], float64."""
    (batch, heads, nq, dim), (kv_heads, nk) = q.shape, k.shape[1:3]
    scale = 1 / math.sqrt(dim) if scale is None else scale
    group = heads // kv_heads
    out, lse = np.zeros((batch, heads, nq, v.shape[-1])), np.full((batch, heads, nq), -np.inf)
    dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    dbias = np.zeros((batch, heads, nq, nk))
    wide = None if mask is None else np.broadcast_to(mask, dbias.shape)
    added = None if bias is None else np.broadcast_to(bias, dbias.shape)
    for b, h, i in np.ndindex(batch, heads, nq):
        at = h // group
        keys = [j for j in range(nk) if sees(i, j, nq, nk, mask=wide, b=b, h=h, **pattern)]
        if not keys:
            continue
        scores = []
        for j in keys:
            score = scale * sum(q[b, h, i, d] * k[b, at, j, d] for d in range(dim))
            score = score_mod(score, b, h, i, j) if score_mod else score
            scores.append(score + (0.0 if added is None else added[b, h, i, j]))
        top = max(scores)
        total = sum(math.exp(score - top) for score in scores)
        lse[b, h, i] = top + math.log(total)
        weights = [math.exp(score - lse[b, h, i]) for score in scores]
        for weight, j in zip(weights, keys, strict=True):
            out[b, h, i] += weight * v[b, at, j]
        if dout is None:
            continue
        delta = float(out[b, h, i] @ dout[b, h, i]) - (0.0 if dlse is None else dlse[b, h, i])
        for weight, j in zip(weights, keys, strict=True):
            ds = weight * (float(dout[b, h, i] @ v[b, at, j]) - delta)
            dbias[b, h, i, j] += ds
            dv[b, at, j] += weight * dout[b, h, i]
            dq[b, h, i] += scale * ds * k[b, at, j]
            dk[b, at, j] += scale * ds * q[b, h, i]
    return (out, lse) if dout is None else (out, lse, dq, dk, dv, dbias)


def summed(whole, shape):
    """An array summed over the dimensions along which `shape` was repeated."""
    shape = (1,) * (whole.ndim - len(shape)) + tuple(shape)
    for axis, size in enumerate(shape):
        if size == 1:
            whole = whole.sum(axis, keepdims=True)
    return whole
