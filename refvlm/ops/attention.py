r"""Attention: each query takes a weighted average of the values, weighted by how well
its key matches.

`attention_weights` is the formula as it is written; times the values, it is attention
by definition. `scaled_dot_product_attention` gives the same numbers without ever
holding the weights: `heads.py` cuts the work into pieces.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable, unbroadcast, value_of
from ..kernels.heads import (
    Heads,
    check_fits,
    is_boolean,
    leading_axes,
    repeat_heads,
    scale_of,
    stacked,
    stacked_sum,
)
from ..parallel import in_parallel
from ..shapes import shapes
from .masks import causal_mask
from .probability import softmax


@shapes(query="... q d", key="...kv k d", attn_mask="...m of anything")
def attention_weights(
    query, key, attn_mask=None, is_causal=False, scale=None, enable_gqa=False
):
    r"""How much each query takes from each key:
    $P = \operatorname{softmax}\!\left(QK^\top / \sqrt{d} + M\right)$.

    query is (..., q, d), key (..., k, d), the result (..., q, k); the options are
    those of `scaled_dot_product_attention`. A query that may see nothing gets zeros.

    Source: [Cortes] 2.1, 4.1. Oracle: torch.softmax of the scores.

    >>> attention_weights(np.array([[1.0]]), np.array([[0.0], [np.log(3)]]))
    array([[0.25, 0.75]])
    """
    leading_axes(query, key, key, enable_gqa)
    if enable_gqa:
        key = repeat_heads(key, query)
    scores = query @ key.swapaxes(-1, -2) * scale_of(query, scale)
    if is_causal:
        scores = np.where(causal_mask(*scores.shape[-2:]), scores, -np.inf)
    check_fits("attn_mask", attn_mask, scores.shape)
    if attn_mask is not None and is_boolean(attn_mask):
        scores = np.where(attn_mask, scores, -np.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask.astype(scores.dtype)
    blind = np.isneginf(value_of(scores)).all(axis=-1, keepdims=True)
    return np.where(blind, 0, softmax(np.where(blind, 0, scores)))


@shapes(
    query="... q d",
    key="...kv k d",
    value="...kv k e",
    attn_mask="...m of anything",
    dropout_mask="...p",
)
def scaled_dot_product_attention_by_definition(
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
    r"""Attention as it is written: $\operatorname{softmax}(QK^\top/\sqrt d + M)\,V$.

    Source: [Cortes] 2.1. Oracle: `scaled_dot_product_attention`.
    """
    check_dropout(dropout_p, dropout_mask)
    leading_axes(query, key, value, enable_gqa)
    weights = attention_weights(query, key, attn_mask, is_causal, scale, enable_gqa)
    check_fits("dropout_mask", dropout_mask, weights.shape)
    if dropout_mask is not None:
        weights = weights * dropout_mask
    return weights @ (repeat_heads(value, query) if enable_gqa else value)


@differentiable
@shapes(
    query="... q d",
    key="...kv k d",
    value="...kv k e",
    attn_mask="...m of anything",
    dropout_mask="...p",
)
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
    options = attn_mask, dropout_p, is_causal, scale, enable_gqa, dropout_mask
    return scaled_dot_product_attention_forward(query, key, value, *options)[0]


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
    check_dropout(dropout_p, dropout_mask)
    heads = Heads(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    kept = None if dropout_mask is None else heads.of_scores(dropout_mask)
    out = np.empty((*heads.query.shape[:-1], value.shape[-1]), query.dtype)
    log_sums = np.empty((*heads.query.shape[:-1], 1), query.dtype)

    def attend(some):
        for rows in heads.rows():
            seen = heads.seen(rows)
            scores = heads.scores(some, rows, seen)
            top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
            top[np.isneginf(top)] = 0  # a row that sees nothing keeps its zeros
            scores -= top
            weights = np.exp(scores, out=scores)
            sums = weights @ np.ones((seen, 1), weights.dtype)
            sums[sums == 0] = 1
            if kept is not None:
                weights *= kept[some, :, rows, :seen]
            averages = stacked(weights, heads.value[some, :seen])
            averages /= sums  # dividing e numbers a query, not k
            out[some, :, rows] = averages
            log_sums[some, :, rows] = np.log(sums) + top

    in_parallel(attend, heads.pieces())
    return heads.merge(out), log_sums


@scaled_dot_product_attention.vjp
def scaled_dot_product_attention_vjp(
    d_out,
    out,
    query,
    key,
    value,
    attn_mask,
    dropout_p,
    is_causal,
    scale,
    enable_gqa,
    dropout_mask,
    saved=None,
    needs=("attn_mask",),
):
    r"""With $P$ the weights: $\bar V = P^\top \bar O$, $\bar P = \bar O V^\top$,
    $\bar S = P \odot (\bar P - \langle \bar O, O\rangle)$, then
    $\bar Q = \bar S K/\sqrt d$ and $\bar K = \bar S^\top Q/\sqrt d$.
    """
    options = attn_mask, dropout_p, is_causal, scale, enable_gqa, dropout_mask
    if saved is None:
        out, saved = scaled_dot_product_attention_forward(query, key, value, *options)
    heads = Heads(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    kept = None if dropout_mask is None else heads.of_scores(dropout_mask)
    d_out, out = heads.split(d_out), heads.split(out)
    inner = (d_out * out).sum(axis=-1, keepdims=True)
    d_query, d_key, d_value = map(np.zeros_like, (heads.query, heads.key, heads.value))
    d_mask = None
    if heads.bias is not None and "attn_mask" in needs:
        d_mask = np.zeros(heads.bias.shape, query.dtype)

    def back(some):
        for rows in heads.rows():
            seen, block = heads.seen(rows), (some, slice(None), rows)
            scores = heads.scores(some, rows, seen)
            scores -= saved[block]
            weights = np.exp(scores, out=scores)
            d_scores = stacked(d_out[block], heads.value[some, :seen].mT)
            applied = weights
            if kept is not None:
                d_scores *= kept[block][..., :seen]
                applied = weights * kept[block][..., :seen]
            d_value[some, :seen] += stacked_sum(applied, d_out[block])
            d_scores -= inner[block]
            d_scores *= weights
            if d_mask is not None:
                d_mask[block][..., :seen] = d_scores
            d_scores *= heads.scale
            d_query[block] = stacked(d_scores, heads.key[some, :seen])
            d_key[some, :seen] += stacked_sum(d_scores, heads.query[block])

    in_parallel(back, heads.pieces())
    if d_mask is not None:
        d_mask = unbroadcast(heads.merge(d_mask), attn_mask.shape)
    return (
        unbroadcast(heads.merge(d_query), query.shape),
        unbroadcast(heads.unshare(d_key), key.shape),
        unbroadcast(heads.unshare(d_value), value.shape),
        d_mask,
    )


def check_dropout(dropout_p, dropout_mask):
    """Refuse a probability alone: noise is drawn outside, where its seed is."""
    if dropout_p and dropout_mask is None:
        raise ValueError(
            "attention: dropout_p needs its mask: ops.dropout_mask(rng, shape, p)"
        )
