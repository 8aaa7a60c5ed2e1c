r"""Pooling: one number for each window, channel by channel.

The largest says whether a feature is anywhere in the window, the mean how much of
it there is. Neither has anything to learn. Both are taken tap by tap: as many
passes over the picture as the window has pixels, and no loop over windows.
"""

from __future__ import annotations

import math

import numpy as np

from ..autodiff import differentiable
from ..kernels.windows import (
    Geometry,
    geometry,
    pad,
    padded_zeros,
    per_axis,
    taps,
    unpad,
)
from ..shapes import ShapeError, shapes


@differentiable
@shapes(x="... h w of numbers")
def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    r"""The largest value in each window:
    $y_{c,i,j} = \max_{u,v} x_{c,\,is+ud,\,js+vd}$.

    x is (..., c, h, w); the window's stride is its own size unless given. Padding
    stands for minus infinity and never wins. ceil_mode also takes the last windows
    that lie only partly inside. A NaN in a window comes out as NaN.

    Source: [Foundations] convolutional networks.
    Oracle: torch.nn.functional.max_pool2d.

    >>> max_pool2d(np.array([[[1.0, 5.0, 2.0, 3.0]]]), (1, 2))
    array([[[5., 3.]]])
    """
    walk = walk_of("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    padded = pad(x, walk, _lowest(x.dtype))
    (_, first), *rest = taps(walk)
    out = padded[..., *first].copy()
    for _, places in rest:
        np.maximum(out, padded[..., *places], out=out)
    return out


@max_pool2d.vjp
def max_pool2d_vjp(d_out, out, x, kernel_size, stride, padding, dilation, ceil_mode):
    r"""$\bar y$ goes to the pixel that won: of equals, the first in reading order."""
    walk = walk_of("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    padded = pad(x, walk, _lowest(x.dtype))
    d_padded = padded_zeros(x.shape[:-2], walk, d_out.dtype)
    unclaimed = np.ones(out.shape, bool)
    for _, places in taps(walk):
        wins = (padded[..., *places] == out) & unclaimed
        unclaimed ^= wins
        d_padded[..., *places] += d_out * wins
    return unpad(d_padded, walk)


@differentiable
@shapes(x="... h w")
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
    walk = walk_of("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    padded = pad(x, walk)
    total = np.zeros((*x.shape[:-2], *walk.out), np.result_type(x, np.float32))
    for _, places in taps(walk):
        total += padded[..., *places]
    total /= divisors(walk, padding, count_include_pad, divisor_override)
    return total.astype(x.dtype, copy=False)


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
    walk = walk_of("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    counted = divisors(walk, padding, count_include_pad, divisor_override)
    share = (d_out / counted).astype(d_out.dtype, copy=False)
    d_padded = padded_zeros(x.shape[:-2], walk, d_out.dtype)
    for _, places in taps(walk):
        d_padded[..., *places] += share
    return unpad(d_padded, walk)


@differentiable
@shapes(x="... h w")
def adaptive_avg_pool2d(x, output_size):
    r"""The means of a grid of output_size windows that together cover the picture:
    $Y = A_h X A_w^\top$, where row i of $A$ averages pixels
    $\lfloor i n / m \rfloor$ to $\lceil (i + 1) n / m \rceil - 1$.

    x is (..., c, h, w), the result (..., c, h', w'). Neighbouring windows share a
    pixel where m does not divide n. None in output_size keeps that axis.

    Source: [Kamath] the head's pooling.
    Oracle: torch.nn.functional.adaptive_avg_pool2d.

    >>> adaptive_avg_pool2d(np.array([[[1.0, 5.0, 3.0]]]), (1, 2))
    array([[[3., 4.]]])
    """
    rows, columns = averaging(x, output_size)
    return rows @ x @ columns.T


@adaptive_avg_pool2d.vjp
def adaptive_avg_pool2d_vjp(d_out, x, output_size):
    r"""$\bar X = A_h^\top \bar Y A_w$."""
    rows, columns = averaging(x, output_size)
    return rows.T @ d_out @ columns


@differentiable
@shapes(x="... c h w", returns="... c")
def global_avg_pool2d(x):
    r"""The mean of each channel over the whole picture:
    $y_c = \frac{1}{hw} \sum_{i,j} x_{c,i,j}$.

    x is (..., c, h, w), the result (..., c).

    Source: [Kamath] the head's pooling.
    Oracle: torch.nn.functional.adaptive_avg_pool2d to 1 x 1.

    >>> global_avg_pool2d(np.array([[[1.0, 5.0], [2.0, 4.0]]]))
    array([3.])
    """
    if 0 in x.shape[-2:]:
        raise ShapeError(f"global_avg_pool2d: x {x.shape} has no pixels to average")
    return x.mean(axis=(-2, -1))


@global_avg_pool2d.vjp
def global_avg_pool2d_vjp(d_out, x):
    r"""$\bar x_{c,i,j} = \bar y_c / hw$."""
    share = d_out / math.prod(x.shape[-2:])
    return np.broadcast_to(share[..., None, None], x.shape)


def walk_of(name, x, kernel_size, stride, padding, dilation, ceil_mode) -> Geometry:
    """The geometry of a pooling window, with a padding that cannot fill it."""
    stride = kernel_size if stride is None else stride
    size = x.shape[-2:]
    walk = geometry(size, kernel_size, stride, padding, dilation, ceil_mode, name)
    margins = per_axis(padding, 2, f"{name}: padding")
    reach = [d * (k - 1) + 1 for k, d in zip(walk.kernel, walk.dilation)]
    if any(2 * margin > r for margin, r in zip(margins, reach)):
        raise ValueError(
            f"{name}: padding {margins} is more than half of the window "
            f"{tuple(reach)}, which could then lie wholly outside the picture"
        )
    return walk


def divisors(walk, padding, count_include_pad, divisor_override):
    """How many pixels each window counts: (h', w'), or the one number given."""
    if divisor_override is not None:
        if divisor_override == 0:
            raise ValueError("avg_pool2d: divisor_override must not be 0")
        return np.asarray(divisor_override)
    counts = []
    for axis, margin in enumerate(per_axis(padding, 2, "avg_pool2d: padding")):
        n, outside = walk.size[axis], margin if count_include_pad else 0
        first = np.arange(walk.out[axis]) * walk.stride[axis] - margin
        last = np.minimum(first + walk.kernel[axis], n + outside)
        counts.append(last - np.maximum(first, -outside))
    return np.multiply.outer(*counts)


def averaging(x, output_size):
    """The matrices $A_h$ (h', h) and $A_w$ (w', w) of adaptive pooling."""
    sizes = x.shape[-2:]
    if not isinstance(output_size, (tuple, list)):
        output_size = (output_size, output_size)
    wanted = [n if m is None else m for m, n in zip(output_size, sizes)]
    wanted += output_size[2:]  # one too many is for per_axis to refuse
    name = "adaptive_avg_pool2d: output_size"
    return [
        _averages(m, n, x.dtype)
        for m, n in zip(per_axis(wanted, 2, name, least=1), sizes)
    ]


def _averages(m, n, dtype):
    if n < 1:
        raise ShapeError("adaptive_avg_pool2d: a picture without pixels has no mean")
    window, pixel = np.arange(m)[:, None], np.arange(n)
    inside = (pixel >= window * n // m) & (pixel < -(-(window + 1) * n // m))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(dtype)


def _lowest(dtype):
    """What padding holds so that it never wins."""
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
