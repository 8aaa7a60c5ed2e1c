r"""Convolution over three axes: through depth, or through time in a video.

Nothing is new but the number of axes; `conv2d` and `conv3d` share their code.
"""

from __future__ import annotations

from ..autodiff import differentiable
from ..kernels.columns import (
    as_images,
    columns_of,
    correlate_back,
    correlate_weight,
    walk_of,
)
from ..kernels.rowwise import correlate_by_rows
from ..shapes import shapes


@differentiable
@shapes(x="... c_in t h w", weight="c_out c_group kt kh kw", bias="c_out")
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
    walk = walk_of("conv3d", x, weight, stride, padding, dilation, groups)
    out = correlate_by_rows(as_images(x, 3), weight, walk, bias, groups)
    return out.reshape(*x.shape[:-4], len(weight), *walk.out)


@conv3d.vjp
def conv3d_vjp(
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
    r"""As in two dimensions: $\bar w = \bar y\,\mathrm{cols}(x)^\top$ and
    $\bar x = \mathrm{cols}^\top(w^\top \bar y)$.
    """
    walk = walk_of("conv3d", x, weight, stride, padding, dilation, groups)
    d_images, d_x, d_weight, d_bias = as_images(d_out, 3), None, None, None
    if "x" in needs:
        d_x = correlate_back(d_images, weight, walk, groups).reshape(x.shape)
    if "weight" in needs:
        if columns is None:
            columns = columns_of(as_images(x, 3), walk, groups)
        d_weight = correlate_weight(d_images, columns, weight.shape)
    if bias is not None and "bias" in needs:
        d_bias = d_images.sum(axis=(0, 2, 3, 4))
    return d_x, d_weight, d_bias
