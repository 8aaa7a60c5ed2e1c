r"""Pooling: one number for each window, channel by channel.

The largest says whether a feature is anywhere in the window, the mean how much of
it there is. Neither has anything to learn. Both go from one pixel of the window to the
next, and take that of all windows at once.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ..autodiff import differentiable
from ..kernels import computed_by, pooling
from ..kernels.windows import geometry, overlap_add, windows
from ..shapes import shapes
from ..sums import total
from . import demands


@differentiable
@shapes(demands.window_of_max, x="... h w of numbers", as_stored=True)
def max_pool2d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    return_indices=False,
):
    r"""The largest value in each window:
    $y_{c,i,j} = \max_{u,v} x_{c,\,is+ud,\,js+vd}$.

    x is (..., c, h, w); the window's stride is its own size unless given. Padding
    stands for minus infinity and never wins. ceil_mode also takes the last windows
    that lie only partly inside. A NaN in a window comes out as NaN. With
    return_indices it is (values, where each was found), counted through its plane,
    row by row: of equals the first, of NaNs the last.

    Source: [Foundations] convolutional networks.
    Oracle: torch.nn.functional.max_pool2d.

    >>> max_pool2d(np.array([[[1.0, 5.0, 2.0, 3.0]]]), (1, 2), return_indices=True)
    (array([[[5., 3.]]]), array([[[1, 3]]]))
    """
    stride = kernel_size if stride in (None, ()) else stride
    walk = geometry(x.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    views = windows(x, walk, least_of(x.dtype))
    taps = (views[..., u, v, :, :] for u, v in np.ndindex(walk.kernel))
    largest = functools.reduce(np.maximum, taps, least_of(x.dtype))
    return (largest, winners(x, largest, walk)) if return_indices else largest


@max_pool2d.vjp
@computed_by(pooling.max_pool2d_vjp)
def max_pool2d_vjp(d_out, out, x, kernel_size, stride, padding, dilation, ceil_mode):
    r"""$\bar y$ goes to the pixel that won: of equals, the first in reading order."""
    stride = kernel_size if stride in (None, ()) else stride
    walk = geometry(x.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    won = winners(x, out, walk)[..., None, None, :, :] == pixels_seen(walk)
    return overlap_add(np.where(won, d_out[..., None, None, :, :], 0), walk)


def winners(x, largest, walk):
    """The pixel that each window's largest value comes from, counted row by row."""
    pixels, after = pixels_seen(walk), math.prod(walk.size)
    views = windows(x, walk)
    is_largest = (views == largest[..., None, None, :, :]) & (pixels >= 0)
    first = np.where(is_largest, pixels, after).min(axis=(-4, -3))
    last_nan = np.where(np.isnan(views), pixels, -1).max(axis=(-4, -3))
    return np.where(last_nan >= 0, last_nan, first)


def pixels_seen(walk):
    """The number of each pixel of a window, (kh, kw, h', w'); -1 is in the padding."""
    numbers = np.arange(math.prod(walk.size)).reshape(walk.size)
    return windows(numbers, walk, -1)


def least_of(dtype):
    """What padding holds so that it never wins."""
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


@differentiable
@shapes(demands.window_of_mean, x="... h w")
def avg_pool2d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    r"""The mean of each window:
    $y_{c,i,j} = \frac{1}{|W_{ij}|} \sum_{u,v} x_{c,\,is+u,\,js+v}$.

    x is (..., c, h, w); the window's stride is its own size unless given.
    $|W_{ij}|$ counts the window's pixels, those in the padding too unless
    count_include_pad is False, but never those past it (ceil_mode);
    divisor_override stands in its place.

    Source: [Kamath] the head's pooling. Oracle: torch.nn.functional.avg_pool2d.

    >>> avg_pool2d(np.array([[[1.0, 5.0, 2.0, 3.0]]]), (1, 2))
    array([[[3. , 2.5]]])
    """
    stride = kernel_size if stride in (None, ()) else stride
    walk = geometry(x.shape[-2:], kernel_size, stride, padding, 1, ceil_mode)
    views = windows(x, walk)
    sums = sum(views[..., u, v, :, :] for u, v in np.ndindex(walk.kernel))
    count = divisor_override or pixels_counted(walk, padding, count_include_pad)
    return (sums / count).astype(x.dtype)


