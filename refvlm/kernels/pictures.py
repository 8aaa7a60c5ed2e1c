"""Norms of pictures: sums over channels as products, and everything else in place.

The sum over the channels of every pixel is the product of a row of ones with the
picture; the sum of their squares is formed without an array of them. The mean and the
deviation that all numbers of a channel share become one scale and one shift.
"""

from __future__ import annotations

import numpy as np

from ..sums import mean_and_variance, total


def channel_layer_norm(x, weight, bias, eps):
    """The channels of each pixel less their mean, over their deviation."""
    normal, _ = _standardized(x, eps)
    if weight is not None:
        normal *= weight[:, None]
    if bias is not None:
        normal += bias[:, None]
    return normal.reshape(x.shape)


def channel_layer_norm_vjp(d_out, x, weight, bias, eps):
    """The gradients of x, of the weight and of the bias."""
    normal, scale = _standardized(x, eps)
    d_pixels = d_out.reshape(normal.shape)
    d_normal = d_pixels if weight is None else d_pixels * weight[:, None]
    d_x = d_normal - _channel_mean(d_normal)
    d_x -= normal * _mean_product(d_normal, normal)
    d_x *= scale
    return (
        d_x.reshape(x.shape),
        None if weight is None else total(d_pixels * normal, (0, 2)),
        None if bias is None else total(d_pixels, (0, 2)),
    )


def batch_norm(x, running_mean, running_var, weight, bias, training, eps):
    """A scale and a shift for each channel."""
    mean, scale = _terms(x, running_mean, running_var, training, eps)
    if weight is not None:
        scale = scale * weight
    if not np.isfinite(scale).all():
        return NotImplemented  # of two infinities a shift makes nan
    shift = -mean * scale if bias is None else bias - mean * scale
    out = x * _per_channel(scale, x)
    out += _per_channel(shift, x)
    return out


def _terms(x, running_mean, running_var, training, eps):
    """The mean and 1 / deviation of each channel."""
    if training:
        axes = (0, *range(2, x.ndim))
        running_mean, running_var = mean_and_variance(x, axes)
    return running_mean, 1 / np.sqrt(running_var + eps)


def _per_channel(values, x):
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def _standardized(x, eps):
    """(b, c, pixels) less the mean of its channels, over their deviation; and 1 over
    that."""
    pixels = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
    centered = pixels - _channel_mean(pixels)
    scale = 1 / np.sqrt(_mean_product(centered, centered) + eps)
    centered *= scale
    return centered, scale


def _channel_mean(pixels):
    channels = pixels.shape[1]
    return (np.ones(channels, pixels.dtype) @ pixels / channels)[:, None]


def _mean_product(a, b):
    """The mean of a * b over the channels, without forming the product."""
    return (np.einsum("bcp,bcp->bp", a, b) / a.shape[1])[:, None]
