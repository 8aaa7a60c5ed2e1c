r"""Dropout: noise that is multiplied in while training, and absent afterwards.

The noise is sampled by one function and applied by an ordinary product, so that the
way back sees the same mask as the way out.
"""

from __future__ import annotations

import numpy as np

from ..shapes import shapes
from . import demands


@shapes(demands.probability, demands.generator, demands.floating_dtype)
def dropout_mask(rng: np.random.Generator, shape, p=0.5, dtype=np.float32):
    r"""Independent entries, $0$ with probability p and $1/(1-p)$ otherwise.

    The expectation is 1, so a network without dropout sees the average of networks
    with it. Source: [MicroVLM-V] 1. Oracle: torch.nn.functional.dropout, in
    distribution.
    """
    if p == 1:
        return np.zeros(shape, dtype)
    survives = rng.random(shape, dtype=np.float32) >= p
    return np.asarray(survives, dtype) / (1 - p)


@shapes(
    demands.noise_has_a_source,
    x="...",
    returns="...",
)
def dropout(x, p=0.5, training=True, rng=None):
    r"""$y = x \odot m$ with a fresh mask $m$ from `dropout_mask`; $x$ itself outside
    training, where no generator rng is needed.

    Source: [MicroVLM-V] 1. Oracle: torch.nn.functional.dropout.
    """
    if not training or p == 0:
        return x
    return x * dropout_mask(rng, x.shape, p, x.dtype)


@shapes(
    demands.noise_has_a_source,
    x="b ...",
    returns="b ...",
)
def drop_path(x, p=0.0, training=True, rng=None):
    r"""$y_i = m_i x_i$: one entry of the mask for each sample, so that a whole residual
    branch is dropped at once (stochastic depth).

    Source: [Kamath] stages 1-5. Oracle: timm.layers.drop_path, in distribution.
    """
    if not training or p == 0:
        return x
    one_a_sample = (len(x), *(1,) * (x.ndim - 1))
    return x * dropout_mask(rng, one_a_sample, p, x.dtype)
