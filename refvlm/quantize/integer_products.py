r"""Products of codes, in whole numbers: matrices and convolutions.

Where $a = s_a(A - z_a)$ and $b = s_b(B - z_b)$, a product of both is

$$\sum_k a_k b_k = s_a s_b \sum_k (A_k - z_a)(B_k - z_b)$$

and the sum on the right knows nothing but whole numbers: of 8 bits going in, of 32
coming out. It is exact, in any order and on every machine. To store it in 8 bits again
it is scaled and rounded once, which is all the floating arithmetic that is left.

Names, order and attributes are those of ONNX, in snake case.
"""

from __future__ import annotations

import numpy as np

from ..kernels import computed_by
from ..kernels import integer_products as quick
from ..kernels.code_geometry import (
    centered,
    one_number,
    per_column,
    per_filter,
    per_row,
    walk_of,
)
from ..kernels.columns import as_rows, columns_of
from ..shapes import shapes
from . import demands


@shapes(
    demands.a_product,
    a="...a of integers",
    b="...b of integers",
    a_zero_point="...az of integers",
    b_zero_point="...bz of integers",
)
@computed_by(quick.matmul_integer)
def matmul_integer(a, b, a_zero_point=None, b_zero_point=None):
    r"""The product of two matrices of codes, in whole numbers:
    $Y_{ij} = \sum_k (A_{ik} - z^a_i)(B_{kj} - z^b_j)$.

    a is (..., m, k) and b (..., k, n) in int8 or uint8, which also hold codes of fewer
    bits; the result is (..., m, n) in int32, exact modulo $2^{32}$: a sum beyond
    int32 wraps around, which takes more than 33,025 products of extremes. A zero point
    is one number, or one for each row of a (m,) or (..., m, 1) and for each column of b
    (n,) or (..., 1, n), and of its operand's dtype. Vectors are as in numpy.matmul.

    Source: [Cortes] 9.5. Oracle: onnx MatMulInteger; torch._int_mm.

    >>> row, two = np.array([[2, 0, 7]], np.uint8), np.array(2, np.uint8)
    >>> matmul_integer(row, np.array([[1], [1], [-3]], np.int8), two)
    array([[-17]], dtype=int32)
    """
    rows = centered(a, per_row(a_zero_point), np.int64)
    columns = centered(b, per_column(b_zero_point), np.int64)
    return np.asarray(rows @ columns).astype(np.int32)


@shapes(
    demands.a_requantized_product,
    a="...a of integers",
    a_scale="...as",
    a_zero_point="...az of integers",
    b="...b of integers",
    b_scale="...bs",
    b_zero_point="...bz of integers",
    y_scale="...ys",
    y_zero_point="...yz of integers",
)
def qlinear_matmul(
    a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point
):
    r"""The product of two quantised matrices, quantised again:
    $Y = \operatorname{saturate}\bigl(\lfloor \tfrac{s_a s_b}{s_y}
    (A - z_a)(B - z_b) \rceil + z_y\bigr)$.

    a, b and their zero points are as in `matmul_integer`, and scales are one number or
    one for each row of a and each column of b, beside them. Halves are rounded to the
    even number, before the zero point is added; y has the dtype of its zero point.

    Source: [Cortes] 9.5; [Jacob2018]. Oracle: onnx QLinearMatMul.

    >>> half, zero = np.array(0.5), np.array(0, np.int8)
    >>> codes = np.array([[100, 100]], np.int8)
    >>> qlinear_matmul(codes, half, zero, codes.T, half, zero, np.array(50.0), zero)
    array([[100]], dtype=int8)
    """
    sums = matmul_integer(a, b, a_zero_point, b_zero_point)
    multiplier = per_row(a_scale) * per_column(b_scale) / one_number(y_scale)
    return requantized(sums, multiplier, one_number(y_zero_point))


@shapes(
    demands.a_convolution,
    x="...x of integers",
    w="...w of integers",
    x_zero_point="...xz of integers",
    w_zero_point="...wz of integers",
)
@computed_by(quick.conv_integer)
def conv_integer(
    x,
    w,
    x_zero_point=None,
    w_zero_point=None,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    r"""Cross-correlation of codes with filters of codes, in whole numbers:
    $Y_{o,i,j} = \sum_{c,u,v} (W_{o,c,u,v} - z^w_o)(X_{c,\,is+ud,\,js+vd} - z^x)$.

    x is (n, c_in, *size), w (c_out, c_in / group, *kernel), in int8 or uint8; the
    result (n, c_out, *size) in int32, exact modulo $2^{32}$. Around x lies its zero
    point, which is what 0 is stored as. pads lists what lies before each axis, and then
    what behind each; auto_pad "SAME_UPPER" or "SAME_LOWER" gives a result for every
    stride begun, and an odd one of its pads lies behind, or before.

    Source: [Cortes] 9.5. Oracle: onnx ConvInteger.

    >>> row = np.array([[[3, 3, 8, 8]]], np.uint8)
    >>> conv_integer(row, np.array([[[-1, 1]]], np.int8), np.array(3, np.uint8))
    array([[[0, 5, 0]]], dtype=int32)
    """
    walk = walk_of("conv_integer", x, w, auto_pad, dilations, pads, strides)
    filters = as_rows(
        centered(w, per_filter(w_zero_point, w.ndim - 1), np.int64), group
    )
    windows = columns_of(centered(x, one_number(x_zero_point), np.int64), walk, group)
    sums = (filters @ windows).astype(np.int32)
    return sums.reshape(len(x), len(w), *walk.out)


@shapes(
    demands.a_requantized_convolution,
    x="...x of integers",
    x_scale="...xs",
    x_zero_point="...xz of integers",
    w="...w of integers",
    w_scale="...ws",
    w_zero_point="...wz of integers",
    y_scale="...ys",
    y_zero_point="...yz of integers",
    b="c_out of integers",
)
def qlinear_conv(
    x,
    x_scale,
    x_zero_point,
    w,
    w_scale,
    w_zero_point,
    y_scale,
    y_zero_point,
    b=None,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    r"""Cross-correlation of quantised pictures and filters, quantised again:
    $Y = \operatorname{saturate}\bigl(\lfloor \tfrac{s_x s_w}{s_y}(X * W + b) \rceil
    + z_y\bigr)$, with $X * W$ of `conv_integer`.

    Scales and zero points of w are one number or one for each filter; all others are
    one number. b is (c_out,) in int32, in steps of $s_x s_w$. Rounding and dtype are
    those of `qlinear_matmul`.

    Source: [Cortes] 9.5; [Jacob2018]. Oracle: onnx QLinearConv.
    """
    walk = auto_pad, dilations, group, kernel_shape, pads, strides
    sums = conv_integer(x, w, x_zero_point, w_zero_point, *walk)
    axes = w.ndim - 2
    if b is not None:
        sums = sums + per_filter(b, axes)
    multiplier = one_number(x_scale) * per_filter(w_scale, axes) / one_number(y_scale)
    return requantized(sums, multiplier, one_number(y_zero_point))


def requantized(sums, multiplier, zero_point):
    r"""$\operatorname{saturate}(\lfloor m \cdot \text{sum} \rceil + z)$ in the dtype of
    the zero point, by float32."""
    ends = np.iinfo(zero_point.dtype)
    with np.errstate(over="ignore"):  # infinity saturates, too
        steps = np.rint(sums.astype(np.float32) * multiplier.astype(np.float32))
    codes = np.clip(steps + np.float32(zero_point), ends.min, ends.max)
    return codes.astype(zero_point.dtype)
