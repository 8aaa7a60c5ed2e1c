r"""Rounding to sixteen bits: the numbers that half precision leaves.

            sign  exponent  fraction     largest      normal from   spacing at 1
float32       1       8        23        3.4e38         1.2e-38       1.2e-7
bfloat16      1       8         7        3.4e38         1.2e-38       0.0078
float16       1       5        10        65504          6.1e-5        0.00098

A bfloat16 is the upper half of a float32: NumPy has no such dtype and needs none. Both
roundings go to the nearest number, and from the middle to the one whose last bit is
0 ("to even"), so that errors do not lean to one side.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..shapes import shapes

QUIET_NAN = 0x7FC0


@differentiable
@shapes(x="...", returns="...")
def round_to_bfloat16(x):
    r"""The nearest bfloat16, in the dtype of x: $b \leftarrow b + \mathtt{7FFF} +
    b_{16}$ for the 32 bits b of a float32, then its lower half is cleared.

    The addend carries into the upper half when the lower half is above its middle, or
    at its middle while the upper half is odd. NaN and infinities stay; what is beyond
    the largest bfloat16 becomes infinite. A float64 is rounded to float32 first.

    Source: [Cortes] 8.4. Oracle: torch.Tensor.bfloat16.

    >>> round_to_bfloat16(np.array([1.0, 1.00390625, 1.01171875, 3.14159265]))
    array([1.      , 1.      , 1.015625, 3.140625])
    """
    with np.errstate(over="ignore"):
        return bfloat16_from_bits(bfloat16_bits(x)).astype(x.dtype, copy=False)


@round_to_bfloat16.vjp
def round_to_bfloat16_vjp(d_out):
    r"""Straight through, $\bar x = \operatorname{round}(\bar y)$: steps have no useful
    slope, so the rounding counts as the identity, and the gradient is a bfloat16 too.
    """
    return round_to_bfloat16(d_out)


@differentiable
@shapes(x="...", returns="...")
def round_to_float16(x):
    r"""The nearest float16, in the dtype of x.

    Normal numbers reach from $2^{-14}$ to 65504. Below, the spacing stays $2^{-24}$
    down to zero: $2^{-25}$, the middle, becomes 0. From 65520 on, numbers are infinite.

    Source: [Cortes] 8.4, 10.3. Oracle: torch.Tensor.half.

    >>> round_to_float16(np.array([0.1, 2049.0, 2.0**-25, 65519.0, 65520.0]))
    array([9.99755859e-02, 2.04800000e+03, 0.00000000e+00, 6.55040000e+04,
                      inf])
    """
    with np.errstate(over="ignore", under="ignore"):
        return x.astype(np.float16).astype(x.dtype)


@round_to_float16.vjp
def round_to_float16_vjp(d_out):
    r"""Straight through, $\bar x = \operatorname{round}(\bar y)$: the gradient is a
    float16 too, and where it is below $2^{-25}$ it is gone."""
    return round_to_float16(d_out)


@shapes(x="...")
def bfloat16_bits(x):
    """The sixteen bits of the nearest bfloat16 of each number, as uint16.

    Source: [Cortes] 8.4. Oracle: torch.Tensor.bfloat16, viewed as integers.

    >>> [f"{bits:04X}" for bits in bfloat16_bits(np.array([1.0, -2.0, np.inf]))]
    ['3F80', 'C000', '7F80']
    """
    with np.errstate(over="ignore", under="ignore"):
        single = np.ascontiguousarray(x, np.float32).reshape(x.shape)
    bits = single.view(np.uint32)
    odd = (bits >> 16) & 1
    rounded = ((bits + (odd + 0x7FFF)) >> 16).astype(np.uint16)
    # A NaN whose fraction is in the lower half would be carried or cut to an infinity.
    return np.where(np.isnan(single), np.uint16(QUIET_NAN), rounded)


def bfloat16_from_bits(bits):
    """The float32 of each sixteen bits: they are its upper half, below them are zeros.

    Source: [Cortes] 8.4. Oracle: torch.Tensor.view(torch.bfloat16).

    >>> bfloat16_from_bits(np.array([0x3F80, 0xC000], np.uint16))
    array([ 1., -2.], dtype=float32)
    """
    if bits.dtype.newbyteorder("=") != np.uint16:
        raise ValueError(
            f"bfloat16_from_bits: the bits are uint16, not {bits.dtype}: for numbers "
            "there is round_to_bfloat16"
        )
    return (bits.astype(np.uint32) << 16).view(np.float32)
