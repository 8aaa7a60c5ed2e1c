r"""Four bits a number: the nearest of sixteen levels, a scale to each block.

A block of numbers is divided by the largest of them in magnitude, $a$, and each is
then written as the place of the nearest level in a code book:

$$c_i = \arg\min_k \bigl| w_i / a - \ell_k \bigr|, \qquad \hat w_i = a \, \ell_{c_i}.$$

Blocks run along the flat array, across the ends of its rows, and the last may be short.
Two codes share a byte, the first in its upper half. Which levels these are is the
subject of `normal_float.py`.
"""

from __future__ import annotations

import math

import numpy as np

from ..kernels import code_books, computed_by
from ..kernels.code_books import LEAST
from ..shapes import shapes
from . import demands
from .packing import pack_nibbles, unpack_nibbles


@shapes(
    demands.room_for_blocks,
    demands.levels_are_numbers,
    x="...",
    levels="16",
    as_stored=True,
)
@computed_by(code_books.quantize)
def code_book_quantize(x, levels, block_size=64):
    r"""Codes and scales: $c_i = \arg\min_k |w_i / a - \ell_k|$ with
    $a = \max_{i \in \text{block}} |w_i|$.

    x is of any shape, and counts as flat float32; levels are sixteen numbers in any
    order, of which a code is the place. The result is (codes, absmax): codes a byte for
    two numbers, the first in its upper half, an odd count with the code of 0 at its
    end; absmax a float32 for each block. In the middle between two levels the lower is
    taken. A block of zeros has an absmax of 0, and a short last one of 1e-38.

    Source: [MicroVLM-V] 8. Oracle: bitsandbytes.functional.quantize_4bit.

    >>> eighths = np.arange(-8, 8, dtype=np.float32) / 8
    >>> codes, absmax = code_book_quantize(np.array([0.0, 1.0, -4.0]), eighths, 2)
    >>> [f"{byte:02x}" for byte in codes], absmax
    (['8f', '08'], array([1., 4.], dtype=float32))
    """
    weights = x.astype(np.float32).ravel()
    absmax = np.maximum.reduceat(
        np.abs(weights), np.arange(0, weights.size, block_size)
    )
    divisors = np.maximum(absmax, LEAST)
    scaled = weights * np.repeat(1 / divisors, block_size)[: weights.size]
    short = weights.size % block_size
    if short:  # bitsandbytes divides here, and multiplies by 1 / a elsewhere
        scaled[-short:] = weights[-short:] / divisors[-1]
        absmax[-1] = divisors[-1]
    order = np.argsort(levels, kind="stable")
    ascending = levels[order].astype(np.float32)
    middles = (ascending[:-1] + ascending[1:]) / 2
    even = np.pad(scaled, (0, weights.size % 2))
    return pack_nibbles(order[np.searchsorted(middles, even)]), absmax


@shapes(
    demands.whole_blocks,
    demands.levels_are_numbers,
    codes="bytes of integers",
    absmax="blocks",
    levels="16",
    as_stored=True,
)
@computed_by(code_books.dequantize)
def code_book_dequantize(codes, absmax, levels, shape, block_size=64, dtype=np.float32):
    r"""The numbers that codes stand for: $\hat w_i = a \, \ell_{c_i}$.

    codes and absmax are those of `code_book_quantize`, shape what x was. The product is
    a float32, rounded once to another dtype.

    Source: [MicroVLM-V] 8. Oracle: bitsandbytes.functional.dequantize_4bit.

    >>> eighths = np.arange(-8, 8, dtype=np.float32) / 8
    >>> codes, absmax = np.array([0x8F, 0x08], np.uint8), np.array([1.0, 4.0])
    >>> code_book_dequantize(codes, absmax, eighths, (3,), 2)
    array([ 0.   ,  0.875, -4.   ], dtype=float32)
    """
    count = math.prod(shape)
    scales = np.repeat(absmax.astype(np.float32), block_size)[:count]
    each = levels.astype(np.float32)[unpack_nibbles(codes, 2 * len(codes))[:count]]
    with np.errstate(over="ignore", under="ignore"):
        weights = (each * scales).astype(dtype)
    return weights.reshape(shape)
