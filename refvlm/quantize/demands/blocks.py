"""Of blocks with a scale each: levels, codes of four bits, and scales of scales."""

from __future__ import annotations

import math

import numpy as np

from ...arguments import check_whole, is_whole
from ...autodiff import value_of
from ...shapes import ShapeError
from .numbers import LARGEST_BLOCK, finite


def room_for_blocks(function, x, block_size):
    """Some numbers, each of them one that float32 holds, and a block of them."""
    check_whole(function, least=1, most=LARGEST_BLOCK, block_size=block_size)
    if x.size == 0:
        raise ValueError(f"{function}: x is {x.shape}, and holds nothing to quantize")
    largest = max(float(x.max()), -float(x.min()))
    if not largest <= float(np.finfo(np.float32).max):  # nor is NaN
        raise ValueError(
            f"{function}: x holds {largest}, which has no place among levels: mend or "
            "leave out what is not finite in float32"
        )


def whole_blocks(function, codes, absmax, shape, block_size, dtype):
    """A byte for two numbers, a scale for each block, and a dtype to give."""
    check_whole(function, least=1, most=LARGEST_BLOCK, block_size=block_size)
    if not isinstance(shape, (tuple, list)) or not all(map(is_whole, shape)):
        raise ValueError(f"{function}: shape is a tuple of sizes, not {shape!r}")
    count = math.prod(map(int, shape))
    if count < 1 or min(shape, default=1) < 1:
        raise ShapeError(f"{function}: shape is {shape}, and holds no number")
    needed, blocks = -(-count // 2), -(-count // block_size)
    if codes.dtype != np.uint8:
        raise ValueError(f"{function}: codes are bytes (uint8), not {codes.dtype}")
    if len(codes) != needed:
        raise ShapeError(
            f"{function}: codes are {len(codes)} bytes, but the {count} numbers of "
            f"the shape {tuple(shape)} want {needed}, two a byte"
        )
    if len(absmax) != blocks:
        raise ShapeError(
            f"{function}: absmax holds {len(absmax)} scales, but {count} numbers in "
            f"blocks of {block_size} want {blocks}"
        )
    finite(function, absmax=absmax)
    if not _is_floating(dtype):
        raise ValueError(f"{function}: dtype is a floating one, not {dtype!r:.60}")


def levels_are_numbers(function, levels):
    """NaN is near nothing, and nothing is near infinity."""
    finite(function, levels=levels)


def scales_to_quantize(function, absmax, block_size):
    """Some scales, all finite, and a block of them."""
    check_whole(function, least=1, most=LARGEST_BLOCK, block_size=block_size)
    if absmax.size == 0:
        raise ValueError(f"{function}: absmax is empty, and has no mean")
    finite(function, absmax=absmax)


def nested_scales_fit(function, codes, nested_absmax, offset, block_size):
    """A byte for each scale, a scale for each block of them, and one offset."""
    check_whole(function, least=1, most=LARGEST_BLOCK, block_size=block_size)
    if codes.dtype != np.uint8:
        raise ValueError(f"{function}: codes are bytes (uint8), not {codes.dtype}")
    blocks = -(-len(codes) // block_size)
    if len(nested_absmax) != blocks:
        raise ShapeError(
            f"{function}: nested_absmax holds {len(nested_absmax)} scales, but "
            f"{len(codes)} codes in blocks of {block_size} want {blocks}"
        )
    if np.shape(offset) != () or np.asarray(offset).dtype.kind not in "fiu":
        raise ValueError(f"{function}: offset is one number, not {offset!r:.60}")
    finite(function, nested_absmax=nested_absmax, offset=offset)


def a_share_of_the_normal(function, share):
    """Some below, some above, and not so few that digits run out."""
    if not ((share >= 1e-9) & (share <= 1 - 1e-9)).all():
        raise ValueError(f"{function}: a share lies between 1e-9 and 1 - 1e-9")


def a_matrix_of_four_bits(x, shape, quant_type):
    """Two axes, of a kind that is known, and finite numbers to multiply by it."""
    finite("linear_4bit", x=value_of(x))
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise ShapeError(f"linear_4bit: shape is (n_out, n_in), not {shape!r}")
    if quant_type not in ("nf4", "fp4"):
        kinds = '"nf4" or "fp4"'
        raise ValueError(f"linear_4bit: quant_type is {kinds}, not {quant_type!r}")


def _is_floating(dtype):
    try:
        return dtype is not None and np.dtype(dtype).kind == "f"
    except TypeError:  # no dtype at all
        return False
