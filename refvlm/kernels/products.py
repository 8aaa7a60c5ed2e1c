"""Linear maps: all tokens in one product, of which each core takes its columns."""

from __future__ import annotations

import math

import numpy as np

from ..parallel import in_parallel, shares

FEW_ROWS = 16  # a thinner product waits for memory, and BLAS shares that well itself
LARGE = 1 << 24  # multiplications that are worth handing out


def linear(x, weight, bias):
    """One product, with the bias added over it."""
    out = _product(_rows(x), weight)
    if bias is not None:
        out += bias
    return out.reshape(*x.shape[:-1], len(weight))


def _product(rows, weight):
    if len(rows) < FEW_ROWS or rows.size * len(weight) < LARGE:
        return rows @ weight.T
    out = np.empty((len(rows), len(weight)), np.result_type(rows, weight))
    in_parallel(
        lambda part: np.matmul(rows, weight[part].T, out=out[:, part]),
        shares(len(weight)),
    )
    return out


def _rows(x):
    """All tokens below one another: one large product is faster than many small."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
