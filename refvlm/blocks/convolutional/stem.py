r"""The stem: three MobileOne blocks, from pixels to the first map.

    stem.0    3 x 3, stride 2, 3 to C     \
    stem.1    3 x 3, stride 2, depthwise   } each with its GELU
    stem.2    1 x 1, C to C               /

After the first of them a picture is at its largest: 96 x 512 x 512, 100 MB. `stem`
goes block by block. `stem_in_bands` goes band by band: a few rows of the result, and
of everything before just the rows that these see, so that nothing large is ever
written. The cores share the bands.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ... import ops
from ...parallel import even_blocks, in_parallel
from ..fused import fusible, gelu
from ..training_mode import Training
from .mobileone import mobileone_block

BLOCKS = (("stem.0", 2), ("stem.1", 2), ("stem.2", 1))
ROWS = 8  # of the result in a band


def stem(x, weights, training: Training | None = None, every_map=True) -> Iterator:
    """Yields (name, map) for each block, from x (b, 3, h, w).

    Without `every_map` all but the last may be None, and then were never made.
    Source: [Kamath] stem. Oracle: timm's `fastvit_mci3().stem`.
    """
    if not every_map and training is None and _has_bands(x, weights):
        maps = None, None, stem_in_bands(x, weights)
        yield from zip((name for name, _ in BLOCKS), maps)
        return
    for name, stride in BLOCKS:
        x = mobileone_block(x, weights.scope(name), stride, training=training)
        yield name, x


def _has_bands(x, weights):
    """Bands need folded weights, and nothing to trace."""
    folded = [weights.scope(name).scope("reparam_conv") for name, _ in BLOCKS]
    return all("weight" in conv for conv in folded) and fusible(
        x, *(conv[term] for conv in folded for term in ("weight", "bias"))
    )


def stem_in_bands(x, weights):
    """The last map of `stem`, (b, c, h / 4, w / 4), without those before it."""
    filters, heights = [], [x.shape[2]]
    for name, stride in BLOCKS:
        conv = weights.scope(name).scope("reparam_conv")
        filters.append((conv["weight"], conv["bias"], stride))
        heights.append(-(-heights[-1] // stride))
    bands = in_parallel(
        lambda rows: _band(x, filters, heights, rows), even_blocks(heights[-1], ROWS)
    )
    return np.concatenate(bands, axis=2)


def _band(x, filters, heights, rows):
    """Some rows of the result."""
    steps = []
    for (weight, bias, stride), height in zip(filters[::-1], heights[-2::-1]):
        rows, padding = rows_seen(rows, weight.shape[2], stride, height)
        steps.append((weight, bias, stride, padding))
    x = x[:, :, rows]
    for weight, bias, stride, above_below in reversed(steps):
        padding = (above_below, (weight.shape[3] // 2,) * 2)
        groups = x.shape[1] // weight.shape[1]
        x = gelu(ops.conv2d(x, weight, bias, stride, padding, groups=groups))
    return x


def rows_seen(rows, kernel, stride, height):
    """The rows that some rows of a convolution look at, and the padding they need.

    >>> rows_seen(slice(0, 4), kernel=3, stride=2, height=100)
    (slice(0, 8, None), (1, 0))
    """
    first = rows.start * stride - kernel // 2
    end = (rows.stop - 1) * stride - kernel // 2 + kernel
    inside = slice(max(first, 0), min(end, height))
    return inside, (inside.start - first, end - inside.stop)
