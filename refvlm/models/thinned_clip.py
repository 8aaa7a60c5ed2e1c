r"""CLIP's tower with fewer tokens after each layer.

    pixels --patches--> 1 + n tokens --layer 1--> 1 + n_1 --layer 2--> 1 + n_2 ...
        --> class token --W_v--> v (b, d)

No weight is changed and none is added: the tower was trained on all of its patches.
Source: [DeepDive] token efficiency; [Bolya2023], ToMe; [Liang2022a], EViT. Oracle:
their algorithms in torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import ops
from ..arguments import is_whole
from ..blocks.token_reduction.layers import Thin, thinning_block
from ..blocks.transformer import layer_norm
from ..checkpoint import Weights
from ..shapes import ShapeError
from .clip import ACTIVATIONS, VISION, VISUAL_PROJECTION, patch_tokens
from .clip_config import CLIPConfig


def image_features(
    pixels,
    weights: Weights,
    config: CLIPConfig,
    keep: Sequence[int],
    thin: Thin,
    proportional: bool = True,
):
    """Pictures as points of the shared space, (b, 3, s, s) -> (b, d), with `keep[i]`
    tokens left beside the class token after layer i.

    With all of them left it is `clip.image_features`.
    """
    layers = config.vision.num_hidden_layers
    kept = [config.vision.patches, *keep]
    if len(keep) != layers or not all(map(is_whole, keep)):
        raise ValueError(
            f"image_features: keep is {list(keep)}, but needs a whole number of tokens "
            f"for each of {layers} layers"
        )
    if sorted(kept, reverse=True) != kept or kept[-1] < 1:
        raise ShapeError(
            f"image_features: keep is {list(keep)}, but of {kept[0]} patches no layer "
            "makes more, and one is left at least"
        )
    tower, vision = weights.scope(VISION), config.vision
    tokens = patch_tokens(pixels, tower.scope("embeddings"), vision)
    tokens = layer_norm(tokens, tower.scope("pre_layrnorm"), vision.layer_norm_eps)
    sizes = None
    for i, left in enumerate(keep):
        tokens, sizes = thinning_block(
            tokens,
            sizes,
            tower.scope(f"encoder.layers.{i}"),
            vision.num_attention_heads,
            left,
            thin,
            proportional,
            ACTIVATIONS[vision.hidden_act],
            vision.layer_norm_eps,
        )
    seen = layer_norm(tokens, tower.scope("post_layernorm"), vision.layer_norm_eps)
    return ops.linear(seen[:, 0], weights[VISUAL_PROJECTION])
