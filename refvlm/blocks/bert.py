r"""The sub-layers of BERT: each adds what it computes to what it read, then norms it.

    x = LayerNorm(x + W_o attention(W_q x, W_k c, W_v c))
    x = LayerNorm(x + W_2 GELU(W_1 x))

With c = x a text reads itself; with c a picture's features it looks at the picture.
BLIP's text model and BLIP-2's Q-Former are stacks of these. Names of weights are those
of Hugging Face's BERT: what comes out of a sub-layer goes by `output.`, norm included.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..checkpoint import Weights
from ..shapes import shapes
from .attention_layers import heads_share, merge_heads, split_heads
from .kv_cache import KeysAndValues
from .transformer import layer_norm, linear


@shapes(x="b q d", context="b k d_c", returns="b q d")
def bert_attention(
    x,
    weights: Weights,
    num_heads: int,
    eps: float,
    context=None,
    attn_mask=None,
    is_causal: bool = False,
    inner: str = "self",
    known: KeysAndValues | None = None,
    watch: list[np.ndarray] | None = None,
):
    r"""Tokens ask, and norm the sum of what they were and what they were told:
    $\operatorname{LN}(x + W_O\,\operatorname{attention}(W_Q x, W_K c, W_V c))$.

    x is (b, q, d); it asks itself unless there is a `context` (b, k, d_c), or keys and
    values that are `known`. The mask is that of `ops.scaled_dot_product_attention`,
    `watch` collects the attention weights (b, heads, q, k). Weights: `query.`, `key.`
    and `value.` under the name `inner`; `output.dense.`, `output.LayerNorm.`.

    Source: [Foundations] projection strategies. Oracle: transformers'
    Blip2QFormerAttention, BlipTextAttention.
    """
    ask = weights.scope(inner)
    if known is None:
        known = keys_and_values(x if context is None else context, ask, num_heads)
    queries = split_heads(linear(x, ask.scope("query")), num_heads)
    sight = {"attn_mask": attn_mask, "is_causal": is_causal}
    if watch is not None:
        watch.append(ops.attention_weights(queries, known.keys, **sight))
    attended = ops.scaled_dot_product_attention(queries, *known, **sight)
    return added(merge_heads(attended), x, weights.scope("output"), eps)


def keys_and_values(context, weights, num_heads: int) -> KeysAndValues:
    """What a context offers to those who ask: $W_K c$ and $W_V c$, in heads.

    They do not depend on who asks: a picture's are made once and serve every token.
    """
    heads_share("keys_and_values", weights["key.weight"].shape[0], num_heads)
    keys = split_heads(linear(context, weights.scope("key")), num_heads)
    values = split_heads(linear(context, weights.scope("value")), num_heads)
    return KeysAndValues(keys, values)


def bert_feed_forward(x, wide: Weights, narrow: Weights, eps: float):
    r"""Widen, bend, narrow, add and norm:
    $\operatorname{LN}(x + W_2\operatorname{GELU}(W_1 x + b_1) + b_2)$.

    Weights: `dense.` of the one scope widens; `dense.` and `LayerNorm.` of the other
    come after. Oracle: transformers' BertIntermediate and BertOutput.
    """
    return added(ops.gelu(linear(x, wide.scope("dense"))), x, narrow, eps)


def added(out, x, weights, eps):
    """LayerNorm(x + W out + b): how every sub-layer ends."""
    return layer_norm(
        x + linear(out, weights.scope("dense")), weights.scope("LayerNorm"), eps
    )


def attention_shapes(width: int, context: int, inner: str = "self"):
    """The tensors of `bert_attention` by name; `context` is the width of what it reads.

    >>> attention_shapes(8, 6)["self.key.weight"]
    (8, 6)
    """
    asks = {"query": width, "key": context, "value": context}
    return {
        **{f"{inner}.{name}.weight": (width, n) for name, n in asks.items()},
        **{f"{inner}.{name}.bias": (width,) for name in asks},
        **ending_shapes("output", width, width),
    }


def feed_forward_shapes(width: int, hidden: int, suffix: str = ""):
    """The tensors of `bert_feed_forward` under `intermediate` and `output`, both with a
    suffix."""
    return {
        f"intermediate{suffix}.dense.weight": (hidden, width),
        f"intermediate{suffix}.dense.bias": (hidden,),
        **ending_shapes(f"output{suffix}", hidden, width),
    }


def ending_shapes(name, n_in, n_out):
    """`dense.` and `LayerNorm.`: see `added`."""
    return {
        f"{name}.dense.weight": (n_out, n_in),
        f"{name}.dense.bias": (n_out,),
        f"{name}.LayerNorm.weight": (n_out,),
        f"{name}.LayerNorm.bias": (n_out,),
    }
