r"""ResNet and ConvNeXt as rows of a table: what each stage puts out, and its cost.

A filter of $n$ weights that makes a map of $h \times w$ places costs $2nhw$ FLOPs.
Statistics of batch norms are no parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..blocks.training_mode import is_statistic
from ..models import convnext, fields, resnet, vision_models
from ..models.convnext import ConvNextConfig
from ..models.resnet import ResNetConfig
from .rows import Row, size_of

BUILDS: dict[str, Any] = {"resnet": ResNetConfig, "convnext": ConvNextConfig}


class DescribedBackbone(NamedTuple):
    """A configuration, and how many classes its head knows; 0 where there is none."""

    config: Any
    labels: int

    @classmethod
    def from_json(cls, document: Mapping) -> DescribedBackbone:
        """From a parsed config.json, whose `architectures` say if it has a head."""
        config = BUILDS[document["model_type"]].from_json(document)
        named = vision_models.labels_of(document)
        kinds = document.get("architectures")
        if kinds is not None and "ForImageClassification" not in str(kinds):
            return cls(config, 0)
        count = fields.whole(document, "num_labels", 2) if named is None else len(named)
        return cls(config, count)


def resnet_rows(
    described: DescribedBackbone, height: int, width: int, prompt_tokens: int = 0
) -> list[Row]:
    """The rows of a ResNet for one picture, from pixels to logits."""
    config, labels = described
    shapes = resnet.expected_shapes(config)
    grid = _halved((height, width))
    embedder = _within(shapes, resnet.EMBEDDER)
    rows = [Row("pixels", (1, 3, height, width), 0, 0)]
    flops = _products(embedder, grid)
    grid = _halved(grid)
    rows.append(_row("embedder", config.embedding_size, grid, embedder, flops))
    for stage, channels in enumerate(config.hidden_sizes):
        name, flops = f"encoder.stages.{stage}", 0
        for i in range(config.depths[stage]):
            strides = config.strides(1 if i else config.stride(stage))
            block = _within(shapes, f"{name}.layers.{i}")
            for k, stride in enumerate(strides):
                grid = _halved(grid) if stride == 2 else grid
                flops += _products(_within(block, f"layer.{k}"), grid)
            flops += _products(_within(block, "shortcut"), grid)
        stage_shapes = _within(shapes, name)
        rows.append(_row(f"stages.{stage}", channels, grid, stage_shapes, flops))
    return rows + _head(config.width, labels)


def convnext_rows(
    described: DescribedBackbone, height: int, width: int, prompt_tokens: int = 0
) -> list[Row]:
    """The rows of a ConvNeXt for one picture, from pixels to logits."""
    config, labels = described
    shapes = convnext.expected_shapes(config)
    grid = height // config.patch_size, width // config.patch_size
    first = _within(shapes, "embeddings")
    rows = [
        Row("pixels", (1, 3, height, width), 0, 0),
        _row("embeddings", config.hidden_sizes[0], grid, first, _products(first, grid)),
    ]
    for stage, channels in enumerate(config.hidden_sizes):
        grid = (grid[0] // 2, grid[1] // 2) if stage else grid
        here = _within(shapes, f"encoder.stages.{stage}")
        rows.append(
            _row(f"stages.{stage}", channels, grid, here, _products(here, grid))
        )
    norm = size_of(_within(shapes, "layernorm").values())
    rows.append(Row("layernorm", (1, config.width), norm, 0))
    return rows + _head(config.width, labels)


def _within(shapes, part):
    """The tensors under a name, by the rest of their names."""
    return {
        name.removeprefix(f"{part}."): shape
        for name, shape in shapes.items()
        if name.startswith(f"{part}.")
    }


def _products(shapes, grid):
    """FLOPs of filters, each of which is laid on every place of a grid."""
    weights = size_of(shape for shape in shapes.values() if len(shape) > 1)
    return 2 * weights * math.prod(grid)


def _row(stage, channels, grid, shapes, flops):
    learnt = size_of(shape for name, shape in shapes.items() if not is_statistic(name))
    return Row(stage, (1, channels, *grid), learnt, flops)


def _head(width, labels):
    if not labels:
        return []
    return [Row("head", (1, labels), labels * (width + 1), 2 * labels * width)]


def _halved(grid):
    """Steps of 2, padded by half a window: edges that are odd round up."""
    return tuple(-(-edge // 2) for edge in grid)
