r"""Fused kernels: several steps on a piece while it is in cache, piece by piece.

Step by step, a feed-forward network writes its widened map to memory, reads it back
for the activation, writes it, and reads it again: for one block of FastViTHD that is
four times 50 MB. Piece by piece (a few hundred pixels, all channels) the widened map
never leaves the cache, and each core takes its own pieces.

What goes back through such a network needs the widened map, which is not there. So a
kernel leaves what a tape follows to the definition: its operators keep what theirs
needs, and their derivatives are its derivative.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from ..parallel import blocks, even_blocks, in_parallel, shares
from ..variable import Variable
from .convolution import convolve
from .normal_tail import gelu_into

PIXELS = 512  # in a piece: fewer, and the weights are read too often
NUMBERS = 1 << 18  # in a piece of work without weights
FEW_TOKENS = 16
COLUMNS = 512  # of a widened token, in a piece
ROWS = 8  # of a stem's result, in a band


def of_arrays(kernel: Callable) -> Callable:
    """The kernel, that leaves calls with a Variable to the definition."""

    @functools.wraps(kernel)
    def untraced(*args):
        for value in args:
            if type(value) is Variable:
                return NotImplemented
        return kernel(*args)

    return untraced


@of_arrays
def pointwise_mlp(x, weight_1, bias_1, weight_2, bias_2):
    """A few hundred pixels at a time through both layers, where there are any."""
    if not (x.size and weight_1.size and weight_2.size):
        return NotImplemented
    weight_1, weight_2 = weight_1[:, :, 0, 0], weight_2[:, :, 0, 0]
    pixels = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    dtype = np.result_type(x, weight_1, bias_1, weight_2, bias_2)
    out = np.empty((len(x), len(weight_2), pixels.shape[2]), dtype)

    def work(piece):
        image, columns = piece
        hidden = weight_1 @ pixels[image, :, columns]
        hidden += bias_1[:, None]
        gelu_into(hidden, hidden)
        narrow = out[image, :, columns]
        np.matmul(weight_2, hidden, out=narrow)
        narrow += bias_2[:, None]

    columns = even_blocks(pixels.shape[2], PIXELS)
    in_parallel(work, [(i, part) for i in range(len(x)) for part in columns])
    return out.reshape(len(x), len(weight_2), *x.shape[2:])


@of_arrays
def gated_linear(x, gate, up):
    """Some columns of both products at a time; of few tokens, all of them."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    out = np.empty((len(rows), len(gate)), np.result_type(x, gate, up))

    def work(columns):
        gated = rows @ gate[columns].T
        with np.errstate(over="ignore"):  # x / inf is the limit, 0
            decay = np.exp(np.negative(gated))
        decay += 1
        gated /= decay
        np.multiply(gated, rows @ up[columns].T, out=out[:, columns])

    if len(rows) < FEW_TOKENS:  # they wait for the weights; BLAS shares that well
        work(slice(None))
    else:
        in_parallel(work, even_blocks(len(gate), COLUMNS))
    return out.reshape(*x.shape[:-1], len(gate))


@of_arrays
def add_scaled(x, branch, gamma):
    """Scaled and added while a few channels are in cache."""
    planes = len(x) * len(gamma), math.prod(x.shape[2:])
    base, branch = x.reshape(planes), branch.reshape(planes)
    out = np.empty(planes, np.result_type(x, branch, gamma))
    scale = np.tile(gamma.reshape(-1), len(x))[:, None]
    size = max(1, NUMBERS // max(planes[1], 1))

    def work(share):
        for part in blocks(share.stop - share.start, size):
            part = slice(share.start + part.start, share.start + part.stop)
            np.multiply(branch[part], scale[part], out=out[part])
            out[part] += base[part]

    in_parallel(work, shares(planes[0]))
    return out.reshape(x.shape)


@of_arrays
def convolutional_stem(x, weight_1, bias_1, weight_2, bias_2, weight_3, bias_3):
    """A few rows of the result at a time, and of every map before it just the rows
    that these look at. After the first convolution a picture is at its largest, 100 MB
    for FastViTHD: it is never written."""
    layers = (weight_1, bias_1, 2), (weight_2, bias_2, 2), (weight_3, bias_3, 1)
    heights = [x.shape[2]]
    for weight, _, stride in layers:
        beyond = heights[-1] + 2 * (weight.shape[2] // 2) - weight.shape[2]
        heights.append(beyond // stride + 1)
    bands = in_parallel(
        lambda rows: _band(x, layers, heights, rows), even_blocks(heights[-1], ROWS)
    )
    if any(band is NotImplemented for band in bands):
        return NotImplemented
    return np.concatenate(bands, axis=2)


def _band(x, layers, heights, rows):
    """Some rows of the result."""
    looks = []
    for (weight, _, stride), height in zip(layers[::-1], heights[-2::-1]):
        rows, above_below = rows_seen(rows, weight.shape[2], stride, height)
        looks.append(above_below)
    x = x[:, :, rows]
    for (weight, bias, stride), above_below in zip(layers, reversed(looks)):
        padding = above_below, (weight.shape[3] // 2,) * 2
        groups = x.shape[1] // weight.shape[1]
        x = convolve(x, weight, bias, stride, padding, 1, groups, None)
        if x is NotImplemented:
            return NotImplemented
        gelu_into(x, x)
    return x


def rows_seen(rows, kernel, stride, height):
    """The rows that some rows of a convolution look at, and the padding they need.

    >>> rows_seen(slice(0, 4), kernel=3, stride=2, height=100)
    (slice(0, 8, None), (1, 0))
    """
    first = rows.start * stride - kernel // 2
    end = (rows.stop - 1) * stride - kernel // 2 + kernel
    inside = slice(max(first, 0), min(end, height))
    return inside, (inside.start - first, end - inside.stop)
