"""What the trained models attend to, head by head.

    vlm = refvlm.load(trained.directory())
    heads, places = looking.decoder_heads(vlm, picture, prompt, answer)

`vlm.attention` averages over layers and heads; a chapter about heads needs them apart.
"""

from __future__ import annotations

import numpy as np

from refvlm import ops
from refvlm.blocks.attention_layers import split_heads
from refvlm.blocks.transformer import layer_norm, linear, transformer_block
from refvlm.models import clip as clip_model
from refvlm.models import fastvlm, qwen2


def decoder_heads(vlm, picture, prompt: str, answer) -> tuple[np.ndarray, np.ndarray]:
    """What every head of the decoder gave to each token before an answer.

    The weights are (layers, heads, ids of the answer, all tokens), each row at the
    position from which that id was read; the second array, of booleans, says which of
    the tokens are the picture's.
    """
    pixels = vlm.preprocessor(picture)[None]
    ids = np.append(vlm.prompt_ids(prompt), np.array([answer], np.int64), 1)
    seen = fastvlm.encode_image(pixels, vlm.weights, vlm.config)
    ids, _ = fastvlm.make_room(ids, seen.shape[1])
    watch: list[np.ndarray] = []
    qwen2.qwen2(
        fastvlm.embed(ids, seen, vlm.weights, vlm.config),
        vlm.weights.scope(fastvlm.DECODER),
        vlm.config.text,
        watch=watch,
    )
    heads = np.concatenate(watch)[:, :, -len(answer) - 1 : -1]
    return heads, fastvlm.image_places(ids, vlm.config)[0]


def clip_heads(clip, picture) -> np.ndarray:
    """What every head of CLIP's looking tower gave to what, (layers, heads, t, t).

    Token 0 is the class token; the patches follow, row by row.
    """
    config = clip.config.vision
    weights = clip.weights.scope(clip_model.VISION)
    pixels = clip.preprocessor(picture)[None]
    tokens = clip_model.patch_tokens(pixels, weights.scope("embeddings"), config)
    tokens = layer_norm(tokens, weights.scope("pre_layrnorm"), config.layer_norm_eps)
    return _heads(tokens, weights.scope("encoder"), config)


def clip_text_heads(clip, words: str) -> np.ndarray:
    """What every head of CLIP's reading tower gave to what, (layers, heads, t, t),
    over `clip.token_ids(words)`: start, text, end."""
    weights = clip.weights.scope(clip_model.TEXT)
    ids = np.array([clip.token_ids(words)])
    table = weights["embeddings.token_embedding.weight"]
    places = weights["embeddings.position_embedding.weight"][: ids.shape[1]]
    tokens = ops.embedding(ids, table) + places
    encoder, config = weights.scope("encoder"), clip.config.text
    return _heads(tokens, encoder, config, is_causal=True)


def _heads(tokens, encoder, config, is_causal=False):
    """The weights of every block of an encoder, which itself keeps none."""
    heads, layers = config.num_attention_heads, []
    for i in range(config.num_hidden_layers):
        layer = encoder.scope(f"layers.{i}")
        normed = layer_norm(tokens, layer.scope("layer_norm1"), config.layer_norm_eps)
        queries, keys = (
            split_heads(linear(normed, layer.scope(f"self_attn.{name}_proj")), heads)
            for name in "qk"
        )
        layers.append(ops.attention_weights(queries, keys, is_causal=is_causal)[0])
        tokens = transformer_block(
            tokens,
            layer,
            heads,
            is_causal=is_causal,
            activation=clip_model.ACTIVATIONS[config.hidden_act],
            eps=config.layer_norm_eps,
        )
    return np.stack(layers)
