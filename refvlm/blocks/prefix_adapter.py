r"""The prefix adapter: all patches of a picture become a few tokens before the text.

    patches (b, 196, 192)
      -> projection 192 -> 896 -> MLP 896 -> 1792 -> 896   each patch by itself
      -> pooling: 25 learnt queries ask the 196 patches    (b, 25, 896)
      -> + a learnt position for each token -> layer norm  (b, 25, 896)

A resampler of one layer: what the decoder pays does not grow with the picture. Names of
weights are those of MicroVLM-V's code.
"""

from __future__ import annotations

from .. import ops
from ..arguments import check_whole
from ..checkpoint import Weights
from ..shapes import shapes
from .attention_layers import multi_head_attention, projections, split_heads
from .fusion.resampler import for_each
from .transformer import layer_norm, linear


@shapes(patches="b n c", returns="b m h")
def prefix_adapter(
    patches, weights: Weights, num_heads: int | None = None, watch: list | None = None
):
    r"""Learnt queries pool what an MLP says of each patch: with $P$ the positions and
    $Z = W_2\,\phi(W_1(W_0 X + b_0) + b_1) + b_2$,
    $\operatorname{LN}\!\left(\operatorname{softmax}(Q Z^\top/\sqrt{h})\,Z + P\right)$.

    patches (b, n, c) become (b, m, h), for m queries. Without num_heads the pooling is
    the source's formula: keys and values are Z itself, no matrix between. With it, it
    is `multi_head_attention`, as in the published code, and twice as many parameters.
    Where there are no weights for the norm, as in the source's diagram, there is none.
    Into `watch` goes where each query looked, (b, heads, m, n).

    Weights: `projection.`, `mlp.0.`, `mlp.2.`, pooling_queries (m, h), `pooling_attn.`
    where there are heads, prefix_pos_embeddings (m, h), `layer_norm.`.

    Source: [MicroVLM-V] 1, 4. Oracle: torch.nn.Sequential, MultiheadAttention (or
    scaled_dot_product_attention) and LayerNorm.
    """
    bent = ops.gelu(mlp_layer(linear(patches, weights.scope("projection")), weights, 0))
    seen = mlp_layer(bent, weights, 2)
    queries = for_each(patches, weights["pooling_queries"])
    if num_heads is None:
        pooled = ops.scaled_dot_product_attention(queries, seen, seen)
    else:
        attention = weights.scope("pooling_attn")
        pooled = multi_head_attention(queries, seen, seen, attention, num_heads)
    if watch is not None:
        watch.append(pooling_weights(queries, seen, weights, num_heads))
    prefix = pooled + weights["prefix_pos_embeddings"]
    norm = weights.scope("layer_norm")
    return layer_norm(prefix, norm) if "weight" in norm else prefix


def mlp_layer(x, weights, place: int):
    """`linear` by the weights at a place of torch.nn.Sequential."""
    return linear(x, weights.scope(f"mlp.{place}"))


def pooling_weights(queries, seen, weights, num_heads: int | None):
    """Where each query looks: (b, heads, m, n), one head where there are none."""
    if num_heads is None:
        return ops.attention_weights(queries, seen)[:, None]
    ask, answer, _ = projections(weights.scope("pooling_attn"), queries.shape[-1])
    return ops.attention_weights(
        split_heads(ops.linear(queries, *ask), num_heads),
        split_heads(ops.linear(seen, *answer), num_heads),
    )


def prefix_tokens(patches: int) -> int:
    r"""How many tokens a picture of n patches gets:
    $\lceil n / 8 \rceil$, at least 8 and at most 64.

    Source: the code of [MicroVLM-V]; its 25 for 196 patches.

    >>> prefix_tokens(196), prefix_tokens(16), prefix_tokens(1024)
    (25, 8, 64)
    """
    check_whole("prefix_tokens", least=1, patches=patches)
    return min(max(-(-patches // 8), 8), 64)


def prefix_adapter_shapes(
    width: int,
    hidden: int,
    inner: int,
    tokens: int,
    num_heads: int | None = None,
    norm: bool = True,
) -> dict[str, tuple[int, ...]]:
    """name -> shape, from patches of `width` to `tokens` of `hidden`; `inner` is that
    of the MLP, and heads bring their matrices."""
    named: dict[str, tuple[int, ...]] = {
        "projection.weight": (hidden, width),
        "projection.bias": (hidden,),
        "mlp.0.weight": (inner, hidden),
        "mlp.0.bias": (inner,),
        "mlp.2.weight": (hidden, inner),
        "mlp.2.bias": (hidden,),
        "pooling_queries": (tokens, hidden),
        "prefix_pos_embeddings": (tokens, hidden),
    }
    if num_heads is not None:
        named |= {
            "pooling_attn.in_proj_weight": (3 * hidden, hidden),
            "pooling_attn.in_proj_bias": (3 * hidden,),
            "pooling_attn.out_proj.weight": (hidden, hidden),
            "pooling_attn.out_proj.bias": (hidden,),
        }
    if norm:
        named |= {"layer_norm.weight": (hidden,), "layer_norm.bias": (hidden,)}
    return named
