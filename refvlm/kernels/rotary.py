"""Rotary positions over one array: the partners first, then everything in place."""

from __future__ import annotations

import numpy as np


def apply_rotary(x, cos, sin, interleaved):
    """x times the cosines, and what each feature is paired with times the sines."""
    lead = x.shape[:-1]
    if cos.shape[:-1] != lead:
        lead = np.broadcast_shapes(lead, cos.shape[:-1])
    turned = np.empty((*lead, x.shape[-1]), x.dtype)
    a, b = _pairs(turned, interleaved)
    x_a, x_b = _pairs(x, interleaved)
    a[...] = -x_b  # np.negative(out=) of two strides is wrong in some NumPy
    b[...] = x_a
    turned *= _for_both(sin, x.dtype, interleaved)
    turned += x * _for_both(cos, x.dtype, interleaved)
    return turned


def _pairs(x, interleaved):
    """The first and the second feature of every pair, as views."""
    if interleaved:
        return x[..., 0::2], x[..., 1::2]
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def _for_both(angles, dtype, interleaved):
    """(..., pairs) -> (..., d): each entry once for each feature of its pair."""
    angles = angles.astype(dtype, copy=False)
    if interleaved:
        return np.repeat(angles, 2, axis=-1)
    return np.concatenate([angles, angles], axis=-1)
