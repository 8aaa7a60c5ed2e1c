r"""Transposed convolution: a convolution's way back, used as a way forward.

A convolution gathers a window into one number; its transpose spreads one number
over a window. It is what the derivative of `conv2d` does to gradients, and with a
stride it makes pictures larger.
"""

from __future__ import annotations

from ..arguments import check_whole
from ..autodiff import differentiable
from ..kernels.columns import (
    as_images,
    columns_of,
    correlate,
    correlate_back,
    correlate_weight,
)
from ..kernels.windows import Geometry, geometry, per_axis
from ..shapes import ShapeError, shapes


@differentiable
@shapes(x="... c_in h w", weight="c_in c_group kh kw", bias="c_out")
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
    walk = walk_back(x, weight, bias, stride, padding, output_padding, groups, dilation)
    out = correlate_back(as_images(x), weight, walk, groups)
    out = out.reshape(*x.shape[:-3], *out.shape[1:])
    return out if bias is None else out + bias[:, None, None]


@conv_transpose2d.vjp
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
    r"""The adjoint of the adjoint is the convolution: $\bar x = \mathrm{conv}(\bar y)$
    and $\bar w = x\,\mathrm{cols}(\bar y)^\top$.
    """
    walk = walk_back(x, weight, bias, stride, padding, output_padding, groups, dilation)
    d_images, d_x, d_weight, d_bias = as_images(d_out), None, None, None
    if "x" in needs or "weight" in needs:
        columns = columns_of(d_images, walk, groups)
    if "x" in needs:
        d_x = correlate(columns, weight, None, groups).reshape(x.shape)
    if "weight" in needs:
        d_weight = correlate_weight(as_images(x), columns, weight.shape)
    if bias is not None and "bias" in needs:
        d_bias = d_images.sum(axis=(0, 2, 3))
    return d_x, d_weight, d_bias


def walk_back(
    x, weight, bias, stride, padding, output_padding, groups, dilation
) -> Geometry:
    """The walk of the convolution that leads from the result back to x."""
    c_in, c_out = weight.shape[0], weight.shape[1] * groups
    check_whole("conv_transpose2d", least=1, groups=groups)
    if not c_in or c_in % groups:
        raise ShapeError(
            f"conv_transpose2d: {c_in} channels of x do not divide into {groups} groups"
        )
    if bias is not None and bias.shape != (c_out,):
        raise ShapeError(
            f"conv_transpose2d: bias is {bias.shape}, but weight {weight.shape} in "
            f"{groups} groups makes {c_out} channels"
        )
    stride, padding, extra, dilation = (
        per_axis(value, 2, f"conv_transpose2d: {name}", least)
        for value, name, least in (
            (stride, "stride", 1),
            (padding, "padding", 0),
            (output_padding, "output_padding", 0),
            (dilation, "dilation", 1),
        )
    )
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueError(
            f"conv_transpose2d: output_padding {extra} must be smaller than the "
            f"stride {stride} or the dilation {dilation}"
        )
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
        for n, s, p, d, k, e in zip(
            x.shape[-2:], stride, padding, dilation, weight.shape[-2:], extra
        )
    )
    if min(size) < 1:
        raise ShapeError(
            f"conv_transpose2d: padding {padding} leaves nothing of x {x.shape}"
        )
    # With e >= s (when d > s) the walk could take a step more than x has: stop there.
    kernel = weight.shape[-2:]
    walk = geometry(size, kernel, stride, padding, dilation, name="conv_transpose2d")
    return walk._replace(out=x.shape[-2:])
