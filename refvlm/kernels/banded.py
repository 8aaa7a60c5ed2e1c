r"""Depthwise convolution as small matrix products, by a band in the filter.

A depthwise filter meets one channel only, so a product with it has one row, and a
processor that multiplies matrices sixty times faster than it adds arrays stands
idle. Two rearrangements give it matrices.

**Across**, the picture is copied once for each column v of the filter, shifted to
where that column looks: $X_{(u,v),j} = x_{u,\,js+vd}$. That is a window unrolled in
one direction only, $k_w$ copies in place of $k_h k_w$.

**Down**, nothing is copied. Instead r neighbouring rows of output are asked for at
once. Each sees the same rows of X, a little further down, so the filters of all r
form one matrix with the same numbers in every row, shifted: a band.

$$\begin{pmatrix} y_0 \\ y_1 \\ y_2 \end{pmatrix} =
\begin{pmatrix} w_0 & w_1 & w_2 & & \\ & w_0 & w_1 & w_2 & \\ & & w_0 & w_1 & w_2
\end{pmatrix} \begin{pmatrix} x_0 \\ x_1 \\ x_2 \\ x_3 \\ x_4 \end{pmatrix}$$

where each $w_u$ is a row of the filter and each $x_u$ a row of the picture with its
$k_w$ shifts. The zeros are multiplied too: for a 7 x 7 filter and r = 4, 70 products
where 49 would do. They are worth it: the product runs near the processor's peak, and
reads and writes the picture as it lies in memory.
"""

from __future__ import annotations

import math

import numpy as np

from ..parallel import even_blocks, in_parallel
from .windows import Geometry

ROWS = 4  # of output in one product; more waste more zeros, fewer are less of a matrix
BUFFER = 1 << 20  # numbers of X that are laid out at a time


def depthwise_banded(x, weight, walk: Geometry, bias=None):
    r"""$y_{c,i,j} = b_c + \sum_{u,v} w_{c,u,v}\, x_{c,\,is+ud,\,js+vd}$.

    x is (images, c, h, w), weight (c m, 1, kh, kw), the result (images, c m, h', w');
    output channel o reads input channel o // m. NotImplemented where a result is not
    finite: a zero of the band times infinity is nan, in rows that never saw it.
    """
    images, channels = x.shape[:2]
    filters = band(weight.reshape(channels, -1, *walk.kernel), walk)
    planes = x.reshape(images * channels, *x.shape[2:])
    shape = (len(planes), filters.shape[1], _groups(walk), ROWS, walk.out[1])
    out = np.empty(shape, np.result_type(x, weight))
    numbers = shifted_height(walk) * walk.kernel[1] * walk.out[1]
    if bias is not None:
        bias = bias.reshape(channels, -1, 1, 1, 1)

    def work(part):
        channel = np.arange(part.start, part.stop) % channels
        looks = row_groups(shifts(planes[part], walk), walk)
        np.matmul(filters[channel, :, None], looks[:, None], out=out[part])
        if bias is not None:
            out[part] += bias[channel]
        return math.isfinite(np.vdot(out[part], out[part]))

    pieces = even_blocks(len(planes), max(1, BUFFER // numbers))
    with np.errstate(over="ignore", invalid="ignore"):
        if not all(in_parallel(work, pieces)):
            return NotImplemented
    out = out.reshape(images, len(weight), _groups(walk) * ROWS, walk.out[1])
    return np.ascontiguousarray(out[:, :, : walk.out[0]])


def band(weight, walk: Geometry):
    """The filters of ROWS output rows as one matrix: (c, m, ROWS, rows kw).

    (c, m, kh, kw) is written along the band, everything else is zero.
    """
    (stride, _), (dilation, _) = walk.stride, walk.dilation
    rows = _rows_seen(walk)
    filters = np.zeros((*weight.shape[:2], ROWS, rows, weight.shape[3]), weight.dtype)
    for row in range(ROWS):
        top = row * stride
        seen = slice(top, top + dilation * (weight.shape[2] - 1) + 1, dilation)
        filters[:, :, row, seen] = weight
    return filters.reshape(*weight.shape[:2], ROWS, -1)


def shifts(planes, walk: Geometry):
    """X: (planes, rows, kw, w') of planes (planes, h, w), zeros around them.

    Each row of X is copied as one element, all of them by one call: rows of a few
    hundred bytes cost a loop more than they cost the memory, and threads wait for
    each other between calls.
    """
    (top, _), (left, _) = walk.padding
    (_, step), (_, dilation) = walk.stride, walk.dilation
    room = shifted_height(walk), (walk.out[1] - 1) * step + _reach(walk)[1]
    framed = np.zeros((len(planes), *room), planes.dtype)
    inside = framed[:, top:, left:]
    height, width = map(min, inside.shape[1:], planes.shape[1:])
    inside[:, :height, :width] = planes[:, :height, :width]

    plane, row, place = framed.strides
    shape = (len(planes), room[0], walk.kernel[1], walk.out[1])
    strides = (plane, row, dilation * place, step * place)
    shifted = np.empty(shape, planes.dtype)
    if step == 1:
        one = np.dtype((np.void, walk.out[1] * place))
        shifted.view(one)[..., 0] = np.ndarray(shape[:3], one, framed, 0, strides[:3])
    else:
        shifted[...] = np.lib.stride_tricks.as_strided(framed, shape, strides)
    return shifted


def row_groups(shifted, walk: Geometry):
    """A view (planes, groups, rows kw, w'): what ROWS rows of output look at.

    Neighbouring groups overlap; the rows of one group lie one after the other, with
    their kw shifts, and so are one matrix without a copy.
    """
    planes, _, copies, width = shifted.shape
    plane, row, shift, place = shifted.strides
    return np.lib.stride_tricks.as_strided(
        shifted,
        (planes, _groups(walk), _rows_seen(walk) * copies, width),
        (plane, ROWS * walk.stride[0] * row, shift, place),
        writeable=False,
    )


def shifted_height(walk: Geometry):
    """Rows of X: enough for the last group of output rows."""
    return (_groups(walk) - 1) * ROWS * walk.stride[0] + _rows_seen(walk)


def _groups(walk):
    return -(-walk.out[0] // ROWS)


def _rows_seen(walk):
    """Rows of the picture that ROWS rows of output look at."""
    return (ROWS - 1) * walk.stride[0] + _reach(walk)[0]


def _reach(walk):
    """Rows and columns from the first that a filter sees to the last."""
    return [d * (k - 1) + 1 for k, d in zip(walk.kernel, walk.dilation)]
