r"""Depthwise convolution of small maps: a window's rows end to end, times a band.

The rows that a row of output looks at lie one after the other in memory, all of them
as wide as the map. End to end they are one vector, and what the filter answers along
the whole row is that vector times a matrix, with the filter's numbers in every column,
shifted, and zeros elsewhere:

$$\begin{pmatrix} y_0 & y_1 & y_2 \end{pmatrix} =
\begin{pmatrix} x_0 & x_1 & x_2 \end{pmatrix}
\begin{pmatrix} w_1 & w_0 & \\ w_2 & w_1 & w_0 \\ & w_2 & w_1 \end{pmatrix}$$

for one row of a filter of three, padded by one. Where `banded.py` multiplies a picture,
this multiplies all pictures of a batch: the rows of one channel in one product, however
small each map is. Both derivatives are products as well. The wider the map, the more
zeros are multiplied: this is for the narrow maps of a batch in training.
"""

from __future__ import annotations

import math

import numpy as np

from ..parallel import blocks, in_parallel
from .windows import Geometry, pad

NARROW = 16  # places of a row of the result; more, and most of the band is zeros
PIECE = 1 << 18  # numbers of windows that are laid out at a time


def depthwise_across(x, weight, walk: Geometry, bias=None):
    r"""$y_{c,i,j} = b_c + \sum_{u,v} w_{c,u,v}\, x_{c,\,is+ud,\,js+vd}$.

    x is (images, c, h, w), weight (c m, 1, kh, kw), the result (images, c m, h', w').
    NotImplemented where a result is not finite: a zero of the band times infinity is
    nan, in places that never saw it.
    """
    images, channels = x.shape[:2]
    many, (rows, columns) = len(weight) // channels, walk.out
    bands = band_across(weight.reshape(channels, many, *walk.kernel), walk)
    looks = row_windows(pad(x, _only_rows(walk)), walk)
    out = np.empty((images, channels, many, rows, columns), np.result_type(x, weight))

    def work(part):
        product = as_vectors(looks[part], walk) @ bands[part]
        mine = product.reshape(len(product), images, rows, many, columns)
        out[:, part] = mine.transpose(1, 0, 3, 2, 4)
        return math.isfinite(np.vdot(product, product))

    with np.errstate(over="ignore", invalid="ignore"):
        if not all(in_parallel(work, _parts(looks))):
            return NotImplemented
    out = out.reshape(images, len(weight), rows, columns)
    if bias is not None:
        out += bias[:, None, None]
    return out


def depthwise_across_vjp(d_out, x, weight, walk: Geometry, needs):
    """The gradients of x and of the weight, as far as they are needed.

    NotImplemented as `depthwise_across`.
    """
    images, channels = x.shape[:2]
    many, (rows, columns) = len(weight) // channels, walk.out
    filters = weight.reshape(channels, many, *walk.kernel)
    bands = band_across(filters, walk)
    padded = pad(x, _only_rows(walk))
    looks = row_windows(padded, walk)
    dtype = np.result_type(x, d_out)
    across = channels, images, *padded.shape[2:]
    d_padded = np.zeros(across, dtype) if "x" in needs else None
    d_bands = np.empty(bands.shape, dtype) if "weight" in needs else None
    d_rows = d_out.reshape(images, channels, many, rows, columns)
    d_rows = d_rows.transpose(1, 0, 3, 2, 4)  # (c, images, h', m, w')

    def work(part):
        d_part = d_rows[part].reshape(len(bands[part]), images * rows, many * columns)
        if d_bands is not None:
            np.matmul(as_vectors(looks[part], walk).mT, d_part, out=d_bands[part])
        if d_padded is None:
            return True
        d_vectors = d_part @ bands[part].mT
        d_looks = d_vectors.reshape(
            len(d_part), images, rows, walk.kernel[0], walk.size[1]
        )
        for u, seen in enumerate(_row_taps(walk)):
            d_padded[part, :, seen] += d_looks[:, :, :, u]
        return math.isfinite(np.vdot(d_vectors, d_vectors))

    with np.errstate(over="ignore", invalid="ignore"):
        if not all(in_parallel(work, _parts(looks))):
            return NotImplemented
        if d_bands is not None and not math.isfinite(np.vdot(d_bands, d_bands)):
            return NotImplemented
    d_x = d_weight = None
    if d_padded is not None:
        (top, _), height = walk.padding[0], walk.size[0]
        d_x = d_padded[:, :, top : top + height].swapaxes(0, 1).copy()
    if d_bands is not None:
        d_weight = filters_of(d_bands, many, walk).reshape(weight.shape)
    return d_x, d_weight


def is_narrow(walk: Geometry):
    """Whether the result's rows are so short that the band is not mostly zeros."""
    return walk.out[1] <= NARROW


def row_windows(padded, walk: Geometry):
    """A view (c, images, h', kh, w): the rows that each row of output looks at."""
    image, channel, row, place = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (*padded.shape[1::-1], walk.out[0], walk.kernel[0], padded.shape[3]),
        (channel, image, walk.stride[0] * row, walk.dilation[0] * row, place),
        writeable=False,
    )


def as_vectors(looks, walk: Geometry):
    """(c, images h', kh w): each window as one row, which is a copy."""
    channels, images = looks.shape[:2]
    return looks.reshape(channels, images * walk.out[0], walk.kernel[0] * walk.size[1])


def band_across(filters, walk: Geometry):
    """(c, m, kh, kw) -> (c, kh w, m w'): the filter in every column, shifted."""
    (channels, many, height, _), (width, places) = filters.shape, _widths(walk)
    lines = filters @ _meetings(walk, filters.dtype)
    lines = lines.reshape(channels, many, height, width, places)
    lines = lines.transpose(0, 2, 3, 1, 4)
    return lines.reshape(channels, height * width, many * places)


def filters_of(d_bands, many, walk: Geometry):
    """The adjoint of `band_across`: (c, kh w, m w') -> (c, m, kh, kw)."""
    channels, height, (width, places) = len(d_bands), walk.kernel[0], _widths(walk)
    lines = d_bands.reshape(channels, height, width, many, places)
    lines = lines.transpose(0, 3, 1, 2, 4)
    lines = lines.reshape(channels, many, height, width * places)
    return lines @ _meetings(walk, d_bands.dtype).T


def _widths(walk: Geometry):
    """Of the map, and of the result."""
    return walk.size[1], walk.out[1]


def _meetings(walk: Geometry, dtype):
    """(kw, w w'): 1 where a tap, at a place of the result, looks at a place."""
    taps, looked, places = np.ogrid[: walk.kernel[1], : walk.size[1], : walk.out[1]]
    meets = places * walk.stride[1] + taps * walk.dilation[1] - walk.padding[1][0]
    return (meets == looked).reshape(len(taps), looked.size * places.size).astype(dtype)


def _row_taps(walk):
    """The padded rows that each row of the filter looks at, as slices."""
    step, reach, count = walk.stride[0], walk.dilation[0], walk.out[0]
    for u in range(walk.kernel[0]):
        yield slice(u * reach, u * reach + step * (count - 1) + 1, step)


def _only_rows(walk):
    """The walk padded above and below: the band knows what is beside the map."""
    return walk._replace(padding=(walk.padding[0], (0, 0)))


def _parts(looks):
    """Slices of channels, each the work of one core."""
    one = math.prod(looks.shape[1:])
    return blocks(len(looks), max(1, PIECE // max(one, 1)))
