"""The heads of the trained models, apart: what they add up to is what the models do."""

from __future__ import annotations

import numpy as np

import refvlm
from refvlm import scenes, text
from refvlm.blocks.attention_layers import merge_heads, split_heads
from refvlm.blocks.transformer import layer_norm, linear, self_attention
from refvlm.models import clip as clip_model
from refvlm_book import looking, trained

from ..spec import assert_close, law

PICTURE = scenes.draw(scenes.sample(np.random.default_rng(1), count=2))


@law
def test_decoder_heads_average_to_what_the_model_says_of_itself():
    """`VLM.attention` is the mean over all layers and heads."""
    vlm = refvlm.load(trained.directory())
    answer = [token for token, _ in vlm.describe_stream(PICTURE)][:-1]
    heads, places = looking.decoder_heads(vlm, PICTURE, text.DESCRIBE, answer)
    assert heads.shape[:3] == (3, 4, len(answer))
    assert_close(heads.sum(axis=-1), np.ones(heads.shape[:3], np.float32), 1e-5)
    mean = heads[..., places].mean(axis=(0, 1)).reshape(len(answer), 4, 4)
    assert_close(mean, vlm.attention(PICTURE, text.DESCRIBE, answer), 1e-5)


@law
def test_clip_heads_are_those_of_the_tower():
    """Times the values, the first layer's weights are its attention."""
    clip = refvlm.load(trained.directory("clip-tiny"))
    config = clip.config.vision
    heads = looking.clip_heads(clip, PICTURE)
    assert heads.shape == (3, 3, 65, 65)
    tower = clip.weights.scope(clip_model.VISION)
    pixels = clip.preprocessor(PICTURE)[None]
    tokens = clip_model.patch_tokens(pixels, tower.scope("embeddings"), config)
    tokens = layer_norm(tokens, tower.scope("pre_layrnorm"))
    layer = tower.scope("encoder.layers.0")
    normed, attention = layer_norm(tokens, layer.scope("layer_norm1")), "self_attn"
    values = split_heads(linear(normed, layer.scope(f"{attention}.v_proj")), 3)
    attended = linear(
        merge_heads(heads[None, 0] @ values), layer.scope(f"{attention}.out_proj")
    )
    assert_close(attended, self_attention(normed, layer.scope(attention), 3), 1e-5)


@law
def test_clip_text_heads_see_the_past_and_give_what_the_tower_reads():
    """Rows of the causal tower: nothing of the future; the last layer's weights, times
    the values, are the last attention, so the layers before it were right."""
    clip = refvlm.load(trained.directory("clip-tiny"))
    heads = looking.clip_text_heads(clip, "a small red circle")
    tokens = len(clip.token_ids("a small red circle"))
    assert heads.shape == (2, 3, tokens, tokens)
    assert (heads[..., ~np.tri(tokens, dtype=bool)] == 0).all()
    assert_close(heads.sum(axis=-1), np.ones((2, 3, tokens), np.float32), 1e-5)
    longer = looking.clip_text_heads(clip, "a small red circle left of a ring")
    past = tokens - 1  # without the end
    assert_close(longer[..., :past, :past], heads[..., :past, :past], 1e-5)
