"""Norms of rows: sums as products, and everything else in place.

`np.vecdot` sums a row's products in one pass, without an array of them; a mean is the
product with a row of ones. What is left is written over one array, row by row in cache.
"""

from __future__ import annotations

import math

import numpy as np

from ..sums import total


def layer_norm(x, normalized_shape, weight, bias, eps):
    """The rows of x less their mean, over their deviation, scaled and shifted."""
    normal, _ = _standardized(_rows(x, normalized_shape), eps)
    return _affine(normal, weight, bias).reshape(x.shape)


def layer_norm_vjp(d_out, x, normalized_shape, weight, bias, eps):
    """The gradients of x, of nothing, of the weight and of the bias."""
    normal, scale = _standardized(_rows(x, normalized_shape), eps)
    d_rows = d_out.reshape(normal.shape)
    d_normal = d_rows if weight is None else d_rows * weight.reshape(-1)
    d_x = d_normal - d_normal.mean(axis=1, keepdims=True)
    d_x -= normal * _mean_product(d_normal, normal)
    d_x *= scale
    return d_x.reshape(x.shape), None, *_gradients(d_rows, normal, weight, bias)


def rms_norm(x, normalized_shape, weight, eps):
    """The rows of x over their root mean square, scaled."""
    rows = _rows(x, normalized_shape)
    eps = np.finfo(x.dtype).eps if eps is None else eps
    normal = rows * _reciprocal_rms(rows, eps)
    return _affine(normal, weight).reshape(x.shape)


def rms_norm_vjp(d_out, x, normalized_shape, weight, eps):
    """The gradients of x, of nothing, and of the weight."""
    rows = _rows(x, normalized_shape)
    eps = np.finfo(x.dtype).eps if eps is None else eps
    scale = _reciprocal_rms(rows, eps)
    normal, d_rows = rows * scale, d_out.reshape(rows.shape)
    d_normal = d_rows if weight is None else d_rows * weight.reshape(-1)
    d_x = d_normal - normal * _mean_product(d_normal, normal)
    d_x *= scale
    return d_x.reshape(x.shape), None, _gradients(d_rows, normal, weight, None)[0]


def _rows(x, normalized_shape):
    """x as (rows, features)."""
    is_list = isinstance(normalized_shape, (tuple, list))
    axes = len(normalized_shape) if is_list else 1
    return x.reshape(math.prod(x.shape[:-axes]), math.prod(x.shape[-axes:]))


def _standardized(rows, eps):
    """(rows - mean) / deviation, and 1 / deviation as a column."""
    features = rows.shape[1]
    mean = np.vecdot(rows, np.ones(features, rows.dtype)) / features
    centered = rows - mean[:, None]
    scale = _reciprocal_rms(centered, eps)
    centered *= scale
    return centered, scale


def _reciprocal_rms(rows, eps):
    return 1 / np.sqrt(_mean_product(rows, rows) + eps)


def _mean_product(a, b):
    """The mean of a * b over the features, without forming the product."""
    return (np.vecdot(a, b) / a.shape[1])[:, None]


def _affine(normal, weight, bias=None):
    """weight * normal + bias, over `normal`."""
    if weight is not None:
        normal *= weight.reshape(-1)
    if bias is not None:
        normal += bias.reshape(-1)
    return normal


def _gradients(d_rows, normal, weight, bias):
    """Those of the weight and of the bias, where they are."""
    d_weight = d_bias = None
    if weight is not None:
        d_weight = total(d_rows * normal, 0).reshape(weight.shape)
    if bias is not None:
        d_bias = total(d_rows, 0).reshape(bias.shape)
    return d_weight, d_bias
