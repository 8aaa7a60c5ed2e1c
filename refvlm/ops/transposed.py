r"""Transposed convolution: a convolution's way back, used as a way forward.

A convolution gathers a window into one number; its transpose spreads one number
over a window. It is what the derivative of `conv2d` does to gradients, and with a
stride it makes pictures larger.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..kernels import computed_by, convolution
from ..kernels.windows import geometry_back, overlap_add, windows
from ..shapes import shapes
from . import demands
from .convolution import by_group


@differentiable
@shapes(
    demands.a_way_back,
    x="... c_in h w",
    weight="c_in c_group kh kw",
    bias="c_out",
)
@computed_by(convolution.spread)
def conv_transpose2d(
    x,
    weight,
    bias=None,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
):
    r"""The adjoint of `conv2d`, $\langle \mathrm{conv}(z), x\rangle =
    \langle z, \mathrm{conv}^\top(x)\rangle$, plus a bias:
    $y_{o,\,is+ud-p,\,js+vd-p} \mathrel{+}= \sum_{c} w_{c,o,u,v}\, x_{c,i,j}$.

    x is (..., c_in, h, w), weight (c_in, c_out / groups, kh, kw) as in the `conv2d`
    that it turns round, the result (..., c_out, h', w') with
    $h' = (h-1)s - 2p + d(k_h - 1) + 1 + q$. The output padding q < max(s, d) says
    which of the sizes that a stride maps to h is meant.

    Source: the derivative of [Foundations] convolutional networks.
    Oracle: torch.nn.functional.conv_transpose2d.

    >>> conv_transpose2d(np.array([[[1.0, 2.0]]]), np.array([[[[1.0, 1.0]]]]), stride=2)
    array([[[1., 1., 2., 2.]]])
    """
    walk = geometry_back(
        x.shape[-2:], weight.shape[2:], stride, padding, output_padding, dilation
    )
    filters, numbers = by_group(weight, 0, groups), by_group(x, -3, groups)
    spread = np.einsum("gcouv,...gcij->...gouvij", filters, numbers)
    c_out = groups * weight.shape[1]
    spread = spread.reshape(*x.shape[:-3], c_out, *walk.kernel, *walk.out)
    out = overlap_add(spread, walk)
    return out if bias is None else out + bias[:, None, None]


@conv_transpose2d.vjp
@computed_by(convolution.spread_vjp)
def conv_transpose2d_vjp(
    d_out,
    x,
    weight,
    bias,
    stride,
    padding,
    output_padding,
    groups,
    dilation,
    needs=("x", "weight", "bias"),
):
    r"""The adjoint of the adjoint is the convolution,
    $\bar x_{c,i,j} = \sum_{o,u,v} w_{c,o,u,v}\,\bar y_{o,\,is+ud-p,\,js+vd-p}$, and
    $\bar w_{c,o,u,v} = \sum_{i,j} x_{c,i,j}\,\bar y_{o,\,is+ud-p,\,js+vd-p}$.
    """
    walk = geometry_back(
        x.shape[-2:], weight.shape[2:], stride, padding, output_padding, dilation
    )
    filters, numbers = by_group(weight, 0, groups), by_group(x, -3, groups)
    d_spread = by_group(windows(d_out, walk), -5, groups)
    d_x = np.einsum("gcouv,...gouvij->...gcij", filters, d_spread)
    d_filters = np.einsum("...gcij,...gouvij->...gcouv", numbers, d_spread)
    d_weight = unbroadcast(d_filters, filters.shape).reshape(weight.shape)
    d_bias = None
    if bias is not None:
        d_bias = unbroadcast(d_out.sum(axis=(-2, -1)), bias.shape)
    return d_x.reshape(x.shape), d_weight, d_bias
