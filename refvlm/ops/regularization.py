r"""Dropout: noise that is multiplied in while training, and absent afterwards.

The noise is sampled by one function and applied by an ordinary product, so that the
way back sees the same mask as the way out.
"""

from __future__ import annotations

import numpy as np


def dropout_mask(rng: np.random.Generator, shape, p=0.5, dtype=np.float32):
    r"""Independent entries, $0$ with probability p and $1/(1-p)$ otherwise.

    The expectation is 1, so a network without dropout sees the average of networks
    with it. Source: [MicroVLM-V] 1. Oracle: torch.nn.functional.dropout, in
    distribution.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability, not {p}")
    if p == 1:
        return np.zeros(shape, dtype)
    kept = rng.random(shape, dtype=np.float32) >= p
    return kept.astype(dtype) * dtype_of(dtype)(1 / (1 - p))


def dtype_of(dtype):
    """The scalar type of a dtype: a number of it does not upcast an array."""
    return np.dtype(dtype).type


def dropout(x, p=0.5, training=True, rng: np.random.Generator | None = None):
    r"""$y = x \odot m$ with a fresh mask $m$ from `dropout_mask`; $x$ itself outside
    training.

    Source: [MicroVLM-V] 1. Oracle: torch.nn.functional.dropout.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability, not {p}")
    if not training or p == 0:
        return x
    if rng is None:
        raise ValueError("dropout: training needs rng, a numpy.random.Generator")
    return x * dropout_mask(rng, x.shape, p, x.dtype)


def drop_path(x, p=0.0, training=True, rng: np.random.Generator | None = None):
    r"""$y_i = m_i x_i$: one entry of the mask for each sample, so that a whole residual
    branch is dropped at once (stochastic depth).

    Source: [Kamath] stages 1-5. Oracle: timm.layers.drop_path, in distribution.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"drop_path: p is a probability, not {p}")
    if not training or p == 0:
        return x
    if rng is None:
        raise ValueError("drop_path: training needs rng, a numpy.random.Generator")
    return x * dropout_mask(rng, (len(x), *(1,) * (x.ndim - 1)), p, x.dtype)
