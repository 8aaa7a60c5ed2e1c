r"""Feature pyramid network: coarse maps tell fine ones what they have understood.

    F_4  --1 x 1-->  +-------------------> 3 x 3 --> P_4
                     | nearest, to the size of F_3
    F_3  --1 x 1-->  +  -----------------> 3 x 3 --> P_3
                     | ...
    F_2  --1 x 1-->  +  -----------------> 3 x 3 --> P_2

A backbone's early maps are sharp and know edges; its late ones are coarse and know
things. Every map that comes out has the same number of channels, and both.

    inner_blocks.{i}.0.{weight, bias} (d, c_i, 1, 1), lateral
    layer_blocks.{i}.0.{weight, bias} (d, d, 3, 3), smoothing
"""

from __future__ import annotations

import numpy as np

from ...shapes import ShapeError
from .conv_norm import same_conv2d


def feature_pyramid_network(maps, weights) -> list:
    r"""$P_i = w^s_i * M_i$ with $M_i = w^l_i * F_i + \mathrm{up}(M_{i+1})$.

    maps are the backbone's F_i, (b, c_i, h_i, w_i), finest first; the result is a list
    of as many, (b, d, h_i, w_i).

    Source: [Cortes] 3.3; [DeepDive] multi-scale; [Lin2017].
    Oracle: torchvision.ops.FeaturePyramidNetwork.
    """
    if not len(maps):
        raise ValueError("feature_pyramid_network: maps is empty: give at least one")
    merged = None
    levels = []
    for i in reversed(range(len(maps))):
        lateral = same_conv2d(maps[i], weights.scope(f"inner_blocks.{i}.0"))
        if merged is None:
            merged = lateral
        else:
            merged = lateral + nearest(merged, lateral.shape[2:])
        levels.append(same_conv2d(merged, weights.scope(f"layer_blocks.{i}.0")))
    return levels[::-1]


def nearest(x, size):
    r"""Another size by repeating pixels:
    $y_{ij} = x_{\lfloor i h / h' \rfloor, \lfloor j w / w' \rfloor}$.

    (b, c, h, w) -> (b, c, h', w'). Oracle: torch.nn.functional.interpolate, "nearest".
    """
    if len(size) != 2 or min(size) < 1 or not x.size:
        raise ShapeError(f"nearest: a map {x.shape} cannot become {tuple(size)}")
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, x.shape[2:]))
    return x[:, :, rows][:, :, :, columns]


def feature_pyramid_network_shapes(channels, width: int):
    """The tensors by name, for maps of `channels` and a pyramid `width` wide."""
    return {
        f"{part}.{i}.0.{name}": shape
        for part, kernel in (("inner_blocks", 1), ("layer_blocks", 3))
        for i, c in enumerate(channels)
        for name, shape in (
            ("weight", (width, c if kernel == 1 else width, kernel, kernel)),
            ("bias", (width,)),
        )
    }
