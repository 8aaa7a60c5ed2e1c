r"""Products of whole numbers by a float32 product, which is exact where sums are short.

NumPy multiplies whole numbers one by one, and floating ones with all that the processor
has. Every whole number up to $2^{24}$ is a float32, so where
$K \max|a| \max|b| \le 2^{24}$ each product is one, and each sum of some of them, in
whatever order they are added: nothing is rounded. Longer sums are cut, and what the
cuts give is added in int32, whose wrap-around is that of the whole sum.
"""

from __future__ import annotations

import math

import numpy as np

from ..parallel import blocks, even_blocks, in_parallel
from .code_geometry import (
    centered,
    one_number,
    per_column,
    per_filter,
    per_row,
    walk_of,
)
from .convolution import convolve

EXACT = 1 << 24  # every whole number up to here is a float32, and the next is not
COLUMNS = 512  # of b in float32 at a time: with the rows of a cut, a core's cache full


def matmul_integer(a, b, a_zero_point, b_zero_point):
    """b is widened piece by piece: the whole of it in float32 is four times as much to
    read again as it was."""
    if min(a.ndim, b.ndim) < 2:
        return NotImplemented
    row, column = per_row(a_zero_point), per_column(b_zero_point)
    cuts = blocks(a.shape[-1], longest_sum(a, row, b, column))
    left = centered(a, row)
    if b.ndim == 2:  # all rows below one another: one large product
        left = left.reshape(math.prod(a.shape[:-1]), a.shape[-1])
    stack = np.broadcast_shapes(left.shape[:-2], b.shape[:-2])
    out = np.zeros((*stack, left.shape[-2], b.shape[-1]), np.int32)

    def work(part):
        of_part = column[..., part] if column.ndim else column
        for cut in cuts:
            product = left[..., cut] @ centered(b[..., cut, part], of_part)
            out[..., part] += product.astype(np.int32)

    in_parallel(work, even_blocks(b.shape[-1], COLUMNS))
    return out.reshape(*a.shape[:-1], b.shape[-1]) if b.ndim == 2 else out


def conv_integer(
    x, w, x_zero_point, w_zero_point, auto_pad, dilations, group, pads, strides
):
    """The float32 convolution of as many channels at a time as one exact sum can have.

    Where the taps of one channel are too many, the body takes the call.
    """
    walk = walk_of("conv_integer", x, w, auto_pad, dilations, pads, strides)
    zero, filter_zero = one_number(x_zero_point), per_filter(w_zero_point, w.ndim - 1)
    channels = longest_sum(x, zero, w, filter_zero) // math.prod(walk.kernel)
    if not channels:
        return NotImplemented
    filters = centered(w, filter_zero)
    images = centered(x, zero).reshape(len(x), group, w.shape[1], *walk.size)
    out = np.zeros((len(x), len(w), *walk.out), np.int32)
    steps = walk.stride, walk.padding, walk.dilation, group
    for cut in blocks(w.shape[1], channels):
        some = filters[:, cut]
        seen = images[:, :, cut].reshape(len(x), group * some.shape[1], *walk.size)
        out += convolve(seen, some, None, *steps, None).astype(np.int32)
    return out


def longest_sum(a, a_zero, b, b_zero):
    r"""How many products may be summed: $\lfloor 2^{24} / \max|a - z^a| \max|b - z^b|
    \rfloor$.

    >>> extremes = np.array([0, 255], np.uint8)
    >>> longest_sum(extremes, np.array(0), extremes, np.array(0))  # 258 * 255 * 255
    258
    """
    return EXACT // max(largest(a, a_zero) * largest(b, b_zero), 1)


def largest(codes, zero):
    """No |code - zero| is above this: the ends of both, which few bits find quickly."""
    if not codes.size:
        return 0
    low, high = int(codes.min()), int(codes.max())
    return max(high - int(zero.min()), int(zero.max()) - low)
