r"""BLIP's text model: BERT, each of whose layers can look at a picture.

    x = LayerNorm(E[ids] + P[positions])
    x = bert_attention(x)             to itself, causal where it writes  \
    x = bert_attention(x, picture)    where there is a picture            }  12 times
    x = bert_feed_forward(x)                                             /
    where it writes: LayerNorm(GELU(W x + b)), and a score for each row of E

Without a picture it reads a text, with one it judges whether the two belong together,
and with causality it writes what it sees: three uses of almost the same weights. Names
are those of Hugging Face's BlipTextModel. Source: [Cortes] 5.3; [Li2022].
Oracle: transformers.BlipTextModel, BlipTextLMHeadModel.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..blocks.bert import (
    attention_shapes,
    bert_attention,
    bert_feed_forward,
    ending_shapes,
    feed_forward_shapes,
    keys_and_values,
)
from ..blocks.kv_cache import (
    KeysAndValues,
    KVCache,
    LookingCache,
    PictureMemory,
    remember,
)
from ..blocks.transformer import layer_norm, linear
from ..checkpoint import Weights
from ..shapes import shapes
from .blip_config import BlipTextConfig
from .causal import Packing, check_context, check_last, places

WORDS = "embeddings.word_embeddings.weight"
PLACES = "embeddings.position_embeddings.weight"


def text_shapes(config: BlipTextConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the text model by name, without the head that writes."""
    width, hidden = config.hidden_size, config.intermediate_size
    looks = attention_shapes(width, config.encoder_hidden_size)
    block = {
        **{f"attention.{n}": s for n, s in attention_shapes(width, width).items()},
        **{f"crossattention.{n}": s for n, s in looks.items()},
        **feed_forward_shapes(width, hidden),
    }
    return {
        WORDS: (config.vocab_size, width),
        PLACES: (config.max_position_embeddings, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
        **{
            f"encoder.layer.{i}.{name}": shape
            for i in range(config.num_hidden_layers)
            for name, shape in block.items()
        },
    }


def head_shapes(config: BlipTextConfig) -> dict[str, tuple[int, ...]]:
    """The head that writes; its matrix is the table of words."""
    width = config.hidden_size
    return {"bias": (config.vocab_size,), **ending_shapes("transform", width, width)}


def picture_memory(
    picture,
    weights: Weights,
    config: BlipTextConfig,
    cache: LookingCache | None = None,
) -> PictureMemory:
    """The picture's keys and values, in each layer: made once, asked by every token.

    picture (b, m, d_v) is what the tower hands on; None where no layer is to look.
    """

    def look(i):
        if picture is None:
            return None
        scope = weights.scope(f"encoder.layer.{i}.crossattention.self")
        return keys_and_values(picture, scope, config.num_attention_heads)

    return remember(look, config.num_hidden_layers, cache)


def new_cache(config: BlipTextConfig, batch: int, capacity: int, dtype=np.float32):
    """An empty cache for `capacity` tokens; more than the context is refused."""
    check_context(config, capacity)
    heads = config.num_attention_heads
    head_dim = config.hidden_size // heads
    shape = config.num_hidden_layers, batch, heads, capacity, head_dim
    return LookingCache(*shape, dtype)


@shapes(embeddings="b t h", attention_mask="b k of anything", returns="b n h")
def blip_text(
    embeddings,
    weights: Weights,
    config: BlipTextConfig,
    attention_mask=None,
    cache: KVCache | None = None,
    memory: PictureMemory | None = None,
    causal: bool = False,
    last: int | None = None,
    watch: list[np.ndarray] | None = None,
    packing: Packing | None = None,
):
    """Words' embeddings, before their places are added, to what each has become.

    `memory` is the picture, if there is one: see `picture_memory`. With `causal` no
    token sees those behind it, and a cache keeps those before it; `last` tokens are
    handed on, all unless said. `watch` collects where each looked in the picture.
    """
    tokens = embeddings.shape[1]
    check_last("blip", last, tokens)
    positions, mask = places(tokens, cache, attention_mask, packing)
    check_context(config, int(positions.max(initial=-1)) + 1)
    if not causal and attention_mask is not None:
        mask = attention_mask.astype(bool)[:, None, None, :]
    table = weights[PLACES]
    hidden = layer_norm(
        embeddings + ops.embedding(positions, table),
        weights.scope("embeddings.LayerNorm"),
        config.layer_norm_eps,
    )
    for i in range(config.num_hidden_layers):
        hidden = text_layer(
            hidden,
            weights.scope(f"encoder.layer.{i}"),
            config,
            mask,
            is_causal=causal and mask is None,
            keep=None if cache is None else (cache, i),
            picture=None if memory is None else memory[i],
            last=last if i == config.num_hidden_layers - 1 else None,
            watch=watch,
        )
    if cache is not None:
        cache.advance(tokens)
    return hidden


def text_layer(
    hidden,
    weights,
    config,
    mask,
    is_causal=False,
    keep=None,
    picture=None,
    last=None,
    watch=None,
):
    """Read the text, look at the picture, think; tokens meet in the first part only, so
    the `last` ones can go on without the others."""
    heads, eps = config.num_attention_heads, config.layer_norm_eps
    reads = weights.scope("attention")
    known = keys_and_values(hidden, reads.scope("self"), heads)
    if keep is not None:
        cache, layer = keep
        known = KeysAndValues(*cache.store(layer, *known))
    hidden = bert_attention(
        hidden,
        reads,
        heads,
        eps,
        attn_mask=mask,
        is_causal=is_causal,
        known=known,
    )
    if last is not None:
        hidden = hidden[:, -last:]
    if picture is not None:
        looks = weights.scope("crossattention")
        hidden = bert_attention(hidden, looks, heads, eps, known=picture, watch=watch)
    return bert_feed_forward(
        hidden, weights.scope("intermediate"), weights.scope("output"), eps
    )


def writer(
    embeddings,
    weights: Weights,
    config: BlipTextConfig,
    attention_mask=None,
    cache: LookingCache | None = None,
    packing: Packing | None = None,
    watch: list[np.ndarray] | None = None,
    last: int | None = None,
    picture=None,
):
    r"""The text model as it writes, up to its last matrix, the table of words:
    $\operatorname{LN}(\operatorname{GELU}(W h + b))$ of its causal hidden states.

    picture (b, m, d_v), one for each row; with a cache it is looked at with the first
    tokens only. `watch` collects where each word looked; the other arguments are those
    of `qwen2.qwen2`. Weights: `bert.`, `cls.predictions.transform.`.

    Source: [Cortes] 4. Oracle: transformers.BlipTextLMHeadModel.
    """
    scope = weights.scope("bert")
    hidden = blip_text(
        embeddings,
        scope,
        config,
        attention_mask,
        cache,
        picture_memory(picture, scope, config, cache),
        causal=True,
        last=last,
        watch=watch,
        packing=packing,
    )
    head = weights.scope("cls.predictions.transform")
    bent = ops.gelu(linear(hidden, head.scope("dense")))
    return layer_norm(bent, head.scope("LayerNorm"), config.layer_norm_eps)
