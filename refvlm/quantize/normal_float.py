r"""NF4 and FP4: sixteen levels where the weights are, and sixteen that are floats.

Trained weights lie about as a normal distribution does. NF4, the normal float of four
bits, takes its levels from the quantiles of that, so that each is the nearest for about
as many weights as any other, and 0 is one of them. FP4 is a floating number of one sign
bit, two bits of exponent and one of fraction. Of both the largest is 1: they are for
blocks that are divided by their largest (`code_books.py`).
"""

from __future__ import annotations

import functools

import numpy as np

from .. import ops
from ..ops.special import normal_cdf, normal_pdf
from ..shapes import shapes
from . import demands
from .code_books import code_book_dequantize, code_book_quantize

# Of 15 equal shares the outermost has its middle at 1/30, of 16 at 1/32. The levels
# begin halfway between the two; these are the digits of 1 - that which everybody keeps.
OUTERMOST = float(np.float32(0.9677083))
ITERATIONS = 40  # of Newton's method; 25 are enough for a share of 1e-9


@shapes(demands.a_share_of_the_normal, share="...", returns="...")
def normal_quantile(share):
    r"""The number below which a share p of the normal distribution lies:
    $x = \Phi^{-1}(p)$, by Newton's method, $x \leftarrow x - (\Phi(x) - p) /
    \varphi(x)$.

    Begun at 0, where $\Phi$ is steepest, no step goes too far: the curve only flattens
    on the way out.

    Source: [Dettmers2023]. Oracle: torch.special.ndtri.

    >>> normal_quantile(np.array([0.5, 0.8413447460685429])).round(12)
    array([0., 1.])
    """
    x = np.zeros_like(share)
    for _ in range(ITERATIONS):
        x = x - (normal_cdf(x) - share) / normal_pdf(x)
    return x


@functools.cache
def _quantiles(count):
    r"""$\Phi^{-1}$ of evenly spaced shares, from the outermost down to 1/2, which is
    left out. Shares and quantiles are rounded to float32."""
    shares = np.linspace(OUTERMOST, 0.5, count).astype(np.float32)
    return normal_quantile(shares[:-1].astype(np.float64)).astype(np.float32)


def nf4_levels():
    r"""The sixteen levels of NF4: $\ell = q / q_{\max}$ with seven quantiles
    $-\Phi^{-1}(p)$ below zero, 0 itself, and eight $\Phi^{-1}(p)$ above.

    The shares p are evenly spaced from 0.9677 down to 1/2, in seven steps for the
    levels below zero and in eight for those above, without the 1/2: so zero is exact,
    and an even number of levels is not symmetric about it.

    Shares, quantiles and the quotient are each rounded to float32, which makes the
    levels those that are published, to the last digit. Rounded but once, ten of the
    sixteen would be other float32 numbers, the farthest off by 1.1e-7; but files are
    written with the published ones.

    Source: [MicroVLM-V] 8, [Dettmers2023] appendix E. Oracle:
    bitsandbytes.functional.get_4bit_type.

    >>> nf4_levels()[[0, 6, 7, 8, 15]]
    array([-1.        , -0.09105004,  0.        ,  0.0795803 ,  1.        ],
          dtype=float32)
    """
    levels = np.concatenate([-_quantiles(8), np.zeros(1, "f4"), _quantiles(9)[::-1]])
    return levels / levels[-1]


def fp4_levels():
    r"""The sixteen levels of FP4, in the order of their bits `seef`:
    $(-1)^s\, 2^{4 - e} (1 + f/2) / 12$, and for $e = 0$: 0 or $\pm 2^{-4} / 12$.

    The exponent counts down from 3 at e = 1, and all is divided by the largest, 12.
    There are two zeros, 0000 and 1000.

    Source: [MicroVLM-V] 8. Oracle: bitsandbytes.functional.get_4bit_type.

    >>> (12 * fp4_levels()[:8]).round(4)
    array([ 0.    ,  0.0625,  8.    , 12.    ,  4.    ,  6.    ,  2.    ,
            3.    ], dtype=float32)
    """
    exponent, fraction = np.repeat(np.arange(4), 2), np.tile(np.arange(2), 4)
    normal = 2.0 ** (4 - exponent) * (1 + fraction / 2)
    magnitude = np.where(exponent == 0, fraction / 16, normal)
    return (np.concatenate([magnitude, 0 - magnitude]) / 12).astype(np.float32)


