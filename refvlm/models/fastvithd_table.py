"""FastViTHD as a table, without running it: names, shapes, parameters, FLOPs."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import NamedTuple

from ..blocks.convolutional.conditional_position import conditional_position_shapes
from ..blocks.convolutional.large_kernel import patch_embed_shapes
from ..blocks.convolutional.map_attention import attention_block_shapes
from ..blocks.convolutional.mobileone import mobileone_shapes
from ..blocks.convolutional.repmixer import repmixer_block_shapes
from ..blocks.training_mode import is_statistic
from .fastvithd_config import FastViTHDConfig


def expected_shapes(config: FastViTHDConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the tower by name, in the order in which they are used.

    In the form that `config.inference_mode` says.
    """
    return {
        f"{part}.{name}": shape
        for part, shapes in _parts(config)
        for name, shape in shapes.items()
    }


def _parts(config):
    """The name of each part, and the shapes of its tensors by their names in it."""
    return itertools.chain(_stem(config), _stages(config), _final_conv(config))


def _stem(config):
    dim, folded = config.embed_dims[0], config.inference_mode
    scale = config.stem_use_scale_branch
    yield "stem.0", mobileone_shapes(3, dim, 3, 2, 1, scale, folded=folded)
    yield "stem.1", mobileone_shapes(dim, dim, 3, 2, dim, scale, folded=folded)
    yield "stem.2", mobileone_shapes(dim, dim, 1, 1, 1, scale, folded=folded)


def _stages(config):
    before, folded = config.embed_dims[0], config.inference_mode
    for stage, dim in enumerate(config.embed_dims):
        name, hidden = f"stages.{stage}", config.hidden(stage)
        if config.halves(stage):
            yield (
                f"{name}.downsample",
                patch_embed_shapes(before, dim, config.down_patch_size, folded),
            )
        if config.pos_embs[stage]:
            yield f"{name}.pos_emb", conditional_position_shapes(dim, folded=folded)
        if config.token_mixers[stage] == "repmixer":
            kernel = config.repmixer_kernel_size
            block = repmixer_block_shapes(dim, hidden, kernel, folded)
        else:
            block = attention_block_shapes(dim, hidden)
        for i in range(config.layers[stage]):
            yield f"{name}.blocks.{i}", block
        before = dim


def _final_conv(config):
    dim, folded = config.embed_dims[-1], config.inference_mode
    yield (
        "final_conv",
        mobileone_shapes(dim, config.width, 3, 1, dim, squeeze=True, folded=folded),
    )


class Row(NamedTuple):
    """One line of the table; the shape is (channels, height, width) of what comes out.

    FLOPs count a multiplication and an addition as two, in matrix products and
    convolutions; parameters leave out the statistics of the normalisations.
    """

    name: str
    shape: tuple[int, int, int]
    parameters: int
    flops: int


def trace_shapes(config: FastViTHDConfig, height: int, width: int) -> list[Row]:
    """One row for the stem, for each stage, and for the final convolution."""
    return _summed(_rows(config, height, width), _stage_of)


def trace_pieces(config: FastViTHDConfig, height: int, width: int) -> list[Row]:
    """One row for each block, for a picture of height x width at inference."""
    return _summed(_rows(config, height, width), _piece_of)


def _stage_of(part):
    """stages.3.blocks.0 -> stages.3, stem.0 -> stem, final_conv -> final_conv."""
    first, *rest = part.split(".")
    return f"{first}.{rest[0]}" if first == "stages" else first


def _piece_of(part):
    """stages.3.blocks.0 -> stages.3.blocks.0, stem.0 -> stem."""
    return "stem" if part.startswith("stem.") else part


def _summed(rows, name_of):
    """One row for all neighbours whose parts have one name."""
    sums = []
    for name, group in itertools.groupby(rows, lambda row: name_of(row.name)):
        parts = list(group)
        parameters = sum(part.parameters for part in parts)
        flops = sum(part.flops for part in parts)
        sums.append(Row(name, parts[-1].shape, parameters, flops))
    return sums


def _rows(config, height, width):
    """One row for each block, and one for each convolution of the stem."""
    rows = []
    for part, shapes in _parts(dataclasses.replace(config, inference_mode=True)):
        stride = _stride(part, config)
        height, width = -(-height // stride), -(-width // stride)
        shape = (_channels(part, config), height, width)
        parameters = sum(math.prod(s) for n, s in shapes.items() if not is_statistic(n))
        rows.append(Row(part, shape, parameters, _flops(shapes, shape)))
    return rows


def _stride(part, config):
    """stem.0 and stem.1 halve the picture, and so does a patch embedding."""
    if part.endswith(".downsample"):
        return config.down_stride
    return 2 if part in ("stem.0", "stem.1") else 1


def _channels(part, config):
    if part == "final_conv":
        return config.width
    return config.embed_dims[int(part.split(".")[1]) if part[:6] == "stages" else 0]


def _flops(tensors, shape):
    """Each weight is used once at every pixel, except in a squeeze: once."""
    channels, height, width = shape
    flops = 0
    for name, size in tensors.items():
        if len(size) in (2, 4):
            places = 1 if name.startswith("se.") else height * width
            flops += 2 * math.prod(size) * places
    if "token_mixer.qkv.weight" in tensors:  # scores, and averages of values
        flops += 2 * 2 * (height * width) ** 2 * channels
    return flops
