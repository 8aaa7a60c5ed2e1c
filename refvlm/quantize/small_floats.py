r"""Floats of eight and of four bits: grids whose steps double from octave to octave.

              sign  exponent  fraction   largest   normal from   smallest   besides
float8_e5m2     1       5         2        57344      6.1e-5      1.5e-5    inf, NaN
float8_e4m3fn   1       4         3          448      0.0156     0.00195    NaN
float4_e2m1     1       2         1            6           1         0.5

Inside an octave a float is a whole number of steps; the exponent says how long the step
is. So one rounding does for all three: to the nearest whole number of the steps of its
octave, from the middle to the even one. "fn" is for finite: e4m3fn has given the codes
of infinity to numbers, all but the last, which is NaN.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..shapes import shapes
from . import demands
from .number_formats import FORMATS


@differentiable
@shapes(x="...", returns="...")
def round_to_float8(x, dtype="float8_e4m3fn", saturate=True):
    r"""The nearest float of eight bits, in the dtype of x.

    What is beyond the largest, infinity too, becomes the largest; without `saturate` it
    becomes what the format has for it, NaN in e4m3fn and an infinity in e5m2.

    Source: [Micikevicius2022]. Oracle: torch.Tensor.to, which saturates e4m3fn and not
    e5m2; onnx.numpy_helper.saturate_cast; ml_dtypes, which never saturates.

    >>> round_to_float8(np.array([1.0, 1.0625, 1.19, 100.0, 500.0]))
    array([  1.  ,   1.  ,   1.25,  96.  , 448.  ])
    >>> round_to_float8(np.array([1.19, 500.0, 7e4]), "float8_e5m2", saturate=False)
    array([  1.25, 512.  ,    inf])
    """
    return float8_from_bits(float8_bits(x, dtype, saturate), dtype).astype(x.dtype)


@round_to_float8.vjp
def round_to_float8_vjp(d_out, dtype, saturate):
    r"""Rounded in turn, $\bar x = \operatorname{round}(\bar y)$, as PyTorch does: the
    way back of a cast is a cast. A gradient below half the smallest float vanishes."""
    return round_to_float8(d_out, dtype, saturate)


@shapes(demands.a_float_of_eight_bits, x="...", returns="...")
def float8_bits(x, dtype="float8_e4m3fn", saturate=True):
    r"""The eight bits of the nearest float of a format, as uint8.

    Source: [Micikevicius2022]. Oracle: torch.Tensor.to(torch.float8_e4m3fn), viewed as
    bytes.

    >>> [f"{bits:02X}" for bits in float8_bits(np.array([1.0, -2.0, 448.0]))]
    ['38', 'C0', '7E']
    """
    return _bits(x, FORMATS[dtype], saturate)


@shapes(
    demands.a_float_of_eight_bits,
    demands.eight_bits_each,
    bits="... of integers",
    returns="...",
)
def float8_from_bits(bits, dtype="float8_e4m3fn"):
    """The float32 of each eight bits.

    Source: [Micikevicius2022]. Oracle: torch.Tensor.view(torch.float8_e4m3fn).

    >>> float8_from_bits(np.array([0x38, 0xC0, 0x7F], np.uint8))
    array([ 1., -2., nan], dtype=float32)
    """
    return _from_bits(bits, FORMATS[dtype])


@differentiable
@shapes(x="...", returns="...")
def round_to_float4(x):
    r"""The nearest of 0, 0.5, 1, 1.5, 2, 3, 4 and 6, and their negatives.

    What is beyond 6, infinity too, becomes 6.

    Source: [Rouhani2023]. Oracle: ml_dtypes.float4_e2m1fn, as onnx has it.

    >>> round_to_float4(np.array([0.25, 0.3, 2.4, 2.5, 5.0, -7.0]))
    array([ 0. ,  0.5,  2. ,  2. ,  4. , -6. ])
    """
    return float4_from_bits(float4_bits(x)).astype(x.dtype)


@round_to_float4.vjp
def round_to_float4_vjp(d_out):
    r"""Straight through, $\bar x = \bar y$: eight sizes are too few for a gradient, of
    which all up to 0.25 would be lost, and all beyond 6 cut."""
    return d_out


@shapes(demands.no_number_is_nan, x="...", returns="...")
def float4_bits(x):
    r"""The four bits of the nearest float4_e2m1, as uint8 of 0 to 15.

    Source: [Rouhani2023]. Oracle: ml_dtypes.float4_e2m1fn, as onnx has it.

    >>> float4_bits(np.array([0.0, 0.5, 6.0, -6.0]))
    array([ 0,  1,  7, 15], dtype=uint8)
    """
    return _bits(x, FORMATS["float4_e2m1"], True)


@shapes(demands.four_bits_each, bits="... of integers", returns="...")
def float4_from_bits(bits):
    """The float32 of each four bits.

    Source: [Rouhani2023]. Oracle: ml_dtypes.float4_e2m1fn, as onnx has it.

    >>> float4_from_bits(np.array([0, 1, 7, 15], np.uint8))
    array([ 0. ,  0.5,  6. , -6. ], dtype=float32)
    """
    return _from_bits(bits, FORMATS["float4_e2m1"])


def _bits(x, kind, saturate):
    """Sign, exponent and fraction: `kind.fraction` bits count steps inside an octave.

    n steps of the lowest octave are the code n. An octave higher, where the step is
    twice as long, n steps are the code n and as many more as an octave has. A number
    that rounds up to the next octave is its first: the code carries by itself.
    """
    size = np.abs(x)
    largest = 2 ** (kind.bits - 1) - 1 if kind.beyond is None else kind.beyond - 1
    beyond = largest if saturate or kind.beyond is None else kind.beyond
    within = np.clip(size, 2.0**kind.lowest, 2 * kind.high)  # of these, the octave
    with np.errstate(invalid="ignore"):  # NaN comes last
        octave = np.frexp(within)[1] - 1
        steps = np.rint(
            np.ldexp(np.minimum(size, 2 * kind.high), kind.fraction - octave)
        )
        code = steps + ((octave - kind.lowest) << kind.fraction)
        code = np.where(code > largest, beyond, code)
    code = np.where(np.isnan(x), 2 ** (kind.bits - 1) - 1, code).astype(np.uint8)
    return code | (np.signbit(x).astype(np.uint8) << (kind.bits - 1))


def _from_bits(bits, kind):
    magnitudes = _magnitudes(kind)
    return np.concatenate([magnitudes, -magnitudes])[bits]


def _magnitudes(kind):
    """What the codes without a sign stand for: (128,) or (8,) float32."""
    codes = np.arange(2 ** (kind.bits - 1))
    octave, fraction = np.divmod(codes, 2**kind.fraction)
    steps = np.where(octave == 0, fraction, fraction + 2**kind.fraction)
    exponent = np.maximum(octave, 1) - 1 + kind.lowest - kind.fraction
    values = np.ldexp(steps.astype(np.float32), exponent)
    if kind.beyond is not None:
        values[kind.beyond] = np.inf if kind.beyond < 0x7F else np.nan
        values[kind.beyond + 1 :] = np.nan
    return values
