r"""Pooling without its windows.

The way back through a window's largest value goes a tap of the window at a time: as
many passes over the picture as the window has pixels, and no array that is larger than
it. The definition numbers every pixel of every window.

A mean is linear, so a grid of means is two matrix products, $A_h X A_w^\top$, where row
i of $A$ has the share of each pixel in window i.
"""

from __future__ import annotations

import numpy as np

from .windows import geometry, pad, taps


def max_pool2d_vjp(d_out, out, x, kernel_size, stride, padding, dilation, ceil_mode):
    """Each window's gradient goes to the first pixel that equals its largest value;
    which of several NaN has it is left to the definition."""
    if out.dtype.kind != "f" or np.isnan(out).any():
        return NotImplemented
    stride = kernel_size if stride in (None, ()) else stride
    walk = geometry(x.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    padded = pad(x, walk, -np.inf)
    inside = pad(np.ones(walk.size, bool), walk, False)
    d_padded = np.zeros(padded.shape, d_out.dtype)
    unclaimed = np.ones(out.shape, bool)
    for _, places in taps(walk):
        wins = (padded[..., *places] == out) & unclaimed & inside[places]
        unclaimed ^= wins
        d_padded[..., *places] += d_out * wins
    top, left = (before for before, _ in walk.padding)
    height, width = walk.size
    return d_padded[..., top : top + height, left : left + width]


def adaptive_avg_pool2d(x, output_size):
    """Two products. In them a zero share of nan is nan: what is not finite is left to
    the definition, here and on the way back."""
    rows, columns = averaging(x, output_size)
    with np.errstate(over="ignore", invalid="ignore"):
        return _finite(rows @ x @ columns.T)


def adaptive_avg_pool2d_vjp(d_out, x, output_size):
    """The transposed matrices."""
    rows, columns = averaging(x, output_size)
    with np.errstate(over="ignore", invalid="ignore"):
        return _finite(rows.T @ d_out @ columns)


def averaging(x, output_size):
    """The matrices $A_h$ (h', h) and $A_w$ (w', w) of adaptive pooling."""
    if not isinstance(output_size, (tuple, list)):
        output_size = (output_size, output_size)
    matrices = []
    for m, n in zip(output_size, x.shape[-2:]):
        m = n if m is None else m
        window, pixel = np.arange(m)[:, None], np.arange(n)
        inside = (pixel >= window * n // m) & (pixel < -(-(window + 1) * n // m))
        mean = inside / inside.sum(axis=1, keepdims=True)
        matrices.append(mean.astype(x.dtype))
    return matrices


def _finite(out):
    return out if np.isfinite(out).all() else NotImplemented
