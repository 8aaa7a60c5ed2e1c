"""Of groups of a row: sizes and widths that MLX has, words and scales that fit."""

from __future__ import annotations

import numpy as np

from ...arguments import is_whole
from ...shapes import ShapeError
from .numbers import finite

GROUP_SIZES = 32, 64, 128
BITS = 1, 2, 3, 4, 5, 6, 8
ROUNDINGS = "float16", "bfloat16"


def groups_are_known(function, group_size, bits):
    """Groups and widths are those that MLX has."""
    for name, value, known in (
        ("group_size", group_size, GROUP_SIZES),
        ("bits", bits, BITS),
    ):
        if not is_whole(value) or value not in known:
            raise ValueError(
                f"{function}: {name} is one of {', '.join(map(str, known))}, as in "
                f"MLX, not {value!r}"
            )


def rows_are_groups(function, w, group_size):
    """Each row is so many whole groups, and there is one."""
    if not w.size or w.shape[-1] % group_size:
        raise ShapeError(
            f"{function}: w {w.shape} has rows of {w.shape[-1]}, which are not one or "
            f"more groups of {group_size}"
        )


def ranges_have_a_scale(function, w):
    """No weight is NaN or infinite, and no range is wider than the dtype: from one end
    of it to the other the codes are multiples of the scale."""
    finite(function, w=w)
    low, high = float(w.min()), float(w.max())
    if high - low > float(np.finfo(w.dtype).max):
        raise ValueError(
            f"{function}: w reaches from {low:g} to {high:g}, so far that a code times "
            f"its scale is infinite in {w.dtype}"
        )


def words_and_scales_fit(function, packed, scales, biases, group_size, bits):
    """Words of 32 bits, and a scale and a bias for each of their groups."""
    if packed.dtype != np.uint32:
        raise ValueError(f"{function}: packed holds {packed.dtype}, but needs uint32")
    if scales.dtype != biases.dtype:
        raise ValueError(
            f"{function}: scales are {scales.dtype} and biases {biases.dtype}; they "
            f"are of one dtype, that of the weights"
        )
    words = group_size * bits // 32
    if not packed.size or packed.shape != (
        *scales.shape[:-1],
        scales.shape[-1] * words,
    ):
        raise ShapeError(
            f"{function}: packed is {packed.shape} and scales {scales.shape}, but a "
            f"group of {group_size} takes {words} words at {bits} bits"
        )
    finite(function, scales=scales, biases=biases)


def half_is_held_in_single(function, scales, rounding):
    """A format by name, of numbers that wait in float32."""
    if rounding is None:
        return
    if rounding not in ROUNDINGS or scales.dtype != np.float32:
        raise ValueError(
            f"{function}: rounding is {' or '.join(ROUNDINGS)} beside scales in "
            f"float32, or None, not {rounding!r:.60} beside {scales.dtype}"
        )
