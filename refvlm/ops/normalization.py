r"""Normalisation: shift numbers to mean 0, scale to variance 1, then learn both back.

These norms look at one sample only, and differ in which of its numbers share a mean:
the features of one token (layer norm), the channels of one pixel (channel layer
norm), a group of channels (group norm), one channel (instance norm). RMS norm leaves
the mean where it is.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..kernels import computed_by, pictures, rows
from ..shapes import shapes
from ..sums import total
from . import demands
from .batch_normalization import batch_norm
from .scale_and_shift import affine, per_channel


@differentiable
@shapes(
    demands.eps_is_a_size,
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
@shapes(
    demands.eps_is_a_size_or_none,
    x="... *normalized_shape",
    weight="*normalized_shape",
)
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


@differentiable
@shapes(demands.eps_is_a_size, x="b c h w", weight="c", bias="c", returns="b c h w")
@computed_by(pictures.channel_layer_norm)
def channel_layer_norm(x, weight=None, bias=None, eps=1e-5):
    r"""Layer norm over the channels of each pixel p:
    $y_{cp} = \gamma_c\,(x_{cp} - \mu_p)/\sqrt{\sigma^2_p + \epsilon} + \beta_c$.

    x is (b, c, h, w) and stays so: the axis that is averaged is not the last one.

    Source: [Kamath] stages 4-5. Oracle: timm.layers.LayerNorm2d.

    >>> channel_layer_norm(np.array([[[[1.0]], [[3.0]]]]), eps=0.0).ravel()
    array([-1.,  1.])
    """
    mean = x.mean(1, keepdims=True)
    variance = np.square(x - mean).mean(1, keepdims=True)
    normal = (x - mean) / np.sqrt(variance + eps)
    return affine(normal, per_channel(weight, x), per_channel(bias, x))


@channel_layer_norm.vjp
@computed_by(pictures.channel_layer_norm_vjp)
def channel_layer_norm_vjp(d_out, x, weight, bias, eps):
    r"""That of `layer_norm`, with the means over the channels."""
    deviation = np.sqrt(x.var(1, keepdims=True) + eps)
    normal = (x - x.mean(1, keepdims=True)) / deviation
    g = affine(d_out, per_channel(weight, x))
    along = (g * normal).mean(1, keepdims=True) * normal
    d_x = (g - g.mean(1, keepdims=True) - along) / deviation
    d_weight = None if weight is None else total(d_out * normal, (0, 2, 3))
    d_bias = None if bias is None else total(d_out, (0, 2, 3))
    return d_x, d_weight, d_bias


@differentiable
@shapes(
    demands.groups_of_channels,
    demands.eps_is_a_size,
    x="b c ...",
    weight="c",
    bias="c",
    returns="b c ...",
)
def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    r"""Normalise each group $G$ of channels of a sample over the group and the picture:
    $y_c = \gamma_c\,(x_c - \mu_G)/\sqrt{\sigma_G^2 + \epsilon} + \beta_c$.

    x is (b, c, ...), `num_groups` divides c: one group is a layer norm of the whole
    sample, c groups are an instance norm.

    Source: [Wu2018]. Oracle: torch.nn.functional.group_norm.

    >>> group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), num_groups=2, eps=0.0)
    array([[-1.,  1., -1.,  1.]])
    """
    batch, channels, *picture = x.shape
    groups = x.reshape(batch, num_groups, channels // num_groups, *picture)
    axes = tuple(range(2, groups.ndim))
    mean, variance = groups.mean(axes, keepdims=True), groups.var(axes, keepdims=True)
    normal = ((groups - mean) / np.sqrt(variance + eps)).reshape(x.shape)
    return affine(normal, per_channel(weight, x), per_channel(bias, x))


@group_norm.vjp
def group_norm_vjp(d_out, x, num_groups, weight, bias, eps):
    r"""That of `layer_norm`, with the means over the group and the picture."""
    batch, channels, *picture = x.shape
    groups = x.reshape(batch, num_groups, channels // num_groups, *picture)
    axes = tuple(range(2, groups.ndim))
    deviation = np.sqrt(groups.var(axes, keepdims=True) + eps)
    normal = (groups - groups.mean(axes, keepdims=True)) / deviation
    g = affine(d_out, per_channel(weight, x)).reshape(groups.shape)
    along = (g * normal).mean(axes, keepdims=True) * normal
    d_x = (g - g.mean(axes, keepdims=True) - along) / deviation
    over = (0, *range(2, x.ndim))  # all axes but that of the channels
    d_weight = d_bias = None
    if weight is not None:
        d_weight = total(d_out * normal.reshape(x.shape), over)
    if bias is not None:
        d_bias = total(d_out, over)
    return d_x.reshape(x.shape), None, d_weight, d_bias


@shapes(
    demands.channels_with_spread,
    demands.eps_is_a_size,
    x="b c ...",
    weight="c",
    bias="c",
    returns="b c ...",
)
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
    if use_input_stats:
        return group_norm(x, x.shape[1], weight, bias, eps)
    return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
