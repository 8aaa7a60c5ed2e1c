"""Convolution as one matrix product with all the windows, laid out as columns.

A filter, flattened, is a row, and what it answers at every place is that row times the
columns. Its two derivatives are products too, each with the other factor. Where a
derivative follows, the columns are laid out once and read twice.

x is (images, channels, *size) here, and a `Geometry` says how the window walks.
"""

from __future__ import annotations

import math

import numpy as np

from ..sums import total
from .windows import Geometry, overlap_add, windows


def columns_of(x, walk: Geometry, groups=1):
    """Every window as a column: (images, groups, c_group * taps, places).

    The columns of a 1 x 1 window are the image itself: nothing is copied.
    """
    rows = x.shape[1] // groups * math.prod(walk.kernel)
    return windows(x, walk).reshape(len(x), groups, rows, math.prod(walk.out))


def correlate(columns, weight, bias=None, groups=1):
    r"""$W\,\mathrm{cols}(X) + b$: (images, c_out, places)."""
    out = np.matmul(as_rows(weight, groups), columns)
    out = out.reshape(len(columns), len(weight), columns.shape[-1])
    if bias is not None:
        out += bias[:, None]
    return out


def correlate_back(d_out, weight, walk: Geometry, groups=1):
    r"""$\mathrm{cols}^\top(W^\top \bar Y)$: (images, c_in, *size)."""
    rows = as_rows(weight, groups)
    d_rows = d_out.reshape(len(d_out), groups, rows.shape[1], math.prod(walk.out))
    d_columns = np.matmul(rows.swapaxes(-1, -2), d_rows)
    channels = groups * weight.shape[1]
    return overlap_add(
        d_columns.reshape(len(d_out), channels, *walk.kernel, *walk.out), walk
    )


def correlate_weight(d_out, columns, shape):
    r"""$\bar Y\,\mathrm{cols}(X)^\top$, summed over images, in the weight's shape."""
    images, groups, _, places = columns.shape
    d_rows = d_out.reshape(images, groups, shape[0] // groups, places)
    return total(d_rows @ columns.swapaxes(-1, -2), 0).reshape(shape)


def as_rows(weight, groups):
    """Each filter as a row: (groups, c_out / groups, c_group * taps)."""
    return weight.reshape(groups, len(weight) // groups, math.prod(weight.shape[1:]))
