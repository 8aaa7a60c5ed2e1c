r"""The textbook model: a ViT looks, and every layer of a small decoder looks at it.

    pixels (b, 3, 224, 224) --ViT-S/16--> (b, 1 + 196, 384) --W_p--> Z_v (b, 196, 512)
    h = E[ids] + P[positions]
    h = LN(h + self(h))    h = LN(h + cross(h, Z_v))    h = LN(h + FFN(h))    8 times
    logits = E h + b

It is the model of a textbook's chapter on "FastVLM", which FastVLM is not: nobody has
published one, so the names of its weights, its `model_type` "textbook_vlm" and its
config.json are ours. The tower's names are those of the family it is of; a decoder
layer's are torch.nn.TransformerDecoderLayer's. Source: [Cortes] 7. Oracle: the same,
composed of PyTorch's own layers.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..blocks import tables
from ..blocks.fusion.decoder_layers import (
    cross_decoder_layer,
    cross_decoder_layer_shapes,
    look,
)
from ..blocks.kv_cache import LookingCache, PictureMemory, remember
from ..blocks.transformer import layer_norm, linear
from ..checkpoint import Weights
from ..shapes import ShapeError, shapes
from .causal import Packing, check_context, check_last, places
from .decoders import Decoder
from .fastvithd import Progress
from .textbook_config import SELECTIONS, TextbookConfig, TextbookDecoderConfig

TOWER, PROJECTION, DECODER = "vision_model", "projection", "decoder"
EMBEDDING = f"{DECODER}.token_embedding.weight"
HEAD, HEAD_BIAS = "lm_head.weight", "lm_head.bias"


def expected_shapes(config: TextbookConfig, tied: bool) -> dict[str, tuple[int, ...]]:
    """Every tensor by name; a tied head is the embedding and has its bias only."""
    width, vocabulary = config.text.hidden_size, config.text.vocab_size
    tower = config.family.shapes(config.vision)
    expected = {
        **{f"{TOWER}.{name}": shape for name, shape in tower.items()},
        f"{PROJECTION}.weight": (width, config.vision.hidden_size),
        f"{PROJECTION}.bias": (width,),
        **{f"{DECODER}.{n}": s for n, s in decoder_shapes(config.text).items()},
        HEAD_BIAS: (vocabulary,),
    }
    return expected if tied else {**expected, HEAD: (vocabulary, width)}


def decoder_shapes(config: TextbookDecoderConfig) -> dict[str, tuple[int, ...]]:
    """The decoder's tensors, without its scope and its head."""
    width = config.hidden_size
    layer = cross_decoder_layer_shapes(width, config.intermediate_size)
    blind = cross_decoder_layer_shapes(width, config.intermediate_size, looks=False)
    last = {"norm.weight": (width,), "norm.bias": (width,)}
    return {
        "token_embedding.weight": (config.vocab_size, width),
        "position_embedding.weight": (config.max_position_embeddings, width),
        **{
            f"layers.{i}.{name}": shape
            for i in range(config.num_hidden_layers)
            for name, shape in (layer if config.looks(i) else blind).items()
        },
        **(last if config.norm_first else {}),
    }


def textbook(
    pixel_values,
    input_ids,
    weights: Weights,
    config: TextbookConfig,
    attention_mask=None,
):
    """Pictures and ids to logits: (b, t, vocabulary) for every position.

    pixel_values (b, 3, s, s), one for each row of input_ids (b, t), which has no place
    for it: the picture is no part of the sequence. attention_mask (b, t).
    """
    seen = encode_image(pixel_values, weights, config)
    words = tables.look_up(input_ids, weights, EMBEDDING)
    hidden = decoder(
        words, weights.scope(DECODER), config.text, attention_mask, picture=seen
    )
    return head(hidden, weights)


def encode_image(
    pixel_values,
    weights: Weights,
    config: TextbookConfig,
    progress: Progress | None = None,
):
    """Pictures to what the decoder looks at: (b, 3, s, s) -> (b, patches, hidden)."""
    layer = config.vision_feature_layer
    tower = weights.scope(TOWER)
    seen = config.family.look(pixel_values, tower, config.vision, layer)
    if progress is not None:
        progress(1, 1)
    return project(seen, weights, config)


