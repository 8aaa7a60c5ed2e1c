r"""Attention layers: projections around scaled dot-product attention.

    heads  = softmax(Q K^T / sqrt(d)) V,   Q = W_q z,  K = W_k c,  V = W_v c
    output = W_o [head_1; ...; head_h]

With z and c the same sequence this is self-attention; with c another sequence it is
cross-attention, z asking and c answering; with z a few learnt vectors it is pooling.
Names of weights are those of torch.nn.MultiheadAttention.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import ops
from ..arguments import check_whole
from ..checkpoint import Weights
from ..shapes import ShapeError, shapes


@shapes(query="... q d", key="...kv k d_k", value="...kv k d_v")
def multi_head_attention(
    query,
    key,
    value,
    weights: Mapping,
    num_heads: int,
    attn_mask=None,
    is_causal=False,
    need_weights=False,
):
    r"""Several attentions side by side, mixed by one last projection:
    $W_O\,[\mathrm{head}_1; \dots; \mathrm{head}_h]$ with
    $\mathrm{head}_i = \operatorname{attention}(W_Q^i z,\, W_K^i c,\, W_V^i c)$.

    query is (..., q, d), key (..., k, d_k), value (..., k, d_v), the result (..., q,
    d). The mask is that of `ops.scaled_dot_product_attention`, over (..., heads, q,
    k): True may be seen. (PyTorch's module reads booleans the other way round: True
    hides.) With need_weights the result is a pair: the output and the weights
    (..., heads, q, k).

    Weights: in_proj_weight (3d, d), queries, keys and values one under the other, or,
    where keys and values have sizes of their own, q_proj_weight, k_proj_weight and
    v_proj_weight; in_proj_bias (3d,) unless absent; out_proj.weight, out_proj.bias.

    Source: [Cortes] 2.1, 5.3. Oracle: torch.nn.MultiheadAttention(batch_first=True).
    """
    width = query.shape[-1]
    heads_share("multi_head_attention", width, num_heads)
    queries, keys, values = (
        split_heads(ops.linear(x, weight, bias), num_heads)
        for x, (weight, bias) in zip((query, key, value), projections(weights, width))
    )
    attended = ops.scaled_dot_product_attention(
        queries, keys, values, attn_mask, is_causal=is_causal
    )
    bias = weights.get("out_proj.bias")
    out = ops.linear(merge_heads(attended), weights["out_proj.weight"], bias)
    if not need_weights:
        return out
    return out, ops.attention_weights(queries, keys, attn_mask, is_causal)


def heads_share(function: str, width: int, num_heads: int) -> None:
    """A demand: features split into heads of one size.

    >>> heads_share("cross_decoder_layer", 6, 4)
    Traceback (most recent call last):
    refvlm.shapes.ShapeError: cross_decoder_layer: 6 features do not split into 4 heads
    """
    check_whole(function, least=1, num_heads=num_heads)
    if width % num_heads:
        raise ShapeError(
            f"{function}: {width} features do not split into {num_heads} heads"
        )


def split_heads(x, num_heads: int):
    """(..., t, heads d) -> (..., heads, t, d): each head a slice of the features."""
    *batch, width = x.shape
    return x.reshape(*batch, num_heads, width // num_heads).swapaxes(-3, -2)


def merge_heads(x):
    """(..., heads, t, d) -> (..., t, heads d): back again."""
    x = x.swapaxes(-3, -2)
    *batch, num_heads, head_dim = x.shape
    return x.reshape(*batch, num_heads * head_dim)


def projections(weights, width: int):
    """(weight, bias) for queries, for keys and for values, `width` rows each."""
    parts = [slice(i * width, (i + 1) * width) for i in range(3)]
    if "in_proj_weight" in weights:
        stacked = weights["in_proj_weight"]
        if stacked.shape[0] != 3 * width:
            raise ShapeError(
                f"multi_head_attention: in_proj_weight is {stacked.shape}, but queries "
                f"of {width} features need {3 * width} rows"
            )
        matrices = [stacked[part] for part in parts]
    else:
        matrices = [weights[f"{name}_proj_weight"] for name in "qkv"]
    bias = weights.get("in_proj_bias")
    return [
        (matrix, None if bias is None else bias[part])
        for matrix, part in zip(matrices, parts)
    ]


@shapes(x="b t d", returns="b n d")
def attention_pool(x, weights: Weights, num_heads: int, attn_mask=None):
    r"""A few learnt questions, asked of every token:
    $\operatorname{MHA}(p, x)$ with $p$ the probe.

    x is (b, t, d), the result (b, n, d) for a probe of (1, n, d), however many tokens
    came in. Weights: probe, and those of `multi_head_attention` under `attention.`.

    Source: [Cortes] 5.2. Oracle: torch.nn.MultiheadAttention, asked by a parameter,
    as in transformers' SigLIP.
    """
    return multi_head_attention(
        weights["probe"], x, x, weights.scope("attention"), num_heads, attn_mask
    )


def bidirectional_cross_attention(vision, text, weights: Weights, num_heads: int):
    r"""Pictures ask the text and the text asks the picture, at once:
    $H_v = \operatorname{LN}(Z_v + \operatorname{MHA}(Z_v, Z_t))$ and
    $H_t = \operatorname{LN}(Z_t + \operatorname{MHA}(Z_t, Z_v))$.

    vision is (b, v, d), text (b, t, d); the result is the pair. Both read what the
    other was before, so neither goes first. Weights: `multi_head_attention`'s under
    `vision.attention.` and `text.attention.`, and `vision.norm.` and `text.norm.`.

    Source: [Cortes] 5.3. Oracle: torch.nn.MultiheadAttention and LayerNorm, twice.
    """

    def asks(query, other, scope):
        attended = multi_head_attention(
            query, other, other, scope.scope("attention"), num_heads
        )
        norm = scope.scope("norm")
        return ops.layer_norm(
            query + attended, (query.shape[-1],), norm["weight"], norm["bias"]
        )

    return (
        asks(vision, text, weights.scope("vision")),
        asks(text, vision, weights.scope("text")),
    )
