r"""Layout: whether the channels of a picture stand first or last in memory.

NCHW keeps each channel as a plane; NHWC keeps all channels of a pixel together. A
convolution means the same in both. With channels last it is $k^2$ matrix products: each
offset of the filter multiplies the pixels that it falls on, and the result is their
sum.
"""

from __future__ import annotations

import numpy as np

from ...arguments import per_axis
from ...shapes import ShapeError, shapes


@shapes(x="n c h w of numbers", returns="n h w c")
def nchw_to_nhwc(x):
    """(n, c, h, w) -> (n, h, w, c): a view, copied by whoever needs it in order.

    Source: [Cortes] 9.2. Oracle: torch's `permute(0, 2, 3, 1)`.
    """
    return x.transpose(0, 2, 3, 1)


@shapes(x="n h w c of numbers", returns="n c h w")
def nhwc_to_nchw(x):
    """(n, h, w, c) -> (n, c, h, w): a view, copied by whoever needs it in order.

    Source: [Cortes] 9.2. Oracle: torch's `permute(0, 3, 1, 2)`.
    """
    return x.transpose(0, 3, 1, 2)


@shapes(
    x="n h w c", weight="c_out c kh kw", bias="c_out", returns="n h_out w_out c_out"
)
def conv2d_nhwc(x, weight, bias=None, stride=1, padding=0):
    r"""A convolution of pictures whose channels stand last:
    $y_{ij} = b + \sum_{u,v} W_{uv}\, x_{is+u,\,js+v}$.

    x (n, h, w, c); the weight stays (c_out, c, kh, kw) as it is published, and $W_{uv}$
    is the matrix (c_out, c) of one of its offsets.

    Source: [Cortes] 9.2. Oracle: torch.nn.functional.conv2d of a channels_last tensor.

    >>> edge = np.array([[[[-1.0, 1.0]]]])
    >>> conv2d_nhwc(np.array([0.0, 0.0, 5.0, 5.0]).reshape(1, 1, 4, 1), edge).ravel()
    array([0., 5., 0.])
    """
    steps = per_axis(stride, 2, "conv2d_nhwc: stride", least=1)
    margins = per_axis(padding, 2, "conv2d_nhwc: padding")
    x = _padded(x, margins)
    sizes = x.shape[1:3], weight.shape[2:], steps
    rows, columns = ((size - k) // s + 1 for size, k, s in zip(*sizes))
    if min(rows, columns) < 1:
        raise ShapeError(
            f"conv2d_nhwc: a filter of {weight.shape[2:]} does not fit into x padded "
            f"to {x.shape[1:3]}"
        )
    out = None
    for u, v in np.ndindex(*weight.shape[2:]):
        down = slice(u, u + steps[0] * rows, steps[0])
        across = slice(v, v + steps[1] * columns, steps[1])
        seen = x[:, down, across] @ weight[:, :, u, v].swapaxes(0, 1)
        out = seen if out is None else out + seen
    return out if bias is None else out + bias


def _padded(x, margins):
    """Zeros around the picture, before and behind each of its two axes."""
    for axis, margin in enumerate(margins, 1):
        if margin:
            line = list(x.shape)
            line[axis] = margin
            zeros = np.zeros(line, x.dtype)
            x = np.concatenate((zeros, x, zeros), axis)
    return x
