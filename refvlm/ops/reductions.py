r"""What losses end in: kept one by one, summed, or averaged.

`reduction` says which. A mean is over the entries there are, "batchmean" over the first
axis, and a classifier counts the rows that are not ignored, by their weights.
"""

from __future__ import annotations

import math

import numpy as np


def reduced(losses, reduction, count=None):
    r"""The losses themselves, $\sum_i L_i$, or that sum over their count."""
    if reduction == "none":
        return np.asarray(losses)
    if reduction == "sum":
        return np.asarray(losses.sum())
    if count is None:
        count = len(losses) if reduction == "batchmean" else losses.size
    return np.asarray(losses.sum() / count)


def spread(d_out, shape, reduction, count=None):
    """The gradient of each loss, from that of their reduction."""
    if reduction in ("mean", "batchmean"):
        if count is None:
            count = shape[0] if reduction == "batchmean" else math.prod(shape)
        d_out = d_out / count
    return np.broadcast_to(d_out, shape)