def nf4_quantize(x, block_size=64):
    r"""NF4 codes and scales: the nearest of `nf4_levels` to each $w_i / a$.

    The result is (codes, absmax) as bitsandbytes keeps them: two codes a byte, the
    first in its upper half, and a float32 for each block of the flat array.

    Source: [MicroVLM-V] 8, [Dettmers2023]. Oracle:
    bitsandbytes.functional.quantize_nf4.

    >>> nf4_quantize(np.array([0.0, -0.5, 0.5, 0.25]))
    (array([112, 252], dtype=uint8), array([0.5], dtype=float32))
    """
    return code_book_quantize(x, nf4_levels(), block_size)


def nf4_dequantize(codes, absmax, shape, block_size=64, dtype=np.float32):
    r"""The numbers of NF4 codes: $\hat w_i = a\, \ell_{c_i}$.

    Source: [MicroVLM-V] 8, [Dettmers2023]. Oracle:
    bitsandbytes.functional.dequantize_nf4.

    >>> nf4_dequantize(*nf4_quantize(np.array([0.0, -0.5, 0.5, 0.25])), (4,))
    array([ 0.        , -0.5       ,  0.5       ,  0.22035491], dtype=float32)
    """
    return code_book_dequantize(codes, absmax, nf4_levels(), shape, block_size, dtype)


def fp4_quantize(x, block_size=64):
    r"""FP4 codes and scales: the nearest of `fp4_levels` to each $w_i / a$.

    Of the two zeros, 0000 is for what is nearest 0 and not above it, 1000 for what is
    above.

    Source: [MicroVLM-V] 8. Oracle: bitsandbytes.functional.quantize_fp4.

    >>> fp4_quantize(np.array([0.0, -0.5, 0.5, 0.25]))
    (array([11, 53], dtype=uint8), array([0.5], dtype=float32))
    """
    return code_book_quantize(x, fp4_levels(), block_size)


def fp4_dequantize(codes, absmax, shape, block_size=64, dtype=np.float32):
    r"""The numbers of FP4 codes: $\hat w_i = a\, \ell_{c_i}$.

    Source: [MicroVLM-V] 8. Oracle: bitsandbytes.functional.dequantize_fp4.

    >>> fp4_dequantize(*fp4_quantize(np.array([0.0, -0.5, 0.5, 0.25])), (4,))
    array([ 0.  , -0.5 ,  0.5 ,  0.25], dtype=float32)
    """
    return code_book_dequantize(codes, absmax, fp4_levels(), shape, block_size, dtype)


@shapes(
    demands.a_matrix_of_four_bits,
    x="... n_in",
    codes="bytes of integers",
    absmax="blocks",
    bias="n_out",
    as_stored=True,
)
def linear_4bit(x, codes, absmax, shape, bias=None, block_size=64, quant_type="nf4"):
    r"""A linear map whose matrix is kept in four bits: $y = x \hat W^\top + b$.

    shape is that of the matrix, (n_out, n_in). It is dequantised to the dtype of x,
    used, and forgotten: bits save memory, not multiplications.

    Source: [MicroVLM-V] 8. Oracle: bitsandbytes.nn.Linear4bit.

    >>> codes, absmax = nf4_quantize(np.array([[1.0, 0.0], [0.5, -1.0]]))
    >>> linear_4bit(np.array([[2.0, 1.0]]), codes, absmax, (2, 2))
    array([[ 2.        , -0.11858034]])
    """
    dequantize = nf4_dequantize if quant_type == "nf4" else fp4_dequantize
    weight = dequantize(codes, absmax, shape, block_size, x.dtype)
    return ops.linear(x, weight, bias)
