r"""Normalisation: shift numbers to mean 0, scale to variance 1, then learn both back.

These norms look at one sample only, and differ in which of its numbers share a mean:
the features of one token (layer norm), the channels of one pixel (channel layer
norm), a group of channels (group norm), one channel (instance norm). RMS norm leaves
the mean where it is. Half precision is summed in float32, whose range holds a square.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import check_whole
from ..autodiff import differentiable, unbroadcast
from ..kernels import computed_by, rows
from ..shapes import ShapeError, shapes
from .batch_normalization import batch_norm


@differentiable
@shapes(
    x="... *normalized_shape",
    weight="*normalized_shape",
    bias="*normalized_shape",
)
@computed_by(rows.layer_norm)
def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    r"""Normalise the features of each token:
    $y = \gamma \odot (x - \mu)/\sqrt{\sigma^2 + \epsilon} + \beta$.

    $\mu$ and the biased $\sigma^2$ are over the last axes of x, those named by
    `normalized_shape`, which is also the shape of weight $\gamma$ and bias $\beta$.

    Source: [Cortes] 2.1. Oracle: torch.nn.functional.layer_norm.

    >>> layer_norm(np.array([1.0, 3.0]), (2,), eps=0.0)
    array([-1.,  1.])
    """
    axes = last_axes(normalized_shape)
    mean = x.mean(axes, keepdims=True)
    variance = np.square(x - mean).mean(axes, keepdims=True)
    normal = (x - mean) / np.sqrt(variance + eps)
    return affine(normal, weight, bias)


@layer_norm.vjp
@computed_by(rows.layer_norm_vjp)
def layer_norm_vjp(d_out, x, normalized_shape, weight, bias, eps):
    r"""With $\hat x = (x - \mu)/\sigma$ and $g = \gamma \odot \bar y$:
    $\bar x = (g - \langle g \rangle - \hat x\,\langle g \odot \hat x\rangle)/\sigma$,
    where $\langle\cdot\rangle$ is the mean over the features: what a common shift or
    scale of x would do is taken out, since the norm undoes it. And
    $\bar\gamma = \sum \bar y \odot \hat x$, $\bar\beta = \sum \bar y$ over the tokens.
    """
    axes = last_axes(normalized_shape)
    deviation = np.sqrt(x.var(axes, keepdims=True) + eps)
    normal = (x - x.mean(axes, keepdims=True)) / deviation
    g = affine(d_out, weight)
    along = (g * normal).mean(axes, keepdims=True) * normal
    d_x = (g - g.mean(axes, keepdims=True) - along) / deviation
    d_weight = None if weight is None else unbroadcast(d_out * normal, weight.shape)
    d_bias = None if bias is None else unbroadcast(d_out, bias.shape)
    return d_x, None, d_weight, d_bias


@differentiable
@shapes(x="... *normalized_shape", weight="*normalized_shape")
@computed_by(rows.rms_norm)
def rms_norm(x, normalized_shape, weight=None, eps=None):
    r"""Divide by the root mean square:
    $y = \gamma \odot x / \sqrt{\langle x^2 \rangle + \epsilon}$.

    The mean square is over the last axes of x, those named by `normalized_shape`. An
    eps of None is the machine epsilon of x's dtype, for half precision float32's, as
    in PyTorch; Qwen2 has 1e-6.

    Source: [MicroVLM-V] 3, which names it and gives no formula.
    Oracle: torch.nn.functional.rms_norm.

    >>> rms_norm(np.array([3.0, -3.0]), (2,))
    array([ 1., -1.])
    """
    eps = np.finfo(x.dtype).eps if eps is None else eps
    mean_square = np.square(x).mean(last_axes(normalized_shape), keepdims=True)
    return affine(x / np.sqrt(mean_square + eps), weight)


@rms_norm.vjp
@computed_by(rows.rms_norm_vjp)
def rms_norm_vjp(d_out, x, normalized_shape, weight, eps):
    r"""With $\hat x = x/r$ and $g = \gamma \odot \bar y$:
    $\bar x = (g - \hat x\,\langle g \odot \hat x\rangle)/r$ and
    $\bar\gamma = \sum \bar y \odot \hat x$."""
    axes = last_axes(normalized_shape)
    eps = np.finfo(x.dtype).eps if eps is None else eps
    rms = np.sqrt(np.square(x).mean(axes, keepdims=True) + eps)
    normal, g = x / rms, affine(d_out, weight)
    d_x = (g - normal * (g * normal).mean(axes, keepdims=True)) / rms
    return (
        d_x,
        None,
        None if weight is None else unbroadcast(d_out * normal, weight.shape),
    )


def last_axes(normalized_shape):
    """As many axes as `normalized_shape` lists, counted from the end."""
    return tuple(range(-np.size(normalized_shape), 0))


def affine(normal, weight=None, bias=None):
    r"""$\gamma \odot \hat x + \beta$, of what is given of it."""
    scaled = normal if weight is None else normal * weight
    return scaled if bias is None else scaled + bias


@differentiable
@shapes(x="b c h w", weight="c", bias="c", returns="b c h w")
def channel_layer_norm(x, weight=None, bias=None, eps=1e-5):
    r"""Layer norm over the channels of each pixel p:
    $y_{cp} = \gamma_c\,(x_{cp} - \mu_p)/\sqrt{\sigma^2_p + \epsilon} + \beta_c$.

    x is (b, c, h, w) and stays so: the axis that is averaged is not the last one.

    Source: [Kamath] stages 4-5. Oracle: timm.layers.LayerNorm2d.

    >>> channel_layer_norm(np.array([[[[1.0]], [[3.0]]]]), eps=0.0).ravel()
    array([-1.,  1.])
    """
    normal, _ = _standardize_channels(x, eps)
    return _like(x, _affine(normal, _column(weight), _column(bias)))


@channel_layer_norm.vjp
def channel_layer_norm_vjp(d_out, x, weight, bias, eps):
    r"""That of `layer_norm`, with the means over the channels."""
    normal, scale = _standardize_channels(x, eps)
    d_pixels = d_out.reshape(normal.shape)
    d_x = _times(d_pixels, _column(weight))
    shared = normal * _channel_mean(d_x * normal)
    d_x = d_x - _channel_mean(d_x)
    d_x -= shared
    d_x *= scale
    return _like(x, d_x), *_column_gradients(d_pixels, normal, weight, bias)


@differentiable
@shapes(x="b c ...", weight="c", bias="c", returns="b c ...")
def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    r"""Normalise each group $G$ of channels of a sample over the group and the picture:
    $y_c = \gamma_c\,(x_c - \mu_G)/\sqrt{\sigma_G^2 + \epsilon} + \beta_c$.

    x is (b, c, ...), `num_groups` divides c: one group is a layer norm of the whole
    sample, c groups are an instance norm.

    Source: [Wu2018]. Oracle: torch.nn.functional.group_norm.

    >>> group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), num_groups=2, eps=0.0)
    array([[-1.,  1., -1.,  1.]])
    """
    normal, _ = _standardize(_grouped(x, num_groups), eps)
    normal = normal.reshape(*x.shape[:2], -1)
    return _like(x, _affine(normal, _column(weight), _column(bias)))


@group_norm.vjp
def group_norm_vjp(d_out, x, num_groups, weight, bias, eps):
    r"""That of `layer_norm`, with the means over the group and the picture."""
    normal, scale = _standardize(_grouped(x, num_groups), eps)
    d_channels = d_out.reshape(*x.shape[:2], -1)
    d_normal = _times(d_channels, _column(weight)).reshape(normal.shape)
    d_x = _like(x, _standardize_vjp(d_normal, normal, scale))
    normal = normal.reshape(d_channels.shape)
    return d_x, None, *_column_gradients(d_channels, normal, weight, bias)


def instance_norm(
    x,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    r"""Normalise each channel of a sample over its picture: `group_norm` with a group
    for every channel.

    Without `use_input_stats` the running statistics serve, as in `batch_norm`;
    nothing updates them.

    Source: [Ulyanov2016]. Oracle: torch.nn.functional.instance_norm.

    >>> instance_norm(np.array([[[1.0, 3.0], [10.0, 30.0]]]), eps=0.0)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    if x.ndim < 3 or math.prod(x.shape[2:]) < 2:
        raise ShapeError(
            f"instance_norm: x is {x.shape}, but a channel of one value has no spread"
        )
    return group_norm(x, x.shape[1], weight, bias, eps)


