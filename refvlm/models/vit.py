r"""The vision transformer: a picture is a sequence of patches, read as a text is.

    pixels (b, 3, H, W) --patches--> [class; patches] + positions        (b, 1 + n, d)
    x = x + MHA(LayerNorm(x))    \
    x = x + MLP(LayerNorm(x))    /  12 times, then a last LayerNorm
    logits = W z_0 + b

DeiT is the same network, taught otherwise: where it was distilled, a second token
stands before the patches, and a second head learnt what a teacher says of it.

Names of weights are those of the published checkpoints, without the `vit.` or `deit.`
that stands before them. Sources: [Cortes] 3.1, 7.2; [MicroVLM-V] 2; [Dosovitskiy2021],
ViT; [Touvron2021], DeiT. Oracle: transformers.ViTModel, DeiTModel; timm's
vision_transformer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from .. import ops
from ..blocks.transformer import (
    layer_norm,
    linear,
    transformer_block,
    transformer_block_shapes,
)
from ..checkpoint import Weights
from ..shapes import ShapeError, shapes
from .clip import ACTIVATIONS, blocks_before
from .vit_config import ViTConfig

# The block's names -> the published ones.
BLOCK = {
    "layer_norm1": "layernorm_before",
    "self_attn.q_proj": "attention.attention.query",
    "self_attn.k_proj": "attention.attention.key",
    "self_attn.v_proj": "attention.attention.value",
    "self_attn.out_proj": "attention.output.dense",
    "layer_norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
PATCHES = "embeddings.patch_embeddings.projection"
POSITIONS = "embeddings.position_embeddings"
CLASS_TOKEN, TEACHER_TOKEN = "embeddings.cls_token", "embeddings.distillation_token"


def expected_shapes(config: ViTConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor by name, without a head: what loading checks."""
    width, patch = config.hidden_size, config.patch_size
    block = transformer_block_shapes(width, config.intermediate_size)
    if not config.qkv_bias:
        for name in "qkv":
            del block[f"self_attn.{name}_proj.bias"]
    tokens = [CLASS_TOKEN, TEACHER_TOKEN][: config.prefix]
    return {
        **dict.fromkeys(tokens, (1, 1, width)),
        POSITIONS: (1, config.prefix + config.patches, width),
        f"{PATCHES}.weight": (width, 3, patch, patch),
        f"{PATCHES}.bias": (width,),
        **{
            f"encoder.layer.{i}.{published(name)}": shape
            for i in range(config.num_hidden_layers)
            for name, shape in block.items()
        },
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
    }


def published(name: str) -> str:
    """What the checkpoints call a tensor of a block.

    >>> published("self_attn.q_proj.weight")
    'attention.attention.query.weight'
    """
    part, _, kind = name.rpartition(".")
    return f"{BLOCK[part]}.{kind}"


@shapes(pixels="b 3 h w", returns="b t d")
def vit(
    pixels,
    weights: Weights,
    config: ViTConfig,
    interpolate: bool = False,
    antialias: bool = False,
):
    """What the class token and every patch have become: (b, prefix + patches, hidden).

    A picture of another size than those it learnt from is refused, or, with
    `interpolate`, has its positions drawn from the ones that were learnt: as
    transformers does, or with `antialias` as timm does.
    """
    tokens = vit_hidden(pixels, weights, config, -1, interpolate, antialias)
    return layer_norm(tokens, weights.scope("layernorm"), config.layer_norm_eps)


@shapes(pixels="b 3 h w", returns="b t d")
def vit_hidden(
    pixels,
    weights: Weights,
    config: ViTConfig,
    layer: int = -2,
    interpolate: bool = False,
    antialias: bool = False,
):
    r"""The tokens between two blocks, $x_0, \dots, x_L$, before the last norm.

    Layer 0 is what goes into the first block, L, or -1, what comes out of the last.

    Oracle: transformers' ViTModel(output_hidden_states=True).hidden_states.
    """
    blocks = blocks_before("vit_hidden", layer, config.num_hidden_layers)
    tokens = embed(pixels, weights.scope("embeddings"), config, interpolate, antialias)
    return next(islice(states(tokens, weights, config), blocks, None))


def states(tokens, weights, config: ViTConfig) -> Iterator:
    """The tokens that go into the first block, then those that come out of each."""
    yield tokens
    for i in range(config.num_hidden_layers):
        tokens = transformer_block(
            tokens,
            block_weights(weights.scope(f"encoder.layer.{i}")),
            config.num_attention_heads,
            activation=ACTIVATIONS[config.hidden_act],
            eps=config.layer_norm_eps,
        )
        yield tokens


def block_weights(weights: Weights) -> Weights:
    """A block of a checkpoint under the names that `transformer_block` knows."""
    tensors = {
        f"{name}.{kind}": weights.tensor(f"{there}.{kind}")
        for name, there in BLOCK.items()
        for kind in ("weight", "bias")
        if kind == "weight" or f"{there}.bias" in weights
    }
    return Weights.of_tensors(tensors, weights.origin)


def embed(pixels, weights, config: ViTConfig, interpolate=False, antialias=False):
    """The class token, then the patches row by row, each with its place added."""
    side, patch = config.image_size, config.patch_size
    *_, height, width = pixels.shape
    if (height, width) != (side, side) and not interpolate:
        raise ShapeError(
            f"vit: pixels are {pixels.shape}, but its positions were learnt on {side} "
            f"x {side}: resize the pictures, or let `size` in "
            f"preprocessor_config.json be {side}; from Python, interpolate=True draws "
            "positions for any size"
        )
    patches = ops.patch_embedding(
        pixels,
        weights["patch_embeddings.projection.weight"],
        weights["patch_embeddings.projection.bias"],
    )
    places, learnt = weights["position_embeddings"][0], (config.side, config.side)
    grid = height // patch, width // patch
    if grid != learnt:
        places = ops.interpolate_positions(
            places, grid, learnt, config.prefix, antialias
        )
    names = ["cls_token", "distillation_token"][: config.prefix]
    prefix = np.concatenate([weights[name][0] for name in names])
    return ops.add_positions(ops.prepend_tokens(patches, prefix), places)


def split_tokens(tokens, config: ViTConfig):
    """(prefix, patches): what stands for the picture, and what stands for its parts."""
    return tokens[:, : config.prefix], tokens[:, config.prefix :]


def pooled(tokens, weights):
    r"""What a ViTModel calls its pooler: $\tanh(W z_0 + b)$ of the class token."""
    return ops.tanh(linear(tokens[:, 0], weights.scope("pooler.dense")))
