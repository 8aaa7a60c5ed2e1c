r"""The derivatives of a depthwise convolution, which are depthwise as well.

For the picture, the filter turned round walks over the gradients (`banded.py`'s
product); for the filter, each tap is the inner product of the gradients with what that
tap looked at.
"""

from __future__ import annotations

import functools

import numpy as np

from ..sums import total
from .banded import depthwise_banded
from .windows import Geometry, pad, taps


def depthwise_vjp(d_out, x, weight, walk: Geometry, needs):
    """The gradients of x and of the weight, as far as they are needed.

    NotImplemented as `depthwise_banded`.
    """
    d_x = d_weight = None
    if "x" in needs:
        d_x = depthwise_back(d_out, weight, walk, x.shape[1])
        if d_x is NotImplemented:
            return NotImplemented
    if "weight" in needs:
        d_weight = depthwise_weight(d_out, x, weight, walk)
    return d_x, d_weight


def depthwise_back(d_out, weight, walk: Geometry, channels):
    r"""$\bar x_{c,\,is+ud,\,js+vd} \mathrel{+}= w_{c,u,v}\,\bar y_{c,i,j}$.

    (images, c m, h', w') -> (images, c, h, w): a depthwise convolution over the
    spread gradients with the filter turned round, one for each of the m filters.
    NotImplemented as `depthwise_banded`.
    """
    turned = weight[:, :, ::-1, ::-1]
    framed, many = spread(d_out, walk), len(weight) // channels
    still = ((0, 0), (0, 0))
    back = Geometry(
        walk.kernel, (1, 1), still, walk.dilation, framed.shape[-2:], walk.size
    )
    parts = [
        depthwise_banded(framed[:, m::many], turned[m::many], back) for m in range(many)
    ]
    if any(part is NotImplemented for part in parts):
        return NotImplemented
    return functools.reduce(np.add, parts)


def spread(d_out, walk: Geometry):
    """Gradients put back where their windows ended, zeros between and around.

    A window that slides over the result, without padding and in steps of one, meets
    at pixel x all the windows that had seen x.
    """
    room, inside, given = [], [], []
    for n, count, k, s, d, (before, _) in zip(
        walk.size, walk.out, walk.kernel, walk.stride, walk.dilation, walk.padding
    ):
        reach = d * (k - 1)
        shift = reach - before
        first = max(0, -(shift // s))  # windows wholly in the padding saw no pixel
        last = min(count - 1, (n + reach - 1 - shift) // s)
        room.append(n + reach)
        given.append(slice(first, last + 1))
        inside.append(slice(first * s + shift, last * s + shift + 1, s))
    framed = np.zeros((*d_out.shape[:-2], *room), d_out.dtype)
    framed[:, :, *inside] = d_out[:, :, *given]
    return framed


def depthwise_weight(d_out, x, weight, walk: Geometry):
    r"""$\bar w_{c,u,v} = \sum_{i,j} \bar y_{c,i,j}\, x_{c,\,is+ud,\,js+vd}$."""
    images, channels = x.shape[:2]
    padded = pad(x, walk)
    many, places = len(weight) // channels, walk.out[0] * walk.out[1]
    d_out = d_out.reshape(images, channels, many, places)
    d_weight = np.empty((channels, many, *walk.kernel), d_out.dtype)
    for (u, v), (rows, columns) in sorted(taps(walk), key=lambda tap: tap[0][1]):
        if u == 0:  # one copy for each column of the filter; its rows are views of it
            shifted = np.ascontiguousarray(padded[..., columns])
        looked = shifted[:, :, rows].reshape(images, channels, 1, places)
        d_weight[:, :, u, v] = total(np.vecdot(looked, d_out), 0)
    return d_weight.reshape(weight.shape)