@avg_pool2d.vjp
def avg_pool2d_vjp(
    d_out,
    x,
    kernel_size,
    stride,
    padding,
    ceil_mode,
    count_include_pad,
    divisor_override,
):
    r"""Every pixel of a window gets the same share, $\bar y / |W|$."""
    stride = kernel_size if stride in (None, ()) else stride
    walk = geometry(x.shape[-2:], kernel_size, stride, padding, 1, ceil_mode)
    count = divisor_override or pixels_counted(walk, padding, count_include_pad)
    share = (d_out / np.asarray(count, d_out.dtype))[..., None, None, :, :]
    shape = (*x.shape[:-2], *walk.kernel, *walk.out)
    return overlap_add(np.broadcast_to(share, shape), walk)


def pixels_counted(walk, padding, count_include_pad):
    """How many pixels each window counts: (h', w')."""
    outside = padding if count_include_pad else 0
    counts = []
    for n, margin, k, s, places, beyond in zip(
        walk.size,
        np.broadcast_to(padding, 2),
        walk.kernel,
        walk.stride,
        walk.out,
        np.broadcast_to(outside, 2),
    ):
        first = np.arange(places) * s - margin
        last = np.minimum(first + k, n + beyond)
        counts.append(last - np.maximum(first, -beyond))
    return np.multiply.outer(*counts)


@differentiable
@shapes(demands.a_grid_of_windows, x="... h w")
@computed_by(pooling.adaptive_avg_pool2d)
def adaptive_avg_pool2d(x, output_size):
    r"""The means of a grid of output_size windows that together cover the picture:
    window i of m, over n pixels, is
    $\lfloor i n / m \rfloor$ to $\lceil (i + 1) n / m \rceil - 1$.

    x is (..., c, h, w), the result (..., c, h', w'). Neighbouring windows share a
    pixel where m does not divide n. None in output_size keeps that axis.

    Source: [Kamath] the head's pooling.
    Oracle: torch.nn.functional.adaptive_avg_pool2d.

    >>> adaptive_avg_pool2d(np.array([[[1.0, 5.0, 3.0]]]), (1, 2))
    array([[[3., 4.]]])
    """
    rows, columns = grid_of_windows(x, output_size)
    out = np.empty((*x.shape[:-2], len(rows), len(columns)), x.dtype)
    for i, j in np.ndindex(len(rows), len(columns)):
        out[..., i, j] = x[..., rows[i], columns[j]].mean((-2, -1))
    return out


@adaptive_avg_pool2d.vjp
@computed_by(pooling.adaptive_avg_pool2d_vjp)
def adaptive_avg_pool2d_vjp(d_out, x, output_size):
    r"""Every pixel of a window gets the same share, $\bar y / |W|$."""
    rows, columns = grid_of_windows(x, output_size)
    d_x = np.zeros_like(x)
    for i, j in np.ndindex(len(rows), len(columns)):
        window = d_x[..., rows[i], columns[j]]
        window += d_out[..., i, j, None, None] / math.prod(window.shape[-2:])
    return d_x


def grid_of_windows(x, output_size):
    """The rows and the columns of each window, as slices."""
    is_pair = isinstance(output_size, (tuple, list))
    sizes = output_size if is_pair else (output_size, output_size)
    return [spans(n, n if m is None else m) for m, n in zip(sizes, x.shape[-2:])]


def spans(n, m):
    """m slices that cover n pixels.

    >>> spans(5, 2)
    [slice(0, 3, None), slice(2, 5, None)]
    """
    return [slice(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


@differentiable
@shapes(demands.pixels_to_average, x="... c h w", returns="... c")
def global_avg_pool2d(x):
    r"""The mean of each channel over the whole picture:
    $y_c = \frac{1}{hw} \sum_{i,j} x_{c,i,j}$.

    x is (..., c, h, w), the result (..., c).

    Source: [Kamath] the head's pooling.
    Oracle: torch.nn.functional.adaptive_avg_pool2d to 1 x 1.

    >>> global_avg_pool2d(np.array([[[1.0, 5.0], [2.0, 4.0]]]))
    array([3.])
    """
    return total(x, (-2, -1)) / math.prod(x.shape[-2:])


@global_avg_pool2d.vjp
def global_avg_pool2d_vjp(d_out, x):
    r"""$\bar x_{c,i,j} = \bar y_c / hw$."""
    share = d_out / math.prod(x.shape[-2:])
    return np.broadcast_to(share[..., None, None], x.shape)
