r"""Convolution as one matrix product, over one, two or three axes.

Lay every window of an image out as a column. A filter, flattened, is a row, and
what it answers at every place is row times columns: $Y = W\,\mathrm{cols}(X)$. The
two derivatives of a product are products with the other factor,
$\bar W = \bar Y\,\mathrm{cols}(X)^\top$ and
$\bar X = \mathrm{cols}^\top(W^\top \bar Y)$, where $\mathrm{cols}^\top$ adds each
entry back to the place it was read from.

x is (images, channels, *size) here, and a `Geometry` says how the window walks.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import check_whole
from ..shapes import ShapeError
from .windows import Geometry, geometry, overlap_add, windows


def walk_of(name, x, weight, stride, padding, dilation, groups) -> Geometry:
    """The geometry of a convolution, once its channels are known to fit."""
    axes = weight.ndim - 2
    c_in, (c_out, c_group) = x.shape[-axes - 1], weight.shape[:2]
    check_whole(name, least=1, groups=groups)
    if not c_out or c_out % groups or c_group * groups != c_in:
        raise ShapeError(
            f"{name}: weight {weight.shape} in {groups} groups reads "
            f"{c_group * groups} channels and makes {c_out}, but x {x.shape} has {c_in}"
        )
    size, kernel = x.shape[-axes:], weight.shape[-axes:]
    return geometry(size, kernel, stride, padding, dilation, name=name)


def as_images(x, axes=2):
    """(..., channels, *size) -> (images, channels, *size)."""
    return x.reshape(math.prod(x.shape[: -axes - 1]), *x.shape[-axes - 1 :])


def columns_of(x, walk: Geometry, groups=1):
    """Every window as a column: (images, groups, c_group * taps, places).

    The columns of a 1 x 1 window are the image itself: nothing is copied.
    """
    rows = x.shape[1] // groups * math.prod(walk.kernel)
    return windows(x, walk).reshape(len(x), groups, rows, math.prod(walk.out))


def correlate(columns, weight, bias=None, groups=1):
    r"""$W\,\mathrm{cols}(X) + b$: (images, c_out, places)."""
    out = product(_rows(weight, groups), columns)
    out = out.reshape(len(columns), len(weight), columns.shape[-1])
    if bias is not None:
        out += bias[:, None]
    return out


def correlate_back(d_out, weight, walk: Geometry, groups=1):
    r"""$\mathrm{cols}^\top(W^\top \bar Y)$: (images, c_in, *size)."""
    rows = _rows(weight, groups)
    d_rows = d_out.reshape(len(d_out), groups, rows.shape[1], math.prod(walk.out))
    d_columns = product(rows.swapaxes(-1, -2), d_rows)
    channels = groups * weight.shape[1]
    return overlap_add(
        d_columns.reshape(len(d_out), channels, *walk.kernel, *walk.out), walk
    )


def correlate_weight(d_out, columns, shape):
    r"""$\bar Y\,\mathrm{cols}(X)^\top$, summed over images, in the weight's shape."""
    images, groups, _, places = columns.shape
    d_rows = d_out.reshape(images, groups, shape[0] // groups, places)
    return product(d_rows, columns.swapaxes(-1, -2)).sum(axis=0).reshape(shape)


def product(left, right):
    """left @ right; half precision is multiplied in float32 and rounded once.

    BLAS has no half precision, and NumPy's own loop is fifty times slower.
    """
    if left.dtype == right.dtype == np.float16:
        return np.matmul(left, right, dtype=np.float32).astype(np.float16)
    return np.matmul(left, right)


def _rows(weight, groups):
    return weight.reshape(groups, len(weight) // groups, math.prod(weight.shape[1:]))
