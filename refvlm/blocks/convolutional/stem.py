r"""The stem: three MobileOne blocks, from pixels to the first map.

    stem.0    3 x 3, stride 2, 3 to C     \
    stem.1    3 x 3, stride 2, depthwise   } each with its GELU
    stem.2    1 x 1, C to C               /
"""

from __future__ import annotations

from ... import ops
from ..training_mode import Training
from .mobileone import mobileone_block

BLOCKS = (("stem.0", 2), ("stem.1", 2), ("stem.2", 1))


def stem(x, weights, training: Training | None = None):
    """Pixels (b, 3, h, w) to the first map (b, c, h / 4, w / 4).

    Folded, each block is one convolution; branches are gone through block by block.
    Source: [Kamath] stem. Oracle: timm's `fastvit_mci3().stem`.
    """
    folded = [weights.scope(f"{name}.reparam_conv") for name, _ in BLOCKS]
    if all("weight" in conv for conv in folded):
        filters = [conv[term] for conv in folded for term in ("weight", "bias")]
        return ops.convolutional_stem(x, *filters)
    for name, stride in BLOCKS:
        x = mobileone_block(x, weights.scope(name), stride, training=training)
    return x