def project(features, weights: Weights, config: TextbookConfig):
    r"""The chosen tokens of a tower, in the decoder's width:
    $Z_v = H_v W_p^\top + b_p$.

    features (b, 1 + patches, tower's width), a class token before the patches. What the
    source leaves out: its tower is 384 wide, its decoder 512.
    """
    chosen = features[:, SELECTIONS[config.vision_feature_select_strategy]]
    return linear(chosen, weights.scope(PROJECTION))


def image_grid(config: TextbookConfig, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the tokens that the decoder looks at."""
    side, patch = config.vision.image_size, config.vision.patch_size
    if (height, width) != (side, side):
        raise ShapeError(
            f"textbook: the picture is {height} x {width}, but this tower sees "
            f"{side} x {side}: vlm.preprocessor(picture) brings it to that size"
        )
    rows = side // patch
    tokens = 1 + rows * rows
    chosen = len(range(tokens)[SELECTIONS[config.vision_feature_select_strategy]])
    return (rows, rows) if chosen == rows * rows else (1, chosen)


def new_cache(
    config: TextbookDecoderConfig, batch: int, capacity: int, dtype=np.float32
):
    """An empty cache for `capacity` tokens; more than the context is refused."""
    check_context(config, capacity)
    heads = config.num_attention_heads
    head_dim = config.hidden_size // heads
    shape = config.num_hidden_layers, batch, heads, capacity, head_dim
    return LookingCache(*shape, dtype)


@shapes(embeddings="b t h", attention_mask="b k of anything", returns="b n h")
def decoder(
    embeddings,
    weights: Weights,
    config: TextbookDecoderConfig,
    attention_mask=None,
    cache: LookingCache | None = None,
    packing: Packing | None = None,
    watch: list[np.ndarray] | None = None,
    last: int | None = None,
    picture=None,
):
    """Token embeddings to final hidden states: positions, and layers that look.

    embeddings (b, t, hidden), before positions are added to them; picture (b, m,
    hidden), one for each row, read with the first token only where there is a cache.
    `watch` collects where each layer looked, (b, heads, t, m). The other arguments are
    those of `qwen2.qwen2`.
    """
    tokens = embeddings.shape[1]
    check_last("textbook", last, tokens)
    positions, mask = places(tokens, cache, attention_mask, packing)
    check_context(config, int(positions.max(initial=-1)) + 1)
    hidden = embeddings + ops.embedding(positions, weights["position_embedding.weight"])
    memory = picture_memory(picture, weights, config, cache)
    for i in range(config.num_hidden_layers):
        hidden = cross_decoder_layer(
            hidden,
            memory[i],
            weights.scope(f"layers.{i}"),
            config.num_attention_heads,
            attn_mask=mask,
            is_causal=mask is None,
            norm_first=config.norm_first,
            eps=config.layer_norm_eps,
            keep=None if cache is None else (cache, i),
            watch=watch,
            last=last if i == config.num_hidden_layers - 1 else None,
        )
    if cache is not None:
        cache.advance(tokens)
    if config.norm_first:
        hidden = layer_norm(hidden, weights.scope("norm"), config.layer_norm_eps)
    return hidden


def picture_memory(
    picture,
    weights: Weights,
    config: TextbookDecoderConfig,
    cache: LookingCache | None = None,
) -> PictureMemory:
    """The picture's keys and values, in each layer that looks, None in the others."""

    def look_in(i):
        if not config.looks(i):
            return None
        return look(picture, weights.scope(f"layers.{i}"), config.num_attention_heads)

    return remember(look_in, config.num_hidden_layers, cache)


SPEAKER = Decoder(
    config=TextbookDecoderConfig,
    forward=decoder,
    shapes=decoder_shapes,
    new_cache=new_cache,
    scope=DECODER,
    embedding=EMBEDDING,
    check_context=check_context,
    head=HEAD,
    head_bias=HEAD_BIAS,
)


def head(hidden, weights: Weights):
    r"""Final hidden states to logits: $E h + b$, or $W h + b$ by a head of its own."""
    return SPEAKER.logits(hidden, weights)
