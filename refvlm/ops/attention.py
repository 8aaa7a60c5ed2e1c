r"""Attention: each query takes a weighted average of the values, weighted by how well
its key matches.

`attention_weights` says how much each query takes from each key, and
`scaled_dot_product_attention` takes it. Its kernel gives the same numbers without ever
holding the weights.
"""

from __future__ import annotations

import math

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..kernels import attention, computed_by
from ..shapes import shapes
from . import demands
from .masks import causal_mask
from .probability import softmax, softmax_vjp


@differentiable
@shapes(
    demands.heads_fit,
    demands.a_scale_of_scores,
    demands.attn_mask_fits,
    query="... q d",
    key="...kv k d",
    attn_mask="...m of anything",
)
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
    if enable_gqa:
        key = repeat_heads(key, query)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    scores = query @ key.mT * scale
    if is_causal:
        scores = np.where(causal_mask(*scores.shape[-2:]), scores, -np.inf)
    if attn_mask is not None and attn_mask.dtype == bool:
        scores = np.where(attn_mask, scores, -np.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask.astype(scores.dtype)
    blind = np.isneginf(scores).all(axis=-1, keepdims=True)
    return np.where(blind, 0, softmax(np.where(blind, 0, scores)))


@attention_weights.vjp
def attention_weights_vjp(
    d_out, out, query, key, attn_mask, is_causal, scale, enable_gqa
):
    r"""$\bar S = P \odot (\bar P - \langle \bar P, P\rangle)$ through the softmax, then
    $\bar Q = \bar S K/\sqrt d$, $\bar K = \bar S^\top Q/\sqrt d$ and $\bar M = \bar S$.
    """
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    d_scores = softmax_vjp(d_out, out, dim=-1)
    d_query = d_scores @ (repeat_heads(key, query) if enable_gqa else key) * scale
    d_key = d_scores.mT @ query * scale
    if enable_gqa:
        d_key = sum_heads(d_key, key)
    d_query, d_key = unbroadcast(d_query, query.shape), unbroadcast(d_key, key.shape)
    if attn_mask is None or attn_mask.dtype == bool:
        return d_query, d_key, None
    return d_query, d_key, unbroadcast(d_scores, attn_mask.shape)


@differentiable
@shapes(
    demands.values_fit,
    demands.a_scale_of_scores,
    demands.attn_mask_fits,
    demands.dropout_mask_fits,
    query="... q d",
    key="...kv k d",
    value="...kv k e",
    attn_mask="...m of anything",
    dropout_mask="...p",
)
@computed_by(attention.scaled_dot_product_attention)
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
    weights = attention_weights(query, key, attn_mask, is_causal, scale, enable_gqa)
    if dropout_mask is not None:
        weights = weights * dropout_mask
    if enable_gqa:
        value = repeat_heads(value, query)
    return weights @ value


@scaled_dot_product_attention.vjp
@computed_by(attention.scaled_dot_product_attention_vjp)
def scaled_dot_product_attention_vjp(
    d_out,
    out,
    query,
    key,
    value,
    attn_mask,
    is_causal,
    scale,
    enable_gqa,
    dropout_mask,
    needs=("attn_mask",),
    log_sums=None,
):
    r"""With $P$ the weights, made again: $\bar V = P^\top \bar O$ and
    $\bar P = \bar O V^\top$, which `attention_weights_vjp` takes further. Dropout
    multiplies $P$ here and $\bar P$ there.

    `out`, `needs` and `log_sums` serve the kernel, which makes $P$ from them in blocks.
    """
    options = attn_mask, is_causal, scale, enable_gqa
    weights = attention_weights(query, key, *options)
    d_weights = d_out @ (repeat_heads(value, query) if enable_gqa else value).mT
    if dropout_mask is None:
        d_value = weights.mT @ d_out
    else:
        d_value = (weights * dropout_mask).mT @ d_out
        d_weights = d_weights * dropout_mask
    if enable_gqa:
        d_value = sum_heads(d_value, value)
    d_weights = unbroadcast(d_weights, weights.shape)
    d_scores = attention_weights_vjp(d_weights, weights, query, key, *options)
    d_query, d_key, d_mask = d_scores
    return d_query, d_key, unbroadcast(d_value, value.shape), d_mask


def repeat_heads(array, query):
    """Each head of keys or values as often as query heads share it, in place."""
    return np.repeat(array, query.shape[-3] // array.shape[-3], axis=-3)


def sum_heads(gradient, array):
    """The way back of `repeat_heads`: a head gathers what its copies bring."""
    *lead, heads, length, features = gradient.shape
    shared = array.shape[-3]
    copies = gradient.reshape(*lead, shared, heads // shared, length, features)
    return copies.sum(axis=-3)
