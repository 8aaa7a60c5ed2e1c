r"""Dropout: noise that is multiplied in while training, and absent afterwards.

The noise is sampled by one function and applied by an ordinary product, so that the
way back sees the same mask as the way out.
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from ..shapes import shapes


def dropout_mask(rng: np.random.Generator, shape, p=0.5, dtype=np.float32):
    r"""Independent entries, $0$ with probability p and $1/(1-p)$ otherwise.

    The expectation is 1, so a network without dropout sees the average of networks
    with it. Source: [MicroVLM-V] 1. Oracle: torch.nn.functional.dropout, in
    distribution.
    """
    _is_off("dropout_mask", p, True, rng)
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"dropout_mask: dtype is a floating one, not {dtype}")
    if p == 1:
        return np.zeros(shape, dtype)
    kept = rng.random(shape, dtype=np.float32) >= p
    scalar = np.dtype(dtype).type  # a number of it does not upcast an array
    return kept.astype(dtype) * scalar(1 / (1 - p))


@shapes(x="...", returns="...")
def dropout(x, p=0.5, training=True, rng: np.random.Generator | None = None):
    r"""$y = x \odot m$ with a fresh mask $m$ from `dropout_mask`; $x$ itself outside
    training.

    Source: [MicroVLM-V] 1. Oracle: torch.nn.functional.dropout.
    """
    if _is_off("dropout", p, training, rng):
        return x
    return x * dropout_mask(rng, x.shape, p, x.dtype)


@shapes(x="b ...", returns="b ...")
def drop_path(x, p=0.0, training=True, rng: np.random.Generator | None = None):
    r"""$y_i = m_i x_i$: one entry of the mask for each sample, so that a whole residual
    branch is dropped at once (stochastic depth).

    Source: [Kamath] stages 1-5. Oracle: timm.layers.drop_path, in distribution.
    """
    if _is_off("drop_path", p, training, rng):
        return x
    return x * dropout_mask(rng, (x.shape[0], *(1,) * (x.ndim - 1)), p, x.dtype)


def _is_off(function, p, training, rng):
    """Whether nothing is dropped; if something is, there has to be a generator."""
    if not isinstance(p, Real) or not 0 <= p <= 1:
        raise ValueError(f"{function}: p is a probability, not {p!r}")
    if not training or p == 0:
        return True
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"{function}: needs rng, a numpy.random.Generator")
    return False
