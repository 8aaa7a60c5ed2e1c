r"""Convolution: one small filter, looked through at every place of an image.

What networks call convolution is cross-correlation: the filter is not flipped.
`conv2d_by_definition` is the sum as it is written; `conv2d` gives the same numbers
by one matrix product over all the windows at once.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..shapes import ShapeError, shapes
from .windows import geometry, overlap_add, windows


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
    return conv2d_forward(x, weight, bias, stride, padding, dilation, groups)[0]


@conv2d.forward
def conv2d_forward(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The output, and the windows as columns where they had to be gathered."""
    walk = walk_of(x, weight, stride, padding, dilation, groups)
    lead, channels = x.shape[:-3], weight.shape[0]
    columns = gather(x, walk, groups)
    kernels = weight.reshape(groups, channels // groups, -1)
    out = np.matmul(kernels, columns).reshape(-1, channels, *walk.out)
    if bias is not None:
        out += bias[:, None, None]
    return out.reshape(*lead, channels, *walk.out), columns


@conv2d.vjp
def conv2d_vjp(
    d_out,
    out,
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    saved=None,
    needs=(True, True, True),
):
    r"""$\bar w = \bar y\, \mathrm{cols}(x)^\top$ and
    $\bar x = \mathrm{cols}^\top(w^\top \bar y)$: the window read backwards.
    """
    walk = walk_of(x, weight, stride, padding, dilation, groups)
    images = int(np.prod(x.shape[:-3]))
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    d_rows = d_out.reshape(images, groups, kernels.shape[1], -1)
    d_x = d_weight = d_bias = None
    if needs[0]:
        d_columns = np.matmul(kernels.swapaxes(-1, -2), d_rows)
        d_columns = d_columns.reshape(*x.shape[:-2], *walk.kernel, *walk.out)
        d_x = overlap_add(d_columns, walk)
    if needs[1]:
        columns = gather(x, walk, groups) if saved is None else saved
        products = np.matmul(d_rows, columns.swapaxes(-1, -2))
        d_weight = products.sum(axis=0).reshape(weight.shape)
    if bias is not None and needs[2]:
        d_bias = d_out.reshape(images, len(bias), -1).sum(axis=(0, 2))
    return d_x, d_weight, d_bias


def walk_of(x, weight, stride, padding, dilation, groups):
    """The geometry of a convolution, once its channels are known to fit."""
    c_in, (c_out, c_group) = x.shape[-3], weight.shape[:2]
    if groups < 1 or c_in % groups or c_out % groups or c_group * groups != c_in:
        raise ShapeError(
            f"conv2d: weight {weight.shape} in {groups} groups reads "
            f"{c_group * groups} channels and makes {c_out}, but x {x.shape} has {c_in}"
        )
    return geometry(x.shape[-2:], weight.shape[-2:], stride, padding, dilation)


def gather(x, walk, groups):
    """Every window as a column: (images, groups, c_group kh kw, h' w')."""
    images = int(np.prod(x.shape[:-3]))
    looked = windows(x, walk)
    return looked.reshape(images, groups, -1, walk.out[0] * walk.out[1])


@shapes(x="... c_in h w", weight="c_out c_group kh kw", bias="c_out")
def conv2d_by_definition(
    x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1
):
    r"""The sum as it is written, one output at a time:
    $y_{o,i,j} = b_o + \sum_{c,u,v} w_{o,c,u,v}\, x_{c,\,is+ud,\,js+vd}$.

    Source: [Foundations] convolutional networks. Oracle: `conv2d`.
    """
    walk = walk_of(x, weight, stride, padding, dilation, groups)
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
