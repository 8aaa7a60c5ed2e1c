r"""BLIP's vision tower: a ViT that norms before each sub-layer, and BLIP-2's, too.

    pixels (b, 3, s, s) --patches--> [class; patches] + positions        (b, 1 + p, d)
    x = x + MHA(LayerNorm(x))    \
    x = x + MLP(LayerNorm(x))    /  12 times, then a last LayerNorm

What it hands on is every token, since a text may look at any patch; the class token is
what stands for the whole picture. Queries, keys and values leave one matrix together,
`self_attn.qkv`. Source: [Cortes] 1.2, 3; [Li2022]. Oracle:
transformers.BlipVisionModel, Blip2VisionModel.
"""

from __future__ import annotations

from .. import ops
from ..blocks.attention_layers import merge_heads, split_heads
from ..blocks.transformer import feed_forward, layer_norm, linear
from ..checkpoint import Weights
from ..shapes import ShapeError, shapes
from .blip_config import BlipVisionConfig


def tower_shapes(config: BlipVisionConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the tower by name."""
    width, hidden, patch = (
        config.hidden_size,
        config.intermediate_size,
        config.patch_size,
    )

    def matrix(name, n_out, n_in):
        return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}

    def norm(name):
        return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

    block = {
        **matrix("self_attn.qkv", 3 * width, width),
        **matrix("self_attn.projection", width, width),
        **norm("layer_norm1"),
        **matrix("mlp.fc1", hidden, width),
        **matrix("mlp.fc2", width, hidden),
        **norm("layer_norm2"),
    }
    if not config.qkv_bias:
        del block["self_attn.qkv.bias"]
    return {
        "embeddings.class_embedding": (1, 1, width),
        "embeddings.position_embedding": (1, config.tokens, width),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.patch_embedding.bias": (width,),
        **{
            f"encoder.layers.{i}.{name}": shape
            for i in range(config.num_hidden_layers)
            for name, shape in block.items()
        },
        **norm("post_layernorm"),
    }


@shapes(pixels="b 3 h w", returns="b t d")
def blip_tower(
    pixels,
    weights: Weights,
    config: BlipVisionConfig,
    interpolate: bool = False,
    progress=None,
):
    """What the class token and every patch have become: (b, 1 + patches, hidden).

    A picture of another size than the tower's is refused, or, with `interpolate`, has
    its positions drawn from those that were learnt. `progress(done, layers)` is called
    after each layer.
    """
    hidden = patch_tokens(pixels, weights.scope("embeddings"), config, interpolate)
    layers = config.num_hidden_layers
    for i in range(layers):
        hidden = tower_block(hidden, weights.scope(f"encoder.layers.{i}"), config)
        if progress is not None:
            progress(i + 1, layers)
    return layer_norm(hidden, weights.scope("post_layernorm"), config.layer_norm_eps)


def patch_tokens(pixels, weights, config: BlipVisionConfig, interpolate=False):
    """A class token, then the patches row by row, each with its place added."""
    positions = weights["position_embedding"][0]
    size = pixels.shape[2:]
    if not interpolate:
        check_size(config, *size)
    elif size != (config.image_size, config.image_size):
        grid = tuple(pixels // config.patch_size for pixels in size)
        if 0 in grid:
            raise ShapeError(
                f"blip: pixels are {pixels.shape}, less than one patch of "
                f"{config.patch_size} x {config.patch_size}"
            )
        positions = ops.interpolate_positions(positions, grid, antialias=False)
    patches = ops.patch_embedding(
        pixels, weights["patch_embedding.weight"], weights["patch_embedding.bias"]
    )
    tokens = ops.prepend_tokens(patches, weights["class_embedding"][0])
    return ops.add_positions(tokens, positions)


def check_size(config: BlipVisionConfig, height: int, width: int) -> None:
    """Refuse a picture that there are no positions for."""
    side = config.image_size
    if (height, width) != (side, side):
        raise ShapeError(
            f"blip: the picture is {height} x {width}, but this tower sees {side} x "
            f"{side}: resize it, or let `size` in preprocessor_config.json be {side}"
        )


def tower_block(hidden, weights, config: BlipVisionConfig):
    """Pre-norm: x + MHA(LayerNorm(x)), and of that, x + MLP(LayerNorm(x))."""
    eps = config.layer_norm_eps
    normed = layer_norm(hidden, weights.scope("layer_norm1"), eps)
    hidden = hidden + fused_attention(
        normed, weights.scope("self_attn"), config.num_attention_heads
    )
    normed = layer_norm(hidden, weights.scope("layer_norm2"), eps)
    return hidden + feed_forward(normed, weights.scope("mlp"))


def fused_attention(x, weights, num_heads: int):
    """Self-attention whose queries, keys and values leave one matrix, one under the
    other."""
    together, width = linear(x, weights.scope("qkv")), x.shape[-1]
    queries, keys, values = (
        split_heads(together[..., start : start + width], num_heads)
        for start in (0, width, 2 * width)
    )
    attended = ops.scaled_dot_product_attention(queries, keys, values)
    return linear(merge_heads(attended), weights.scope("projection"))
