r"""Convolution: one small filter, looked through at every place of an image.

What networks call convolution is cross-correlation: the filter is not flipped.
`conv2d` walks over a picture, `conv3d` also through depth, or through time in a video;
nothing is new there but the number of axes. `convolve2d` is convolution as mathematics
has it, filter flipped.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..kernels import computed_by, convolution
from ..kernels.windows import geometry, overlap_add, windows
from ..shapes import shapes
from . import demands


@differentiable
@shapes(
    demands.a_convolution,
    x="... c_in h w",
    weight="c_out c_group kh kw",
    bias="c_out",
)
@computed_by(convolution.convolve)
def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    r"""Cross-correlation of an image with filters:
    $y_{o,i,j} = b_o + \sum_{c,u,v} w_{o,c,u,v}\, x_{c,\,is+ud,\,js+vd}$.

    x is (..., c_in, h, w), weight (c_out, c_in / groups, kh, kw), the result
    (..., c_out, h', w') with $h' = \lfloor (h + 2p - d(k_h-1) - 1)/s \rfloor + 1$.
    With groups, output channel o sees only the input channels of its own group;
    groups = c_in is a depthwise convolution.

    Source: [Foundations] convolutional networks. Oracle: torch.nn.functional.conv2d.

    >>> edge = np.array([[[[-1.0, 1.0]]]])
    >>> conv2d(np.array([[[0.0, 0.0, 5.0, 5.0]]]), edge)
    array([[[0., 5., 0.]]])
    """
    walk = geometry(x.shape[-2:], weight.shape[2:], stride, padding, dilation)
    filters = by_group(weight, 0, groups)  # (g, o, c, kh, kw)
    views = by_group(windows(x, walk), -5, groups)  # (..., g, c, kh, kw, h', w')
    out = np.einsum("gocuv,...gcuvij->...goij", filters, views)
    out = out.reshape(*x.shape[:-3], len(weight), *walk.out)
    return out if bias is None else out + bias[:, None, None]


@conv2d.vjp
@computed_by(convolution.convolve_vjp)
def conv2d_vjp(
    d_out,
    x,
    weight,
    bias,
    stride,
    padding,
    dilation,
    groups,
    needs=("x", "weight", "bias"),
    columns=None,
):
    r"""$\bar w_{o,c,u,v} = \sum_{i,j} \bar y_{o,i,j}\, x_{c,\,is+ud,\,js+vd}$ and
    $\bar x_{c,\,is+ud,\,js+vd} \mathrel{+}= \sum_o w_{o,c,u,v}\, \bar y_{o,i,j}$: the
    window read backwards. $\bar b_o = \sum_{i,j} \bar y_{o,i,j}$.
    """
    walk = geometry(x.shape[-2:], weight.shape[2:], stride, padding, dilation)
    filters, d_sums = by_group(weight, 0, groups), by_group(d_out, -3, groups)
    views = by_group(windows(x, walk), -5, groups)
    d_filters = np.einsum("...goij,...gcuvij->...gocuv", d_sums, views)
    d_weight = unbroadcast(d_filters, filters.shape).reshape(weight.shape)
    d_views = np.einsum("gocuv,...goij->...gcuvij", filters, d_sums)
    d_views = d_views.reshape(*x.shape[:-2], *walk.kernel, *walk.out)
    d_bias = None
    if bias is not None:
        d_bias = unbroadcast(d_out.sum(axis=(-2, -1)), bias.shape)
    return overlap_add(d_views, walk), d_weight, d_bias


@differentiable
@shapes(
    demands.a_convolution,
    x="... c_in t h w",
    weight="c_out c_group kt kh kw",
    bias="c_out",
)
@computed_by(convolution.convolve)
def conv3d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    r"""Cross-correlation over time and picture:
    $y_{o,t,i,j} = b_o + \sum_{c,r,u,v} w_{o,c,r,u,v}\,
    x_{c,\,ts+rd,\,is+ud,\,js+vd}$.

    x is (..., c_in, t, h, w), weight (c_out, c_in / groups, kt, kh, kw), the result
    (..., c_out, t', h', w'), each size as in `conv2d`. A kernel of depth kt mixes
    kt neighbouring frames; kt = 1 is `conv2d` of every frame.

    Source: [Cortes] 11.2. Oracle: torch.nn.functional.conv3d.

    >>> frames = np.array([1.0, 4.0, 9.0]).reshape(1, 3, 1, 1)
    >>> change = np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1)
    >>> conv3d(frames, change).ravel()
    array([3., 5.])
    """
    walk = geometry(x.shape[-3:], weight.shape[2:], stride, padding, dilation)
    filters = by_group(weight, 0, groups)
    views = by_group(windows(x, walk), -7, groups)
    out = np.einsum("gocruv,...gcruvtij->...gotij", filters, views)
    out = out.reshape(*x.shape[:-4], len(weight), *walk.out)
    return out if bias is None else out + bias[:, None, None, None]


@conv3d.vjp
@computed_by(convolution.convolve_vjp)
def conv3d_vjp(
    d_out,
    x,
    weight,
    bias,
    stride,
    padding,
    dilation,
    groups,
    needs=("x", "weight", "bias"),
    columns=None,
):
    r"""That of `conv2d`, with one axis more."""
    walk = geometry(x.shape[-3:], weight.shape[2:], stride, padding, dilation)
    filters, d_sums = by_group(weight, 0, groups), by_group(d_out, -4, groups)
    views = by_group(windows(x, walk), -7, groups)
    d_filters = np.einsum("...gotij,...gcruvtij->...gocruv", d_sums, views)
    d_weight = unbroadcast(d_filters, filters.shape).reshape(weight.shape)
    d_views = np.einsum("gocruv,...gotij->...gcruvtij", filters, d_sums)
    d_views = d_views.reshape(*x.shape[:-3], *walk.kernel, *walk.out)
    d_bias = None
    if bias is not None:
        d_bias = unbroadcast(d_out.sum(axis=(-3, -2, -1)), bias.shape)
    return overlap_add(d_views, walk), d_weight, d_bias


def by_group(array, axis, groups):
    """The array with one axis as two: the groups, and the channels of each."""
    before, (channels, *after) = array.shape[:axis], array.shape[axis:]
    return array.reshape(*before, groups, channels // groups, *after)


@shapes(demands.a_mode_of_overlap, image="... h w", kernel="kh kw")
def convolve2d(image, kernel, mode="full"):
    r"""Convolution as mathematics has it, with the kernel flipped:
    $(f * g)_{x,y} = \sum_{m,n} f_{m,n}\, g_{x-m,\,y-n}$.

    image is (..., h, w), kernel (kh, kw). mode "full" keeps every place where they
    overlap, (h + kh - 1, w + kw - 1), "same" its middle (h, w), "valid" only where
    the kernel lies inside, (h - kh + 1, w - kw + 1). Two images commute in "full".

    Source: [Foundations] convolutional networks. Oracle: scipy.signal.convolve2d;
    torch.nn.functional.conv2d with the kernel flipped.

    >>> convolve2d(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))  # (1+2t)(3+4t)
    array([[ 3., 10.,  8.]])
    """
    flipped = kernel[None, None, ::-1, ::-1]
    margins = {
        "full": [(k - 1, k - 1) for k in kernel.shape],
        "same": [(k // 2, (k - 1) // 2) for k in kernel.shape],
        "valid": [(0, 0) for k in kernel.shape],
    }
    padding = tuple(margins[mode])
    return conv2d(image[..., None, :, :], flipped, padding=padding)[..., 0, :, :]
