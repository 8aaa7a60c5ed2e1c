r"""Attention: each query takes a weighted average of the values, weighted by how well
its key matches.

The weights are never held whole: queries are taken in blocks, and a causal block
reads only the keys that it may see. Query heads that share a key head (grouped
queries) are stacked as rows of one product, so that no key is ever repeated.
"""

from __future__ import annotations

import math

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..shapes import ShapeError, shapes

BLOCK = 128  # queries at a time: their scores stay in cache


@differentiable
@shapes(query="... q d", key="...kv k d", value="...kv k e")
def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    scale=None,
    enable_gqa=False,
    dropout_mask=None,
):
    r"""Attention of queries to keys, averaging values:
    $\operatorname{softmax}\!\left(QK^\top / \sqrt{d} + M\right) V$.

    query is (..., q, d), key (..., k, d), value (..., k, e), the result (..., q, e).
    attn_mask broadcasts to (..., q, k): boolean (True may be seen) or additive.
    is_causal hides key j from query i where j > i. With enable_gqa, h query heads
    (axis -3) share h' key heads, each serving h / h' neighbours. A query that may see
    nothing gets zeros. Dropout multiplies the weights with `dropout_mask`, which
    comes from `ops.dropout_mask`; dropout_p alone is refused.

    Source: [Cortes] 2.1, 2.2, 4.1. Oracle:
    torch.nn.functional.scaled_dot_product_attention.

    >>> q = k = np.array([[0.0], [0.0]])
    >>> scaled_dot_product_attention(q, k, np.array([[1.0], [3.0]]), is_causal=True)
    array([[1.],
           [2.]])
    """
    return scaled_dot_product_attention_forward(
        query,
        key,
        value,
        attn_mask,
        dropout_p,
        is_causal,
        scale,
        enable_gqa,
        dropout_mask,
    )[0]


@scaled_dot_product_attention.forward
def scaled_dot_product_attention_forward(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    scale=None,
    enable_gqa=False,
    dropout_mask=None,
):
    r"""The output, and for each query $\log\sum_j e^{s_j}$, which gives the weights
    back without keeping them."""
    if dropout_p and dropout_mask is None:
        raise ValueError("dropout needs its mask: ops.dropout_mask(rng, shape, p)")
    heads = Heads(query, key, value, enable_gqa)
    length, keys = query.shape[-2], key.shape[-2]
    out = np.empty((*heads.lead, heads.group, length, value.shape[-1]), query.dtype)
    log_sums = np.empty(out.shape[:-1], query.dtype)
    block = BLOCK if is_causal else length
    for start in range(0, length, block):
        rows = slice(start, min(start + block, length))
        seen = min(rows.stop, keys) if is_causal else keys
        scores = heads.scores(rows, seen, scale, attn_mask, is_causal)
        top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
        top[np.isneginf(top)] = 0  # a row that sees nothing keeps its zeros
        weights = np.exp(np.subtract(scores, top, out=scores), out=scores)
        sums = weights.sum(axis=-1, keepdims=True)
        if dropout_mask is not None:
            weights *= heads.split(dropout_mask)[..., rows, :seen]
        averages = heads.average(weights, seen)
        averages /= np.where(sums == 0, 1, sums)
        out[..., rows, :] = averages
        with np.errstate(divide="ignore"):
            log_sums[..., rows] = (np.log(sums) + top)[..., 0]
    return heads.merge(out), log_sums


@scaled_dot_product_attention.vjp
def scaled_dot_product_attention_vjp(
    d_out,
    out,
    query,
    key,
    value,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    scale=None,
    enable_gqa=False,
    dropout_mask=None,
    saved=None,
):
    r"""With $P$ the weights: $\bar V = P^\top \bar O$, $\bar P = \bar O V^\top$,
    $\bar S = P \odot (\bar P - \langle \bar O, O\rangle)$, then
    $\bar Q = \bar S K/\sqrt d$ and $\bar K = \bar S^\top Q/\sqrt d$.
    """
    heads = Heads(query, key, value, enable_gqa)
    length, keys = query.shape[-2], key.shape[-2]
    scores = heads.scores(slice(0, length), keys, scale, attn_mask, is_causal)
    if saved is None:
        weights = _weights_of(scores)
    else:
        saved = np.where(np.isneginf(saved), 0, saved)[..., None]
        weights = np.exp(np.subtract(scores, saved, out=scores), out=scores)
    d_out, out = heads.split(d_out), heads.split(out)
    d_weights = d_out @ heads.value.swapaxes(-1, -2)
    applied = weights
    if dropout_mask is not None:
        d_weights = d_weights * heads.split(dropout_mask)
        applied = weights * heads.split(dropout_mask)
    d_value = applied.swapaxes(-1, -2) @ d_out
    inner = (d_out * out).sum(axis=-1, keepdims=True)
    d_scores = weights * (d_weights - inner)
    factor = _scale(scale, query)
    d_query = (d_scores @ heads.key) * factor
    d_key = (d_scores.swapaxes(-1, -2) @ heads.query) * factor
    d_mask = None
    if attn_mask is not None and attn_mask.dtype != bool:
        d_mask = unbroadcast(heads.merge(d_scores), attn_mask.shape)
    return (
        unbroadcast(heads.merge(d_query), query.shape),
        unbroadcast(d_key, heads.key.shape).reshape(key.shape),
        unbroadcast(d_value, heads.value.shape).reshape(value.shape),
        d_mask,
    )


