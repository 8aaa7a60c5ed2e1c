r"""Windows laid out as the columns of a matrix, and laid back.

`unfold` (im2col) is the look of a convolution or a patch embedding written out;
`fold` (col2im) is its adjoint, which adds overlapping windows up.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import per_axis
from ..autodiff import differentiable
from ..kernels.windows import geometry, overlap_add, windows
from ..shapes import shapes
from . import demands


@differentiable
@shapes(demands.windows_that_fit, x="... c h w of numbers", as_stored=True)
def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    r"""Every window as a column:
    $y_{(c,u,v),\,(i,j)} = x_{c,\,is+ud,\,js+vd}$.

    x is (..., c, h, w), the result (..., c kh kw, places): rows count through
    channel, then window row, then window column; places row by row. With
    stride = kernel_size these are the patches of a vision transformer.

    Source: [Foundations] convolutional networks. Oracle: torch.nn.functional.unfold.

    >>> unfold(np.array([[[1.0, 2.0, 3.0]]]), (1, 2))
    array([[1., 2.],
           [2., 3.]])
    """
    walk = geometry(x.shape[-2:], kernel_size, stride, padding, dilation)
    views = np.array(windows(x, walk), order="C")  # (..., c, kh, kw, h', w')
    rows = x.shape[-3] * math.prod(walk.kernel)
    return views.reshape(*x.shape[:-3], rows, math.prod(walk.out))


@unfold.vjp
def unfold_vjp(d_out, x, kernel_size, dilation, padding, stride):
    r"""$\bar x = \mathrm{fold}(\bar y)$."""
    return fold(d_out, x.shape[-2:], kernel_size, dilation, padding, stride)


@differentiable
@shapes(demands.columns_of_windows, columns="... rows places of numbers")
def fold(columns, output_size, kernel_size, dilation=1, padding=0, stride=1):
    r"""Columns added back to where `unfold` reads them:
    $y_{c,\,is+ud,\,js+vd} \mathrel{+}= x_{(c,u,v),\,(i,j)}$.

    columns is (..., c kh kw, places), the result (..., c, h, w) with
    (h, w) = output_size. Where windows overlap, values add up: folding what was
    unfolded multiplies each pixel by the number of windows that see it.

    Source: [Foundations] convolutional networks. Oracle: torch.nn.functional.fold.

    >>> fold(np.array([[1.0, 2.0], [2.0, 3.0]]), (1, 3), (1, 2))
    array([[[1., 4., 3.]]])
    """
    size = per_axis(output_size, 2, "output_size")
    walk = geometry(size, kernel_size, stride, padding, dilation)
    channels = columns.shape[-2] // math.prod(walk.kernel)
    shape = (*columns.shape[:-2], channels, *walk.kernel, *walk.out)
    return overlap_add(columns.reshape(shape), walk)


@fold.vjp
def fold_vjp(d_out, kernel_size, dilation, padding, stride):
    r"""$\bar x = \mathrm{unfold}(\bar y)$."""
    return unfold(d_out, kernel_size, dilation, padding, stride)
