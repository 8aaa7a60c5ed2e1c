r"""A transformer block: tokens look at each other, then each thinks for itself.

    pre-norm    x = x + attention(norm(x))     x = x + feed_forward(norm(x))
    post-norm   x = norm(x + attention(x))     x = norm(x + feed_forward(x))

In a pre-norm block nothing stands on the way from the first layer to the last but
additions, so a deep stack learns without a warm-up that a post-norm stack needs.
Names of weights are those of Hugging Face's CLIP and SigLIP.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import ops
from ..checkpoint import Weights
from ..shapes import shapes
from .attention_layers import heads_share, merge_heads, split_heads


@shapes(x="... t d", returns="... t d")
def transformer_block(
    x,
    weights: Weights,
    num_heads: int,
    attn_mask=None,
    is_causal: bool = False,
    norm_first: bool = True,
    activation: Callable = ops.gelu,
    eps: float = 1e-5,
):
    r"""Attention, then a feed-forward network, each added to what it read:
    $h = x + \operatorname{MHA}(\operatorname{LN}(x))$,
    $y = h + \operatorname{FFN}(\operatorname{LN}(h))$.

    Without norm_first the norms come after the sums:
    $h = \operatorname{LN}(x + \operatorname{MHA}(x))$,
    $y = \operatorname{LN}(h + \operatorname{FFN}(h))$.

    x is (..., t, d). The mask is that of `ops.scaled_dot_product_attention`. Weights:
    `layer_norm1.`, `self_attn.`, `layer_norm2.`, `mlp.`.

    Source: [Cortes] 2.1 (post-norm), [MicroVLM-V] 2 (pre-norm).
    Oracle: torch.nn.TransformerEncoderLayer(norm_first=...), transformers' CLIP.
    """

    def norm(x, name):
        return layer_norm(x, weights.scope(name), eps)

    def attention(x):
        scope = weights.scope("self_attn")
        return self_attention(x, scope, num_heads, attn_mask, is_causal)

    def mlp(x):
        return feed_forward(x, weights.scope("mlp"), activation)

    if norm_first:
        x = x + attention(norm(x, "layer_norm1"))
        return x + mlp(norm(x, "layer_norm2"))
    x = norm(x + attention(x), "layer_norm1")
    return norm(x + mlp(x), "layer_norm2")


@shapes(x="... t d", returns="... t d")
def self_attention(x, weights, num_heads: int, attn_mask=None, is_causal=False):
    r"""Every token asks every token: `multi_head_attention` with
    $W_Q, W_K, W_V, W_O$ under names of their own, `q_proj.` to `out_proj.`.

    Source: [Cortes] 2.1. Oracle: torch.nn.MultiheadAttention.
    """
    heads_share("self_attention", x.shape[-1], num_heads)
    queries, keys, values = (
        split_heads(linear(x, weights.scope(f"{name}_proj")), num_heads)
        for name in "qkv"
    )
    attended = ops.scaled_dot_product_attention(
        queries, keys, values, attn_mask, is_causal=is_causal
    )
    return linear(merge_heads(attended), weights.scope("out_proj"))


def feed_forward(x, weights, activation: Callable = ops.gelu):
    r"""Widen, bend, narrow, each token by itself: $W_2\,\phi(W_1 x + b_1) + b_2$.

    Source: [Cortes] 2.1. Oracle: torch.nn.Sequential(Linear, GELU, Linear).
    """
    return linear(activation(linear(x, weights.scope("fc1"))), weights.scope("fc2"))


def layer_norm(x, weights, eps: float = 1e-5):
    """`ops.layer_norm` over the features, by a scope's `weight` and `bias`."""
    return ops.layer_norm(x, x.shape[-1:], weights["weight"], weights["bias"], eps)


def linear(x, weights):
    """`ops.linear` by a scope's `weight` and, where there is one, `bias`."""
    return ops.linear(x, weights["weight"], weights.get("bias"))


def transformer_block_shapes(dim: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The tensors of one block by name; `hidden` is the width of the feed-forward."""
    projections = [f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")]
    return {
        **{f"{name}.weight": (dim, dim) for name in projections},
        **{f"{name}.bias": (dim,) for name in projections},
        **{f"layer_norm{i}.{n}": (dim,) for i in (1, 2) for n in ("weight", "bias")},
        "mlp.fc1.weight": (hidden, dim),
        "mlp.fc1.bias": (hidden,),
        "mlp.fc2.weight": (dim, hidden),
        "mlp.fc2.bias": (dim,),
    }
