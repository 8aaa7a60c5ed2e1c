r"""Attention maps: numbers and pictures from the weights that attention gave.

A weight says how much of a value was taken, not why, and not what the value held.
Read these as a description of where a layer looked.
"""

from __future__ import annotations

import numpy as np

from ..shapes import shapes


@shapes(weights="... n")
def attention_entropy(weights):
    r"""How widely a query looks, in nats: $H = -\sum_j p_j \log p_j$.

    weights is (..., n), the result (...): 0 where one key takes everything, log n
    where all share equally; $e^H$ is the number of keys that it amounts to.

    Source: [Foundations] grounding; [DeepDive] selective attention.
    Oracle: torch.distributions.Categorical.entropy.

    >>> attention_entropy(np.array([0.5, 0.5, 0.0])).round(4)
    np.float64(0.6931)
    """
    logarithms = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    return -(weights * logarithms).sum(axis=-1)


def attention_rollout(layers, residual=0.5):
    r"""Where the last layer looks, followed down to the input tokens:
    $R = A_L \cdots A_1$ with $A = (1 - r)\,\bar P + r I$.

    layers holds each layer's weights, first to last, as (..., heads, n, n); the result
    is (..., n, n), its rows summing to one. The heads are averaged, and the identity
    stands for the residual connection, through which a token keeps itself.

    Source: [Foundations] grounding (Abnar and Zuidema 2020).
    """
    if not layers:
        raise ValueError("attention_rollout needs the weights of at least one layer")
    rollout = np.eye(layers[0].shape[-1], dtype=layers[0].dtype)
    for weights in layers:
        mixed = (1 - residual) * weights.mean(axis=-3)
        mixed += residual * np.eye(weights.shape[-1], dtype=weights.dtype)
        rollout = mixed @ rollout
    return rollout
