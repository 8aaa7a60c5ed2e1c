r"""CLIP: one tower looks, one tower reads, and both answer in the same space.

    pixels (b, 3, s, s) --patches, transformer--> class token --W_v--> v (b, d)
    ids (n, t) --embedding, causal transformer--> end token --W_t--> t (n, d)

$$\text{logits}_{ij} = e^{\theta}\,\cos(v_i, t_j)$$

Names of weights are those of Hugging Face's CLIPModel, its spelling `pre_layrnorm`
included. Sources: [Foundations] CLIP; Radford et al., Learning Transferable Visual
Models From Natural Language Supervision. Oracle: transformers.CLIPModel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from .. import ops
from ..arguments import is_whole
from ..blocks.transformer import layer_norm, transformer_block, transformer_block_shapes
from ..checkpoint import Weights
from ..shapes import ShapeError, shapes
from .clip_config import CLIPConfig, TextConfig, TowerConfig, VisionConfig

VISION, TEXT = "vision_model", "text_model"
VISUAL_PROJECTION, TEXT_PROJECTION = (
    "visual_projection.weight",
    "text_projection.weight",
)
LOGIT_SCALE = "logit_scale"

ACTIVATIONS: dict[str, Callable] = {
    "quick_gelu": partial(ops.swish, beta=1.702),
    "gelu": ops.gelu,
}


def expected_shapes(config: CLIPConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor by name: what loading checks."""
    text, shared = config.text, config.projection_dim
    looks, reads = config.vision.hidden_size, text.hidden_size
    places = text.max_position_embeddings
    tower = vision_shapes(config.vision)
    towers = {
        **{f"{VISION}.{name}": shape for name, shape in tower.items()},
        f"{TEXT}.embeddings.token_embedding.weight": (text.vocab_size, reads),
        f"{TEXT}.embeddings.position_embedding.weight": (places, reads),
        **_encoder_shapes(f"{TEXT}.encoder.layers", text),
        **_norm_shapes(f"{TEXT}.final_layer_norm", reads),
    }
    heads = {VISUAL_PROJECTION: (shared, looks), TEXT_PROJECTION: (shared, reads)}
    return {**towers, **heads, LOGIT_SCALE: ()}


