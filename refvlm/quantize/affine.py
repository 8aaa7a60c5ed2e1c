r"""Affine quantisation: numbers as whole steps on an even grid.

$$q = \operatorname{clip}(\operatorname{round}(x / s) + z), \quad \hat x = s\,(q - z).$$

The scale s is the length of a step and the zero point z is the code that stands for 0.
There is one of each for the whole array, or one for each place along an axis, or for
each block of places. Names, order and options are those of ONNX.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels.code_geometry import along
from ..shapes import shapes
from . import demands
from .number_formats import FloatFormat, format_of, number_format
from .ranges import affine_parameters
from .small_floats import float4_bits, float4_from_bits, float8_bits, float8_from_bits


@shapes(
    demands.codes_can_be_had,
    x="...",
    y_scale="...scale",
    y_zero_point="...zero of integers",
    returns="...",
)
def quantize_linear(
    x,
    y_scale,
    y_zero_point=None,
    axis=1,
    block_size=0,
    output_dtype=None,
    saturate=True,
):
    r"""The codes of numbers on a grid:
    $q = \operatorname{clip}(\operatorname{round}(x / s) + z)$.

    A middle is rounded to the even step. What is beyond the last code becomes the last
    code. The codes are of the zero point's dtype, or of the format that `output_dtype`
    names ("int4", "float8_e4m3fn"), or else uint8; formats of less than a byte lie one
    code a byte, and floats as their bits.

    y_scale and y_zero_point are one number; or (places,) along `axis`; or, with a
    `block_size`, of x's shape with one place for each block along `axis`, of which the
    last may be short. Only float8 heeds `saturate`: without it, what is too large
    becomes infinite or NaN.

    Source: [Cortes] 9.5. Oracle: onnx QuantizeLinear, torch.quantize_per_tensor and
    torch.quantize_per_channel.

    >>> x = np.array([-1.0, 0.0, 0.25, 0.75, 9.0])
    >>> quantize_linear(x, np.array(0.5), np.array(10, np.uint8), output_dtype="uint4")
    array([ 8, 10, 10, 12, 15], dtype=uint8)
    """
    known = format_of(y_zero_point, output_dtype)
    with np.errstate(over="ignore", under="ignore"):
        steps = x / along(y_scale, x.shape, axis, block_size)
    zero_point = 0
    if y_zero_point is not None:
        zero_point = along(y_zero_point, x.shape, axis, block_size)
    if isinstance(known, FloatFormat):
        # Of floats the zero point is 0; where one is added, -0 becomes 0.
        floats = steps if y_zero_point is None else steps + zero_point
        if known.bits == 4:
            return float4_bits(floats)
        return float8_bits(floats, known.name, saturate)
    codes = np.clip(np.rint(steps) + zero_point, known.low, known.high)
    return codes.astype(known.storage)


@shapes(
    demands.codes_can_be_read,
    x="... of integers",
    x_scale="...scale",
    x_zero_point="...zero of integers",
    returns="...",
)
def dequantize_linear(x, x_scale, x_zero_point=None, axis=1, block_size=0, dtype=None):
    r"""The numbers that codes stand for: $\hat x = s\,(q - z)$, in the dtype of s.

    x_scale and x_zero_point lie along the codes x as in `quantize_linear`. Where the
    dtype of x does not say what its codes are, `dtype` names the format: float8 has to
    be named; of "int4" the codes are then known to be such.

    Source: [Cortes] 9.5. Oracle: onnx DequantizeLinear, torch.dequantize.

    >>> codes = np.array([8, 10, 12, 15], np.uint8)
    >>> dequantize_linear(codes, np.array(0.5), np.array(10, np.uint8))
    array([-1. ,  0. ,  1. ,  2.5])
    """
    known = None if dtype is None else number_format(dtype)
    values = x
    if isinstance(known, FloatFormat):
        four = known.bits == 4
        values = float4_from_bits(x) if four else float8_from_bits(x, known.name)
    values = values.astype(x_scale.dtype)
    if x_zero_point is not None:
        zero_point = x_zero_point.astype(x_scale.dtype)
        values = values - along(zero_point, x.shape, axis, block_size)
    return values * along(x_scale, x.shape, axis, block_size)


class Quantized(NamedTuple):
    """Codes, and the grid that they count on: ONNX's three outputs."""

    y: np.ndarray
    y_scale: np.ndarray
    y_zero_point: np.ndarray


@shapes(demands.a_range_to_span, x="...", as_stored=True)
def dynamic_quantize_linear(x):
    r"""Codes in uint8 on the grid of just this array: $s = (\max - \min) / 255$ and
    $z = \operatorname{round}(-\min / s)$, where the range includes 0.

    Source: [Cortes] 9.5. Oracle: onnx DynamicQuantizeLinear.

    >>> y, y_scale, y_zero_point = dynamic_quantize_linear(np.array([-20.0, 0.0, 82.0]))
    >>> y, float(y_scale), int(y_zero_point)
    (array([  0,  50, 255], dtype=uint8), 0.4, 50)
    """
    y_scale, y_zero_point = affine_parameters(x.min(), x.max(), "uint8")
    return Quantized(quantize_linear(x, y_scale, y_zero_point), y_scale, y_zero_point)
