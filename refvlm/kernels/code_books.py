"""Codes of four bits: sixteen levels by fifteen comparisons, two numbers by one look.

To quantize, the place of a number among the levels is counted, one comparison with each
middle between two of them, on a piece that stays in cache: an array of (numbers, 16)
distances is never made, and a comparison is quicker than a step of a binary search.

To dequantize, a byte is the place of a pair of levels in a table of 256. The pair is
eight bytes, so NumPy moves it as one item, and a look-up serves two numbers.
"""

from __future__ import annotations

import math

import numpy as np

from ..parallel import blocks, in_parallel

PIECE = 1 << 17  # numbers at a time, half a megabyte of them
LEAST = np.float32(1e-38)  # bitsandbytes divides by no less, a block of zeros too


def quantize(x, levels, block_size):
    """`quantize.code_book_quantize`, in pieces of whole blocks."""
    weights = x.reshape(-1)
    order = np.argsort(levels, kind="stable").astype(np.uint8)
    ascending = levels[order].astype(np.float32)
    middles = (ascending[:-1] + ascending[1:]) / 2
    codes = np.empty(-(-weights.size // 2), np.uint8)
    absmax = np.empty(-(-weights.size // block_size), np.float32)

    def work(piece):
        part = weights[piece].astype(np.float32)
        scales = absmax[piece.start // block_size :][: -(-part.size // block_size)]
        _divide(part, scales, block_size)
        places = np.zeros(part.size + part.size % 2, np.uint8)
        is_above = np.empty(part.size, bool)
        for middle in middles:
            np.greater(part, middle, out=is_above)
            places[: part.size] += is_above.view(np.uint8)
        if part.size % 2:
            places[-1] = np.searchsorted(middles, 0)
        numbers = order[places]
        np.left_shift(numbers[0::2], 4, out=numbers[0::2])
        out = codes[piece.start // 2 :][: len(places) // 2]
        np.bitwise_or(numbers[0::2], numbers[1::2], out=out)

    in_parallel(work, _pieces(weights.size, block_size))
    return codes, absmax


def _divide(part, scales, block_size):
    """Each block by its largest, in place; the largest are left in `scales`."""
    whole = part.size // block_size * block_size
    grid, rest = part[:whole].reshape(-1, block_size), part[whole:]
    full = scales[: len(grid)]
    np.maximum(grid.max(axis=1), -grid.min(axis=1), out=full)
    full += 0  # the largest of nothing but -0 is 0
    grid *= (1 / np.maximum(full, LEAST))[:, None]
    if rest.size:
        scales[-1] = np.maximum(np.abs(rest).max(), LEAST)
        rest /= scales[-1]


def dequantize(codes, absmax, levels, shape, block_size, dtype):
    """`quantize.code_book_dequantize`, in pieces of whole blocks."""
    count = math.prod(shape)
    dtype = np.dtype(dtype)
    levels = levels.astype(np.float32)
    table = np.stack([np.repeat(levels, 16), np.tile(levels, 16)], axis=1)
    pairs = table.view(np.float64).ravel()
    absmax = absmax.astype(np.float32, copy=False)
    weights = np.empty(len(codes) * 2, dtype)

    def work(piece):
        some = codes[piece.start // 2 : -(-piece.stop // 2)]
        out = weights[piece.start : piece.start + 2 * len(some)]
        part = out if dtype == np.float32 else np.empty(len(out), np.float32)
        np.take(pairs, some, out=part.view(np.float64), mode="clip")
        scales = absmax[piece.start // block_size :]
        size = piece.stop - piece.start
        whole = size // block_size
        end = whole * block_size
        with np.errstate(over="ignore", under="ignore"):
            part[:end].reshape(whole, block_size)[...] *= scales[:whole, None]
            if end < size:
                part[end:size] *= scales[whole]
            if part is not out:
                out[...] = part

    in_parallel(work, _pieces(count, block_size))
    return weights[:count].reshape(shape)


def _pieces(count, block_size):
    """Slices of whole blocks, and of whole bytes, small enough for the cache."""
    unit = math.lcm(block_size, 2)
    return blocks(count, max(PIECE // unit, 1) * unit)
