"""Norms of pictures: sums over channels as products, and everything else in place.

The sum over the channels of every pixel is the product of a row of ones with the
picture; the sum of their squares is formed without an array of them. The mean and the
deviation that all numbers of a channel share become one scale and one shift.
"""

from __future__ import annotations

import math

import numpy as np

from ..parallel import blocks
from ..sums import total

LONGEST = 4096  # numbers in one inner product, which has 16 running totals or more


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
    """A scale and a shift for each channel; in training, over what it was centered."""
    mean, variance = running_mean, running_var
    if training:
        centered, mean, variance = _centered(x)
    scale = 1 / np.sqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    if not np.isfinite(scale).all():
        return NotImplemented  # of two infinities a shift makes nan
    if training:
        out = centered
        out *= scale[:, None]
        if bias is not None:
            out += bias[:, None]
        return out.reshape(x.shape)
    shift = -mean * scale if bias is None else bias - mean * scale
    out = x * _per_channel(scale, x)
    out += _per_channel(shift, x)
    return out


def batch_norm_vjp(d_out, x, running_mean, running_var, weight, bias, training, eps):
    """In training: a multiple of the gradient, one of x, and a shift.

    Otherwise, and of what is not finite, as it is defined.
    """
    if not (training and x.size):
        return NotImplemented
    centered, _, variance = _centered(x)
    d_pixels, count = d_out.reshape(centered.shape), x.size // x.shape[1]
    scale = 1 / np.sqrt(variance + eps)
    d_weight, d_bias = _sums(d_pixels, centered) * scale, _sums(d_pixels)
    slope = scale if weight is None else scale * weight
    absorbed = -slope * scale * d_weight / count
    shift = -slope * d_bias / count
    if not (np.isfinite(absorbed).all() and np.isfinite(shift).all()):
        return NotImplemented
    d_x = centered
    d_x *= absorbed[:, None]
    d_x += shift[:, None]
    d_x += d_pixels * slope[:, None]
    return (
        d_x.reshape(x.shape),
        None,
        None,
        None if weight is None else d_weight,
        None if bias is None else d_bias,
    )


def batch_norm_statistics(x, running_mean, running_var, momentum):
    """A step of the running mean and variance, the sums as products."""
    _, mean, variance = _centered(x)
    count = x.size // x.shape[1]
    return (
        (1 - momentum) * running_mean + momentum * mean,
        (1 - momentum) * running_var + momentum * variance * (count / (count - 1)),
    )


def _centered(x):
    """(b, c, places) less the mean of each channel, that mean, and the variance."""
    places = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    count = x.size // x.shape[1]
    mean = _sums(places) / count
    centered = places - mean[:, None]
    return centered, mean, _sums(centered, centered) / count


def _sums(a, b=None):
    """The sum of a, or of a * b, over the batch and the places: one for a channel.

    An inner product adds in some dozen running totals, so long rows are cut.
    """
    b = np.ones(a.shape[2], a.dtype) if b is None else b
    if a.shape[2] <= LONGEST:
        return total(np.vecdot(a, b), 0)
    parts = [np.vecdot(a[..., p], b[..., p]) for p in blocks(a.shape[2], LONGEST)]
    return total(np.concatenate(parts), 0)


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
