"""Attention without its weights: a block of scores is made, used and forgotten.

`heads.py` cuts the work. Of each query the logarithm of its sum of exponentials is
left for the way back, which makes the weights again from it, block by block.
"""

from __future__ import annotations

import numpy as np

from ..parallel import in_parallel
from ..variable import unbroadcast
from .heads import Heads, of_keys, stacked, stacked_sum


def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask,
    is_causal,
    scale,
    enable_gqa,
    dropout_mask,
    residuals,
):
    """The averages of the values, with `log_sums` (n, group, q, 1) for the tape.

    Left to the definition: where there is nothing to cut, and arrays of two dtypes.
    """
    if not (query.size and key.size and value.size):
        return NotImplemented
    if not query.dtype == key.dtype == value.dtype:
        return NotImplemented
    if dropout_mask is not None and dropout_mask.dtype != query.dtype:
        return NotImplemented
    heads = Heads(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    dropout = None if dropout_mask is None else heads.of_scores(dropout_mask)
    lead = heads.count, heads.group, heads.queries
    out = np.empty((*lead, value.shape[-1]), query.dtype)
    log_sums = None if residuals is None else np.empty((*lead, 1), query.dtype)

    def attend(piece):
        for rows in heads.rows():
            visible = heads.visible(piece, rows)
            scores = heads.scores(piece, rows, visible)
            top = scores.max(axis=-1, keepdims=True)
            top[np.isneginf(top)] = 0  # a query that sees nothing gets zeros
            scores -= top
            weights = np.exp(scores, out=scores)
            sums = weights @ np.ones((scores.shape[-1], 1), weights.dtype)
            sums[sums == 0] = 1
            if dropout is not None:
                weights *= of_keys(dropout[piece, :, rows], visible)
            averages = stacked(weights, heads.value[piece, visible])
            averages /= sums  # dividing e numbers a query, not k
            out[piece, :, rows] = averages
            if log_sums is not None:
                log_sums[piece, :, rows] = np.log(sums) + top

    in_parallel(attend, heads.pieces())
    if residuals is not None:
        residuals["log_sums"] = log_sums
    return heads.merge(out)


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
    log_sums,
    needs,
):
    """The gradients of query, key, value and of an additive mask.

    A query's product of weights and their gradients is that of its output and its
    gradient, which needs no row to be whole.
    """
    if log_sums is None:
        return NotImplemented
    heads = Heads(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    dropout = None if dropout_mask is None else heads.of_scores(dropout_mask)
    d_out, out = heads.split(d_out), heads.split(out)
    inner = (d_out * out).sum(axis=-1, keepdims=True)
    d_query, d_key, d_value = map(np.zeros_like, (heads.query, heads.key, heads.value))
    d_mask = None
    if heads.bias is not None and "attn_mask" in needs:
        d_mask = np.zeros(heads.bias.shape, query.dtype)

    def go_back(piece):
        for rows in heads.rows():
            visible, block = heads.visible(piece, rows), (piece, slice(None), rows)
            scores = heads.scores(piece, rows, visible)
            scores -= log_sums[block]
            weights = np.exp(scores, out=scores)
            d_scores = stacked(d_out[block], heads.value[piece, visible].mT)
            applied = weights
            if dropout is not None:
                d_scores *= of_keys(dropout[block], visible)
                applied = weights * of_keys(dropout[block], visible)
            d_value[piece, visible] += stacked_sum(applied, d_out[block])
            d_scores -= inner[block]
            d_scores *= weights
            if d_mask is not None:
                d_mask[*block, visible] = d_scores
            d_scores *= heads.scale
            d_query[block] = stacked(d_scores, heads.key[piece, visible])
            d_key[piece, visible] += stacked_sum(d_scores, heads.query[block])

    in_parallel(go_back, heads.pieces())
    if d_mask is not None:
        d_mask = unbroadcast(heads.merge(d_mask), attn_mask.shape)
    return (
        unbroadcast(heads.merge(d_query), query.shape),
        unbroadcast(heads.unshare(d_key), key.shape),
        unbroadcast(heads.unshare(d_value), value.shape),
        d_mask,
    )
