"""Convolution by matrix products: which of them, and what is kept for the way back.

depthwise      banded.py: a filter's rows as a band; depthwise.py: its derivatives
               across.py: with a tape, where maps are narrow, all pictures at once
anything else  rowwise.py: the columns of a few rows of output at a time, in cache
with a tape    columns.py: the columns of the whole picture, which the derivative
               of the weight reads again
transposed     columns.py, walked the other way
"""

from __future__ import annotations

import math

from ..sums import total
from .across import depthwise_across, depthwise_across_vjp, is_narrow
from .banded import depthwise_banded
from .columns import columns_of, correlate, correlate_back, correlate_weight
from .depthwise import depthwise_vjp
from .rowwise import correlate_by_rows
from .windows import geometry, geometry_back


def convolve(x, weight, bias, stride, padding, dilation, groups, residuals):
    """x (..., c_in, *size) seen through the weight (c_out, c_group, *kernel)."""
    axes = weight.ndim - 2
    walk = geometry(x.shape[-axes:], weight.shape[2:], stride, padding, dilation)
    images = as_images(x, axes)
    if is_depthwise(weight, groups):
        taped = residuals is not None and is_narrow(walk)
        quick = depthwise_across if taped else depthwise_banded
        out = quick(images, weight, walk, bias)
        if out is NotImplemented:
            return NotImplemented
    elif residuals is None:
        out = correlate_by_rows(images, weight, walk, bias, groups)
    else:
        residuals["columns"] = columns_of(images, walk, groups)
        out = correlate(residuals["columns"], weight, bias, groups)
    return out.reshape(*x.shape[: -axes - 1], len(weight), *walk.out)


def convolve_vjp(
    d_out, x, weight, bias, stride, padding, dilation, groups, needs, columns
):
    """Those gradients of x, of the weight and of the bias that are needed."""
    axes = weight.ndim - 2
    walk = geometry(x.shape[-axes:], weight.shape[2:], stride, padding, dilation)
    d_images, d_x, d_weight, d_bias = as_images(d_out, axes), None, None, None
    if is_depthwise(weight, groups):
        back = depthwise_across_vjp if is_narrow(walk) else depthwise_vjp
        found = back(d_images, as_images(x), weight, walk, needs)
        if found is NotImplemented:
            return NotImplemented
        d_x, d_weight = found
    else:
        if "x" in needs:
            d_x = correlate_back(d_images, weight, walk, groups)
        if "weight" in needs:
            if columns is None:
                columns = columns_of(as_images(x, axes), walk, groups)
            d_weight = correlate_weight(d_images, columns, weight.shape)
    if "bias" in needs:
        d_bias = sum_of_places(d_images)
    return None if d_x is None else d_x.reshape(x.shape), d_weight, d_bias


def spread(x, weight, bias, stride, padding, output_padding, groups, dilation):
    """Transposed: each number of x (..., c_in, *size) over a window of the result."""
    axes = weight.ndim - 2
    walk = geometry_back(
        x.shape[-axes:], weight.shape[2:], stride, padding, output_padding, dilation
    )
    out = correlate_back(as_images(x, axes), weight, walk, groups)
    if bias is not None:
        out = out + bias.reshape(-1, *[1] * axes)
    return out.reshape(*x.shape[: -axes - 1], *out.shape[1:])


def spread_vjp(
    d_out, x, weight, bias, stride, padding, output_padding, groups, dilation, needs
):
    """Those gradients that are needed: the convolution, and a product of columns."""
    axes = weight.ndim - 2
    walk = geometry_back(
        x.shape[-axes:], weight.shape[2:], stride, padding, output_padding, dilation
    )
    d_images, d_x, d_weight, d_bias = as_images(d_out, axes), None, None, None
    if "x" in needs or "weight" in needs:
        columns = columns_of(d_images, walk, groups)
    if "x" in needs:
        d_x = correlate(columns, weight, None, groups).reshape(x.shape)
    if "weight" in needs:
        d_weight = correlate_weight(as_images(x, axes), columns, weight.shape)
    if "bias" in needs:
        d_bias = sum_of_places(d_images)
    return d_x, d_weight, d_bias


def is_depthwise(weight, groups):
    """Whether the filters are of a picture, and each of one channel."""
    return weight.ndim == 4 and weight.shape[1] == 1 < groups


def as_images(x, axes=2):
    """(..., channels, *size) -> (images, channels, *size)."""
    return x.reshape(math.prod(x.shape[: -axes - 1]), *x.shape[-axes - 1 :])


def sum_of_places(d_images):
    """What a number that was added everywhere gets back: one sum for each channel."""
    return total(d_images, (0, *range(2, d_images.ndim)))
