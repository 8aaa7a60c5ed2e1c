r"""Convolution: one small filter, looked through at every place of an image.

What networks call convolution is cross-correlation: the filter is not flipped.
`conv2d_by_definition` is the sum as it is written; `conv2d` gives the same numbers
by one matrix product over all the windows at once. `convolve2d` is convolution as
mathematics has it, filter flipped.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..kernels.columns import (
    as_images,
    columns_of,
    correlate_back,
    correlate_weight,
    walk_of,
)
from ..kernels.depthwise import depthwise, depthwise_back, depthwise_weight
from ..kernels.rowwise import correlate_by_rows
from ..kernels.windows import windows
from ..shapes import shapes


@differentiable
@shapes(x="... c_in h w", weight="c_out c_group kh kw", bias="c_out")
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
    walk = walk_of("conv2d", x, weight, stride, padding, dilation, groups)
    if is_depthwise(x, groups):
        out = depthwise(as_images(x), weight, walk, bias)
    else:
        out = correlate_by_rows(as_images(x), weight, walk, bias, groups)
    return out.reshape(*x.shape[:-3], len(weight), *walk.out)


@conv2d.vjp
def conv2d_vjp(
    d_out,
    x,
    weight,
    bias,
    stride,
    padding,
    dilation,
    groups,
    columns=None,
    needs=("x", "weight", "bias"),
):
    r"""$\bar w = \bar y\, \mathrm{cols}(x)^\top$ and
    $\bar x = \mathrm{cols}^\top(w^\top \bar y)$: the window read backwards.
    """
    walk = walk_of("conv2d", x, weight, stride, padding, dilation, groups)
    images, d_images = as_images(x), as_images(d_out)
    d_x = d_weight = d_bias = None
    if "x" in needs and is_depthwise(x, groups):
        d_x = depthwise_back(d_images, weight, walk, groups).reshape(x.shape)
    elif "x" in needs:
        d_x = correlate_back(d_images, weight, walk, groups).reshape(x.shape)
    if "weight" in needs and is_depthwise(x, groups):
        d_weight = depthwise_weight(d_images, images, weight, walk)
    elif "weight" in needs:
        if columns is None:
            columns = columns_of(images, walk, groups)
        d_weight = correlate_weight(d_images, columns, weight.shape)
    if bias is not None and "bias" in needs:
        d_bias = d_images.sum(axis=(0, 2, 3))
    return d_x, d_weight, d_bias


def is_depthwise(x, groups):
    """Whether every channel has filters of its own."""
    return groups == x.shape[-3] > 1


@shapes(x="... c_in h w", weight="c_out c_group kh kw", bias="c_out")
def conv2d_by_definition(
    x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1
):
    r"""The sum as it is written, one output at a time:
    $y_{o,i,j} = b_o + \sum_{c,u,v} w_{o,c,u,v}\, x_{c,\,is+ud,\,js+vd}$.

    Source: [Foundations] convolutional networks. Oracle: `conv2d`.
    """
    options = stride, padding, dilation, groups
    walk = walk_of("conv2d_by_definition", x, weight, *options)
    looked = windows(x, walk)  # (..., c, u, v, i, j)
    c_out, c_group = weight.shape[:2]
    out = np.zeros((*x.shape[:-3], c_out, *walk.out), x.dtype)
    for o, i, j in np.ndindex(c_out, *walk.out):
        first = o // (c_out // groups) * c_group
        window = looked[..., first : first + c_group, :, :, i, j]
        out[..., o, i, j] = (window * weight[o]).sum(axis=(-3, -2, -1))
        if bias is not None:
            out[..., o, i, j] += bias[o]
    return out


@shapes(image="... h w", kernel="kh kw")
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
    margins = {
        "full": lambda k: (k - 1, k - 1),
        "same": lambda k: (k // 2, (k - 1) // 2),
        "valid": lambda k: (0, 0),
    }
    if mode not in margins:
        raise ValueError(f'mode is "full", "same" or "valid", not {mode!r}')
    flipped = kernel[None, None, ::-1, ::-1]
    padding = tuple(margins[mode](k) for k in kernel.shape)
    return conv2d(image[..., None, :, :], flipped, padding=padding)[..., 0, :, :]
