r"""Patch merging: four neighbours become one token, twice as wide.

    (b, h, w, c) -> (b, h/2, w/2, 4c) -> layer norm -> (b, h/2, w/2, 2c)

How a transformer with windows (Swin) makes a pyramid: nothing is averaged away before
the matrix has seen all four. It is a 2 x 2 convolution in steps of 2, with a norm
between the looking and the matrix.

    norm.{weight, bias} (4c), reduction.weight (2c, 4c)
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...shapes import shapes


@shapes(x="b h w c", returns="b rows columns width")
def patch_merging(x, weights, eps=1e-5):
    r"""$y_{ij} = W\,\mathrm{LN}\big([x_{2i,2j}; x_{2i+1,2j}; x_{2i,2j+1};
    x_{2i+1,2j+1}]\big)$: down the first column, then down the second.

    x (b, h, w, c), channels last; an odd edge is first filled with zeros.

    Source: [Foundations] mitigation strategies; [DeepDive] multi-scale; [Liu2021],
    Swin. Oracle: timm's PatchMerging.
    """
    merged = space_to_depth(even(x))
    norm = weights.scope("norm")
    width = merged.shape[-1:]
    normed = ops.layer_norm(merged, width, norm["weight"], norm["bias"], eps)
    return ops.linear(normed, weights["reduction.weight"])


def space_to_depth(x):
    """(b, 2h, 2w, c) -> (b, h, w, 4c), the four in the order of `patch_merging`."""
    batch, height, width, channels = x.shape
    cells = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    cells = cells.transpose(0, 1, 3, 4, 2, 5)
    return cells.reshape(batch, height // 2, width // 2, 4 * channels)


def even(x):
    """A line of zeros below and right of it, where an edge is odd."""
    for axis in (1, 2):
        if x.shape[axis] % 2:
            line = list(x.shape)
            line[axis] = 1
            x = np.concatenate((x, np.zeros(line, x.dtype)), axis)
    return x


def patch_merging_shapes(dim: int):
    """The tensors by name."""
    return {
        "norm.weight": (4 * dim,),
        "norm.bias": (4 * dim,),
        "reduction.weight": (2 * dim, 4 * dim),
    }
