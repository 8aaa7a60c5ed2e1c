r"""A decoder that looks: words see the words before them, then the picture, then think.

    post-norm   h = LN(h + self(h))    h = LN(h + cross(h, v))    h = LN(h + FFN(h))
    pre-norm    h = h + self(LN(h))    h = h + cross(LN(h), v)    h = h + FFN(LN(h))

The picture stays outside of the sequence. Its keys and values do not depend on the
words, so they are computed once for all of them: `look`. Names of weights are those of
torch.nn.TransformerDecoderLayer.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import ops
from ...checkpoint import Weights
from ...shapes import ShapeError, shapes
from ..attention_layers import heads_share, merge_heads, projections, split_heads
from ..kv_cache import KeysAndValues, KVCache
from ..transformer import layer_norm, linear
from . import demands


@shapes(picture="b m d_v")
def look(picture, weights: Weights, num_heads: int) -> KeysAndValues:
    r"""What one layer's words will find of a picture: $K = Z_v W^K$, $V = Z_v W^V$.

    picture (b, m, d_v); `weights` are those of the layer. Do it once for each layer,
    and hand the result to `cross_decoder_layer` in place of the picture for every
    token: what it holds is $2 m d$ numbers a layer, however long the answer becomes.

    Source: [Cortes] 5.3. Oracle: torch.nn.MultiheadAttention.
    """
    name = "look"
    cross = weights.scope("multihead_attn")
    width = cross["out_proj.weight"].shape[0]
    heads_share(name, width, num_heads)
    _, (w_key, b_key), (w_value, b_value) = projections(cross, width)
    demands.features_fit(name, "picture", picture, "multihead_attn's keys", w_key)
    keys = split_heads(ops.linear(picture, w_key, b_key), num_heads)
    values = split_heads(ops.linear(picture, w_value, b_value), num_heads)
    return KeysAndValues(keys, values)


@shapes(hidden="b t d", returns="b n d")
def cross_decoder_layer(
    hidden,
    picture,
    weights: Weights,
    num_heads: int,
    attn_mask=None,
    picture_mask=None,
    is_causal: bool = True,
    norm_first: bool = True,
    activation: Callable = ops.gelu,
    eps: float = 1e-5,
    keep: tuple[KVCache, int] | None = None,
    watch: list | None = None,
    last: int | None = None,
):
    r"""Self-attention, cross-attention and a feed-forward network, each added to what
    it read: $h + \operatorname{MHA}(h, h)$, of that $h + \operatorname{MHA}(h, v)$, and
    of that $h + \operatorname{FFN}(h)$,
    with the norms inside the brackets (norm_first) or around the sums.

    hidden (b, t, d); picture (b, m, d_v), or what `look` made of it; without one (None)
    a layer only reads and thinks, and has two norms. Both masks are those of
    `ops.scaled_dot_product_attention`: attn_mask over (b, heads, t, all words so far),
    picture_mask over (b, heads, t, m). `keep` is (cache, layer): the words continue
    those in the cache. `watch` collects where they look, (b, heads, t, m); only the
    `last` of them go on to look. Weights: `self_attn.`, `multihead_attn.` (those of
    `multi_head_attention`), `linear1.`, `linear2.`, `norm1.` to `norm3.`.

    Source: [Cortes] 5.3, 7.3. Oracle: torch.nn.TransformerDecoderLayer(norm_first=...),
    and TransformerEncoderLayer's where there is no picture.
    """
    heads_share("cross_decoder_layer", hidden.shape[-1], num_heads)
    if picture is not None and not isinstance(picture, KeysAndValues):
        picture = look(picture, weights, num_heads)
    _check(hidden, picture, weights, num_heads, attn_mask, picture_mask, keep)

    def norm(x, i):
        return layer_norm(x, weights.scope(f"norm{i}"), eps)

    def reads(x):
        scope = weights.scope("self_attn")
        return self_attention(x, scope, num_heads, attn_mask, is_causal, keep)

    def looks(x):
        scope = weights.scope("multihead_attn")
        return cross_attention(x, picture, scope, picture_mask, watch)

    def thinks(x):
        wide = activation(linear(x, weights.scope("linear1")))
        return linear(wide, weights.scope("linear2"))

    parts = [reads, thinks] if picture is None else [reads, looks, thinks]
    for i, part in enumerate(parts, start=1):
        if norm_first:
            hidden = hidden + part(norm(hidden, i))
        else:
            hidden = norm(hidden + part(hidden), i)
        if part is reads and last is not None:  # words meet here and nowhere else
            hidden = hidden[:, -last:]
    return hidden


def self_attention(x, weights, num_heads: int, attn_mask, is_causal: bool, keep=None):
    """`multi_head_attention` of a sequence with itself, behind what a cache holds."""
    queries, keys, values = (
        split_heads(ops.linear(x, weight, bias), num_heads)
        for weight, bias in projections(weights, x.shape[-1])
    )
    if keep is not None:
        cache, layer = keep
        past, tokens = cache.length, x.shape[1]
        keys, values = cache.store(layer, keys, values)
        if is_causal and past:  # the first of these words stands behind `past` others
            causal = ops.causal_mask(tokens, offset=past)
            attn_mask, is_causal = ops.combine_masks(causal, attn_mask), False
    attended = ops.scaled_dot_product_attention(
        queries, keys, values, attn_mask, is_causal=is_causal
    )
    return _out(attended, weights)


def cross_attention(x, picture: KeysAndValues, weights, attn_mask=None, watch=None):
    """`multi_head_attention` of words with a picture that was looked at."""
    weight, bias = projections(weights, x.shape[-1])[0]
    queries = split_heads(ops.linear(x, weight, bias), picture.keys.shape[1])
    if watch is not None:
        watch.append(ops.attention_weights(queries, picture.keys, attn_mask))
    return _out(ops.scaled_dot_product_attention(queries, *picture, attn_mask), weights)


def _out(attended, weights):
    bias = weights.get("out_proj.bias")
    return ops.linear(merge_heads(attended), weights["out_proj.weight"], bias)


def _check(hidden, picture, weights, num_heads, attn_mask, picture_mask, keep):
    name = "cross_decoder_layer"
    batch, tokens, width = hidden.shape
    scale = weights["norm1.weight"]
    demands.features_fit(name, "hidden", hidden, "norm1.weight", scale)
    past = 0
    if keep is not None:
        past = keep[0].length
        kept = keep[0].keys.shape[1:3] + keep[0].keys.shape[4:]
        if kept != (batch, num_heads, width // num_heads):
            raise ShapeError(
                f"{name}: the cache was made for {kept[0]} texts and {kept[1]} heads "
                f"of {kept[2]}, but hidden has {batch} and {num_heads} of "
                f"{width // num_heads}"
            )
    scores = batch, num_heads, tokens
    demands.mask_fits(name, "attn_mask", attn_mask, (*scores, past + tokens))
    if picture is not None:
        demands.as_many(name, hidden=hidden, picture=picture.keys)
        seen = picture.keys.shape[2]
        demands.mask_fits(name, "picture_mask", picture_mask, (*scores, seen))


def cross_decoder_layer_shapes(
    dim: int, hidden: int, picture: int | None = None, looks: bool = True
) -> dict[str, tuple[int, ...]]:
    """The tensors of one layer by name; `hidden` is the width of the feed-forward,
    `picture` that of the picture's tokens where it is another than `dim`; a layer that
    does not look has no `multihead_attn.` and one norm less.

    >>> import math
    >>> shapes = cross_decoder_layer_shapes(512, 2048).values()
    >>> sum(math.prod(shape) for shape in shapes)
    4204032
    """
    seen = dim if picture is None else picture
    joined = {"in_proj_weight": (3 * dim, dim)}
    apart = {
        "q_proj_weight": (dim, dim),
        "k_proj_weight": (dim, seen),
        "v_proj_weight": (dim, seen),
    }
    ends = {
        "in_proj_bias": (3 * dim,),
        "out_proj.weight": (dim, dim),
        "out_proj.bias": (dim,),
    }
    cross = (joined if seen == dim else apart) | ends
    return {
        **{f"self_attn.{name}": shape for name, shape in (joined | ends).items()},
        **{f"multihead_attn.{name}": shape for name, shape in cross.items() if looks},
        "linear1.weight": (hidden, dim),
        "linear1.bias": (hidden,),
        "linear2.weight": (dim, hidden),
        "linear2.bias": (dim,),
        **{
            f"norm{i}.{n}": (dim,)
            for i in range(1, 3 + looks)
            for n in ("weight", "bias")
        },
    }