def _rows(x, normalized_shape, name, weight=None, bias=None):
    """x as (rows, features), once everything is known to fit."""
    if isinstance(normalized_shape, (int, np.integer)):
        normalized_shape = (normalized_shape,)
    shape = tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape or 0 in shape:
        raise ShapeError(f"{name}: x is {x.shape}, but its last axes should be {shape}")
    for word, values in (("weight", weight), ("bias", bias)):
        if values is not None and values.shape != shape:
            raise ShapeError(f"{name}: {word} is {values.shape}, but should be {shape}")
    features = math.prod(shape)
    return _wide(x).reshape(x.size // features, features)


def _grouped(x, num_groups):
    channels = x.shape[1]
    check_whole("group_norm", least=1, num_groups=num_groups)
    if channels % num_groups or 0 in x.shape[1:]:
        raise ShapeError(
            f"group_norm: x is {x.shape}, whose {channels} channels do not make "
            f"{num_groups} equal groups"
        )
    return _wide(x).reshape(len(x) * num_groups, -1)


def _standardize(rows, eps):
    """(rows - mean) / deviation, and 1 / deviation as a column."""
    features = rows.shape[1]
    mean = np.vecdot(rows, np.ones(features, rows.dtype)) / features
    centred = rows - mean[:, None]
    scale = _reciprocal_rms(centred, eps)
    centred *= scale
    return centred, scale


def _standardize_vjp(d_normal, normal, scale):
    d_rows = d_normal - d_normal.mean(axis=1, keepdims=True)
    d_rows -= normal * _mean_product(d_normal, normal)
    d_rows *= scale
    return d_rows


def _reciprocal_rms(rows, eps):
    return 1 / np.sqrt(_mean_product(rows, rows) + eps)


def _mean_product(a, b):
    """The mean of a * b over the features, without forming the product."""
    return (np.vecdot(a, b) / a.shape[1])[:, None]


def _standardize_channels(x, eps):
    """The same over the middle axis of (b, c, pixels)."""
    pixels = _wide(x).reshape(*x.shape[:2], -1)
    centred = pixels - _channel_mean(pixels)
    scale = 1 / np.sqrt(_channel_mean(np.square(centred)) + eps)
    centred *= scale
    return centred, scale


def _channel_mean(pixels):
    channels = pixels.shape[1]
    return (np.ones(channels, pixels.dtype) @ pixels / channels)[:, None]


def _column_gradients(d_out, normal, weight, bias):
    return (
        _like(weight, (d_out * normal).sum(axis=(0, 2))),
        _like(bias, d_out.sum(axis=(0, 2))),
    )


def _affine(normal, weight, bias=None):
    """weight * normal + bias, in place: `normal` is ours."""
    if weight is not None:
        normal *= weight
    if bias is not None:
        normal += bias
    return normal


def _times(d_out, weight):
    return d_out if weight is None else d_out * weight


def _flat(values):
    return None if values is None else values.reshape(-1)


def _column(values):
    return None if values is None else values[:, None]


def _wide(x):
    return x.astype(np.result_type(x.dtype, np.float32), copy=False)


def _like(x, values):
    """Values in the shape and dtype of x; None for an x that was not given."""
    return None if x is None else values.reshape(x.shape).astype(x.dtype, copy=False)


def _machine_epsilon(x):
    return float(np.finfo(x.dtype).eps)