def vision_shapes(config: VisionConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the tower that looks, which other models lend: without
    `vision_model.`."""
    width, patch = config.hidden_size, config.patch_size
    return {
        "embeddings.class_embedding": (width,),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.position_embedding.weight": (config.patches + 1, width),
        **_norm_shapes("pre_layrnorm", width),
        **_encoder_shapes("encoder.layers", config),
        **_norm_shapes("post_layernorm", width),
    }


def _norm_shapes(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _encoder_shapes(name, tower):
    block = transformer_block_shapes(tower.hidden_size, tower.intermediate_size)
    return {
        f"{name}.{i}.{tensor}": shape
        for i in range(tower.num_hidden_layers)
        for tensor, shape in block.items()
    }


def clip(pixels, input_ids, weights: Weights, config: CLIPConfig, attention_mask=None):
    """(logits per image (b, n), logits per text (n, b)): every picture with every text.

    pixels (b, 3, s, s), input_ids (n, t). A softmax over a row of the first says which
    text a picture is likely to go with; of the second, which picture a text.
    """
    per_image = similarity_logits(
        image_features(pixels, weights, config),
        text_features(input_ids, weights, config, attention_mask),
        weights[LOGIT_SCALE],
    )
    return per_image, per_image.swapaxes(0, 1)


@shapes(images="b d", texts="n d", log_scale="", returns="b n")
def similarity_logits(images, texts, log_scale):
    r"""Scaled cosines, $e^\theta \cos(v_i, t_j)$, of features of any length.

    The inverse temperature $1/\tau = e^\theta$ is learnt by its logarithm: it stays
    positive whatever the optimiser does, and equal steps change it by equal factors.

    Source: [Cortes] 6.1, [Foundations] InfoNCE. Oracle: transformers.CLIPModel.
    """
    pictures, words = ops.normalize(images, dim=-1), ops.normalize(texts, dim=-1)
    return (pictures * ops.exp(log_scale)) @ words.swapaxes(0, 1)


def image_features(pixels, weights: Weights, config: CLIPConfig):
    """Pictures as points of the shared space: (b, 3, s, s) -> (b, d)."""
    seen = vision_tower(pixels, weights.scope(VISION), config.vision)
    return ops.linear(seen[:, 0], weights[VISUAL_PROJECTION])


@shapes(pixels="b 3 h w", returns="b t d")
def vision_tower(pixels, weights, config: VisionConfig):
    """What the class token and every patch have become, (b, 1 + patches, hidden).

    Hugging Face norms the class token alone; here each token is, since the norm
    treats tokens apart.
    """
    tokens = vision_hidden(pixels, weights, config, layer=-1)
    return layer_norm(tokens, weights.scope("post_layernorm"), config.layer_norm_eps)


@shapes(pixels="b 3 h w", returns="b t d")
def vision_hidden(pixels, weights, config: VisionConfig, layer: int = -2):
    r"""The tokens between two blocks, $x_0, \dots, x_L$, without the tower's last norm:
    (b, 1 + patches, hidden).

    Layer 0 is what goes into the first block, L, or -1, what comes out of the last. The
    default is what LLaVA reads: the last block was trained for the class token alone.

    Oracle: transformers' CLIPVisionModel(output_hidden_states=True).hidden_states.
    """
    return vision_states(pixels, weights, config, [layer])[0]


def vision_states(
    pixels,
    weights,
    config: VisionConfig,
    layers: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> list:
    """What `vision_hidden` gives of each of `layers`, in one pass, which goes no deeper
    than the deepest of them. `progress(done, blocks)` is called after each block."""
    depth = config.num_hidden_layers
    wanted = [blocks_before("vision_hidden", layer, depth) for layer in layers]
    tokens = patch_tokens(pixels, weights.scope("embeddings"), config)
    tokens = layer_norm(tokens, weights.scope("pre_layrnorm"), config.layer_norm_eps)
    states = {0: tokens}
    for i in range(max(wanted)):
        tokens = block(tokens, weights.scope(f"encoder.layers.{i}"), config)
        if i + 1 in wanted:
            states[i + 1] = tokens
        if progress is not None:
            progress(i + 1, max(wanted))
    return [states[place] for place in wanted]


def blocks_before(function: str, layer: int, blocks: int) -> int:
    """How many of `blocks` stand before hidden state `layer`, which counts from the end
    where it is negative.

    >>> blocks_before("vision_hidden", -2, 12)
    11
    """
    if not is_whole(layer) or not -blocks - 1 <= layer <= blocks:
        raise ValueError(
            f"{function}: layer is {layer!r:.60}, but a tower of {blocks} blocks has "
            f"the hidden states 0 to {blocks}, or {-blocks - 1} to -1 from the end"
        )
    return layer % (blocks + 1)


def patch_tokens(pixels, weights, config: VisionConfig):
    """A class token, then the patches row by row, each with its place added.

    One linear map of every patch is a convolution whose stride is its width: so the
    weight is stored.
    """
    side = config.image_size
    if pixels.shape[2:] != (side, side):
        raise ShapeError(
            f"clip: pixels are {pixels.shape}, but this tower sees {side} x {side}"
        )
    patches = ops.patch_embedding(pixels, weights["patch_embedding.weight"])
    tokens = ops.prepend_tokens(patches, weights["class_embedding"][None])
    return ops.add_positions(tokens, weights["position_embedding.weight"])


@shapes(input_ids="n t of integers", attention_mask="n t of anything", returns="n d")
def text_features(input_ids, weights, config: CLIPConfig, attention_mask=None):
    """Texts as points of the shared space: (n, t) -> (n, d).

    Each row holds an end token, and may be padded behind it with anything: its token
    is the text's, and sees only what stands before. attention_mask (n, t) is True where
    a token counts.
    """
    read = text_tower(input_ids, weights.scope(TEXT), config.text, attention_mask)
    last = read[np.arange(len(input_ids)), end_positions(input_ids, config.text)]
    return ops.linear(last, weights[TEXT_PROJECTION])


def text_tower(input_ids, weights, config: TextConfig, attention_mask=None):
    """What every token has become, having seen those before it: (n, t, hidden)."""
    tokens = input_ids.shape[1]
    if tokens > config.max_position_embeddings:
        raise ShapeError(
            f"clip: a text of {tokens} tokens does not fit into this model's "
            f"{config.max_position_embeddings}: shorten it"
        )
    table = weights["embeddings.token_embedding.weight"]
    places = weights["embeddings.position_embedding.weight"][:tokens]
    hidden = ops.embedding(input_ids, table) + places
    mask = ops.causal_mask(tokens, tokens)
    if attention_mask is not None:
        mask = mask & attention_mask.astype(bool)[:, None, None, :]
    hidden = encoder(hidden, weights.scope("encoder"), config, mask)
    return layer_norm(hidden, weights.scope("final_layer_norm"), config.layer_norm_eps)


def end_positions(input_ids, config: TextConfig) -> np.ndarray:
    """Where each text ends: its first end token, (n,); or, in models that give none,
    its highest id. A row without an end is refused, where transformers takes its first
    token for one.

    >>> config = TextConfig(8, 8, 1, 1, eos_token_id=9)
    >>> end_positions(np.array([[1, 5, 9, 9], [1, 9, 0, 0]]), config)
    array([2, 1])
    """
    if config.ends_with_highest_id:
        return input_ids.argmax(axis=1)
    ends = input_ids == config.eos_token_id
    if not ends.any(axis=1).all():
        row = int(np.flatnonzero(~ends.any(axis=1))[0])
        raise ValueError(
            f"clip: row {row} of input_ids has no end token, id {config.eos_token_id}: "
            "append it to every text"
        )
    return ends.argmax(axis=1)


def padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Rows of ids, each continued by its last id, which ends it: (n, longest).

    Nothing before the end sees what follows it, and the first end counts, so any other
    padding would do as well.

    >>> padded([[1, 5, 9], [1, 9]])
    array([[1, 5, 9],
           [1, 9, 9]])
    """
    if not all(rows):
        raise ValueError(
            "clip: a text without a token, not even an end: the tokenizer's file must "
            "put a start and an end around every text"
        )
    longest = max(map(len, rows))
    return np.array([[*row, *[row[-1]] * (longest - len(row))] for row in rows])


def encoder(hidden, weights, config: TowerConfig, mask=None):
    """The blocks, one after the other."""
    for i in range(config.num_hidden_layers):
        hidden = block(hidden, weights.scope(f"layers.{i}"), config, mask)
    return hidden


def block(hidden, weights, config: TowerConfig, mask=None):
    """`transformer_block`, by the numbers of a tower."""
    return transformer_block(
        hidden,
        weights,
        config.num_attention_heads,
        mask,
        activation=ACTIVATIONS[config.hidden_act],
        eps=config.layer_norm_eps,
    )
