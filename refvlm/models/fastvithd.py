r"""FastViTHD: convolutions while the picture is large, attention once it is small.

    pixels (b, 3, 1024, 1024)
      stem         2 strided 3 x 3, one 1 x 1         96 x 256 x 256
      stages.0      2 RepMixer blocks                 96 x 256 x 256
      stages.1     halve, 12 RepMixer blocks         192 x 128 x 128
      stages.2     halve, 24 RepMixer blocks         384 x  64 x  64
      stages.3     halve, position, 4 attention      768 x  32 x  32
      stages.4     halve, position, 2 attention     1536 x  16 x  16
      final_conv   3 x 3, squeeze and excite        3072 x  16 x  16
    features (b, 256, 3072)

Names of weights are those of timm's `fastvit_mci3`. They come in two forms, with the
branches of training or folded; the same functions run both, since a branch without
weights is not there. Sources: [Kamath] vision encoder; Vasu et al., FastVLM. Oracle:
timm's `fastvit_mci3`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from .. import ops
from ..blocks.convolutional.conditional_position import (
    conditional_position,
    fold_conditional_position,
)
from ..blocks.convolutional.conv_norm import fold_conv_norm
from ..blocks.convolutional.large_kernel import fold_large_kernel, patch_embed
from ..blocks.convolutional.map_attention import attention_block
from ..blocks.convolutional.mobileone import fold_mobileone, mobileone_block
from ..blocks.convolutional.reparameterization import exchanged
from ..blocks.convolutional.repmixer import fold_repmixer, repmixer_block
from ..blocks.convolutional.stem import stem
from ..blocks.training_mode import Training
from ..checkpoint import Weights
from ..parallel import one_blas_thread
from ..shapes import shapes
from .fastvithd_config import FastViTHDConfig
from .fastvithd_table import expected_shapes, trace_pieces, trace_shapes

__all__ = [
    "FastViTHDConfig",
    "expected_shapes",
    "fastvithd",
    "fold",
    "pieces",
    "prepare",
    "stages",
    "trace_pieces",
    "trace_shapes",
]

Progress = Callable[[int, int], None]


@shapes(pixels="b 3 h w", returns="b n c")
def fastvithd(
    pixels: np.ndarray,
    weights: Weights,
    config: FastViTHDConfig,
    training: Training | None = None,
    progress: Progress | None = None,
):
    """Pictures to features: (b, 3, h, w) -> (b, h w / 64^2, 3072), in reading order.

    Pixels are in [0, 1]. With `training`, the normalisations use this batch's
    statistics and leave the new ones there. `progress(done, blocks)` is called after
    each block.
    """
    seen = pieces(pixels, weights, config, training)
    blocks = len(trace_pieces(config, *pixels.shape[2:])) if progress else 0
    with one_blas_thread:  # BLAS's own threads would wait in the way of our workers
        for done, (_, features) in enumerate(seen, 1):  # noqa: B007
            if progress is not None:
                progress(done, blocks)
    return ops.flatten_maps(features)


def pieces(
    pixels, weights, config: FastViTHDConfig, training: Training | None = None
) -> Iterator:
    """The tower block by block: yields (name, the map that comes out of it)."""
    x = stem(pixels, weights, training)
    yield "stem", x
    for stage, rates in enumerate(config.drop_rates()):
        here = f"stages.{stage}"
        if config.halves(stage):
            x = patch_embed(
                x,
                weights.scope(f"{here}.downsample"),
                config.down_stride,
                config.lkc_use_act,
                training,
            )
            yield f"{here}.downsample", x
        if config.pos_embs[stage]:
            x = conditional_position(x, weights.scope(f"{here}.pos_emb"))
            yield f"{here}.pos_emb", x
        block = BLOCKS[config.token_mixers[stage]]
        for i, rate in enumerate(rates):
            x = block(x, weights.scope(f"{here}.blocks.{i}"), rate, training)
            yield f"{here}.blocks.{i}", x
    last = mobileone_block(x, weights.scope("final_conv"), training=training)
    yield "final_conv", last


BLOCKS = {"repmixer": repmixer_block, "attention": attention_block}


def stages(pixels, weights, config: FastViTHDConfig) -> Iterator:
    """The tower stage by stage: yields (name, the map), as in the table above."""
    rows = trace_shapes(config, *pixels.shape[2:])
    ends = {_last_piece(row.name, config): row.name for row in rows}
    for name, features in pieces(pixels, weights, config):
        if name in ends:
            yield ends[name], features


def _last_piece(stage, config):
    if stage in ("stem", "final_conv"):
        return stage
    return f"{stage}.blocks.{config.layers[int(stage.split('.')[1])] - 1}"


def fold(weights, config: FastViTHDConfig, prefix: str = "") -> Weights:
    """The weights of inference from those of training: every sum of branches becomes
    one convolution, `reparam_conv`, and the outputs stay what they were.

    `prefix` says where the tower is among the weights; the others stay. Source:
    [Kamath] P.S. Oracle: timm.utils.reparameterize_model.
    """
    tower, folded = weights.scope(prefix), {}
    for piece, fold_branches in _foldable(config):
        branches = tower.scope(piece)
        if "reparam_conv.weight" not in branches:
            kernel, bias = fold_branches(branches)
            folded[f"{piece}.reparam_conv.weight"] = kernel
            folded[f"{piece}.reparam_conv.bias"] = bias
    names = expected_shapes(replace(config, inference_mode=True))
    gone = expected_shapes(replace(config, inference_mode=False)).keys() - names.keys()
    return exchanged(weights, prefix, gone, folded)


def _foldable(config):
    """(name, how to fold) of every piece that has branches in training."""
    for name in ("stem.0", "stem.1", "stem.2"):
        yield name, fold_mobileone
    for stage, depth in enumerate(config.layers):
        here = f"stages.{stage}"
        if config.halves(stage):
            yield f"{here}.downsample.proj.0", fold_large_kernel
            yield f"{here}.downsample.proj.1", fold_mobileone
        if config.pos_embs[stage]:
            yield f"{here}.pos_emb", fold_conditional_position
        if config.token_mixers[stage] == "repmixer":
            for i in range(depth):
                yield f"{here}.blocks.{i}.token_mixer", fold_repmixer
    yield "final_conv", fold_mobileone


def prepare(weights, config: FastViTHDConfig, prefix: str = "") -> Weights:
    """Weights for inference alone, with nothing left to normalise: `fold`, and the
    batch norms of the ConvFFNs, which published weights keep, folded too.
    """
    weights = fold(weights, config, prefix)
    tower, gone = weights.scope(prefix), set()
    folded: dict[str, np.ndarray] = {}
    for stage, depth in enumerate(config.layers):
        for i in range(depth):
            name = f"stages.{stage}.blocks.{i}.mlp.conv"
            kernel, bias = fold_conv_norm(tower.scope(name))
            folded |= {f"{name}.conv.weight": kernel, f"{name}.conv.bias": bias}
            gone |= {f"{name}.bn.{term}" for term in tower.scope(f"{name}.bn")}
    return exchanged(weights, prefix, gone, folded)
