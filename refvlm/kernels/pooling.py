"""The way back through a window's largest value, a tap of the window at a time.

As many passes over the picture as the window has pixels, and no array that is larger
than it: the definition numbers every pixel of every window.
"""

from __future__ import annotations

import numpy as np

from .windows import geometry, pad, taps


def max_pool2d_vjp(d_out, out, x, kernel_size, stride, padding, dilation, ceil_mode):
    """Each window's gradient goes to the first pixel that equals its largest value;
    which of several NaN has it is left to the definition."""
    if out.dtype.kind != "f" or np.isnan(out).any():
        return NotImplemented
    stride = kernel_size if stride is None else stride
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