@shapes(query="... q d", key="...kv k d")
def attention_weights(
    query, key, attn_mask=None, is_causal=False, scale=None, enable_gqa=False
):
    r"""The weights themselves: $\operatorname{softmax}(QK^\top/\sqrt d + M)$.

    (..., q, k), for looking at; `scaled_dot_product_attention` never builds them.
    Source: [Cortes] 2.1. Oracle: torch.nn.functional.softmax of the scores.
    """
    heads = Heads(query, key, key, enable_gqa)
    rows = slice(0, query.shape[-2])
    scores = heads.scores(rows, key.shape[-2], scale, attn_mask, is_causal)
    return heads.merge(_weights_of(scores))


def _weights_of(scores):
    top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    top[np.isneginf(top)] = 0
    weights = np.exp(scores - top)
    sums = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(sums == 0, 1, sums)


def _scale(scale, query):
    return 1 / math.sqrt(query.shape[-1]) if scale is None else scale


class Heads:
    """Query, key and value with the query heads of one key head side by side.

    query (*lead, group, q, d) meets key and value (*lead, 1, k, d).
    """

    def __init__(self, query, key, value, enable_gqa):
        self.group, self.merged = 1, query.shape[:-2]
        lead, shared = query.shape[:-2], key.shape[:-2]
        if enable_gqa:
            if not lead or not shared or lead[-1] % shared[-1]:
                raise ShapeError(
                    f"scaled_dot_product_attention: the heads of query {query.shape} "
                    f"are no multiple of the heads of key {key.shape}"
                )
            self.group = lead[-1] // shared[-1]
            lead = (*lead[:-1], shared[-1])
        try:
            self.lead = np.broadcast_shapes(lead, shared, value.shape[:-2])
        except ValueError:
            raise ShapeError(
                f"scaled_dot_product_attention: the leading axes of query "
                f"{query.shape}, key {key.shape} and value {value.shape} do not "
                "broadcast; heads that share keys need enable_gqa=True"
            ) from None
        if not enable_gqa:
            self.merged = self.lead
        self.query = self.split(query, lead)
        self.key, self.value = key[..., None, :, :], value[..., None, :, :]

    def split(self, array, lead=None):
        """(..., heads, q, n) -> (*lead, group, q, n)."""
        if lead is None:
            if self.group == 1:
                return array[..., None, :, :]
            array = np.broadcast_to(array, (*self.merged, *array.shape[-2:]))
            lead = self.lead
        return array.reshape(*lead, self.group, *array.shape[-2:])

    def merge(self, array):
        """(*lead, group, q, n) -> (..., heads, q, n)."""
        return array.reshape(*self.merged, *array.shape[-2:])

    def scores(self, rows, seen, scale, attn_mask, is_causal):
        """(*lead, group, rows, seen): scaled, masked, and ours to write to."""
        query = self.query[..., rows, :] * _scale(scale, self.query)
        scores = self._stacked(query, self.key[..., :seen, :].swapaxes(-1, -2))
        if attn_mask is not None:
            mask = attn_mask
            if mask.ndim > 2:
                mask = self.split(mask)
            if mask.shape[-2] > 1:
                mask = mask[..., rows, :]
            mask = mask[..., :seen] if mask.shape[-1] > 1 else mask
            if mask.dtype == bool:
                scores[np.broadcast_to(~mask, scores.shape)] = -np.inf
            else:
                scores += mask
        if is_causal:
            hidden = np.arange(rows.start, seen) > np.arange(rows.start, rows.stop)[:, None]
            scores[..., rows.start : seen][..., hidden] = -np.inf
        return scores

    def average(self, weights, seen):
        """weights @ value, the group's heads as rows of one product."""
        return self._stacked(weights, self.value[..., :seen, :])

    def _stacked(self, left, right):
        if self.group == 1:
            return left @ right
        rows = left.reshape(*left.shape[:-3], -1, left.shape[-1])
        return (rows @ right[..., 0, :, :]).reshape(*left.shape[:-1], right.shape[-1])
