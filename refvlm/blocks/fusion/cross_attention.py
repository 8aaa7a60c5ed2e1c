r"""Cross-attention whose matrices have names of their own, and heads any width.

    queries = W_q x      keys = W_k y      values = W_v y
    output  = W_out softmax(queries keys^T / sqrt(d_head)) values

`multi_head_attention` in the names of Hugging Face's models: IDEFICS, which published
Flamingo's two inventions (`resampler`, `gated_cross_attention`), norms the queries and
keys of each head, too.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import ops
from ...shapes import shapes
from ..attention_layers import heads_share, merge_heads, split_heads
from ..transformer import linear
from . import demands


@shapes(x="b q d", y="b k d_y", returns="b q d")
def cross_attention(
    x,
    y,
    weights,
    num_heads: int,
    attn_mask=None,
    out: str = "out_proj",
    norm: Callable | None = None,
):
    r"""x asks, y answers:
    $W_O\,\operatorname{softmax}\!\left(W_Q x\,(W_K y)^\top/\sqrt{d_{head}}\right)W_V y$
    in each head.

    x (b, q, d), y (b, k, d_y), the result (b, q, d). The mask, over (b, heads, q, k),
    is True where one may look; who may look nowhere gets zeros through $W_O$. `norm`
    (heads, scope) is done to each head's queries and keys where there are weights for
    it. Weights: `q_proj.`, `k_proj.`, `v_proj.` and `<out>.`, biases where there are
    any, `q_layer_norm.` and `k_layer_norm.` likewise.

    Source: [Cortes] 5.3; [Alayrac2022]. Oracle: torch.nn.MultiheadAttention,
    transformers' IdeficsAttention.
    """
    name = "cross_attention"
    inner = weights["q_proj.weight"].shape[0]
    heads_share(name, inner, num_heads)
    demands.features_fit(name, "x", x, "q_proj.weight", weights["q_proj.weight"])
    demands.features_fit(name, "y", y, "k_proj.weight", weights["k_proj.weight"])
    scores = len(x), num_heads, x.shape[1], y.shape[1]
    demands.mask_fits(name, "attn_mask", attn_mask, scores)

    def heads(x, kind):
        split = split_heads(linear(x, weights.scope(f"{kind}_proj")), num_heads)
        scale = weights.scope(f"{kind}_layer_norm")
        return split if norm is None or "weight" not in scale else norm(split, scale)

    attended = ops.scaled_dot_product_attention(
        heads(x, "q"), heads(y, "k"), heads(y, "v"), attn_mask
    )
    return linear(merge_heads(attended), weights.scope(out))
