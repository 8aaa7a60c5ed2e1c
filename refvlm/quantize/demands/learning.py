"""Of rounding to learn under: a range of levels, steps with a size, a zero on it."""

from __future__ import annotations

import math

import numpy as np

from ...arguments import is_number, is_whole
from ...shapes import ShapeError
from .numbers import finite


def numbers_are_finite(function, x):
    """A NaN has no place on the grid, and an infinity would be clipped in silence."""
    finite(function, x=x)


def levels_are_a_range(function, quant_min, quant_max):
    """Two whole numbers, the lower one first."""
    whole = is_whole(quant_min) and is_whole(quant_max)
    if not whole or quant_min > quant_max:
        raise ValueError(
            f"{function}: the levels go from a whole number to one that is not lower, "
            f"as from -8 to 7; quant_min is {quant_min!r:.60} and quant_max "
            f"{quant_max!r:.60}"
        )


def one_step_for_each(function, x, scale, zero_point, axis):
    """One scale and one zero point, or one of each along the axis."""
    right = [(), (1,)] if axis is None else [(x.shape[axis],) if x.ndim else (1,)]
    for name, value in (("scale", scale), ("zero_point", zero_point)):
        held = value.dtype.kind if isinstance(value, np.ndarray) else "O"
        if not is_number(value) and held not in "fiu":
            raise TypeError(
                f"{function}: {name} is a number or an array of them, not {value!r:.60}"
            )
        if np.shape(value) not in right and (axis is not None or np.size(value) != 1):
            wants = "one number" if axis is None else f"{right[0]} along axis {axis}"
            raise ShapeError(
                f"{function}: {name} is {np.shape(value)}, and x {x.shape} "
                f"wants {wants}"
            )


def steps_have_a_size(function, scale):
    """Steps are neither backwards nor so small that 1/s overflows."""
    scale = np.asarray(scale, np.float64)
    least, most = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    if not (np.greater_equal(scale, least) & np.less_equal(scale, most)).all():
        raise ValueError(
            f"{function}: every scale is from {least:.2g} to {most:.2g}; the least is "
            f"{np.min(scale)}, the largest {np.max(scale)}"
        )


def zero_is_a_level(function, zero_point, quant_min, quant_max):
    """Zero points are whole and within the range, so that 0 stays 0."""
    whole = np.asarray(zero_point).dtype.kind in "iu"
    if (
        not whole
        or np.less(zero_point, quant_min).any()
        or np.greater(zero_point, quant_max).any()
    ):
        raise ValueError(
            f"{function}: zero_point: zero points are whole numbers from {quant_min} "
            f"to {quant_max}, so that 0 stays 0; not {zero_point!r:.60}"
        )


def zero_and_factor_are_finite(function, zero_point, grad_factor):
    """A zero point on its way may lie between levels and beyond them, but somewhere."""
    finite(function, zero_point=zero_point)
    if not is_number(grad_factor) or not math.isfinite(grad_factor):
        raise ValueError(
            f"{function}: grad_factor is a number, not {grad_factor!r:.60}"
        )


def each_with_its_rounding(x, rounded):
    """Each number with what it was rounded to."""
    if x.shape != rounded.shape:
        raise ShapeError(
            f"straight_through: x is {x.shape} and rounded {rounded.shape}, which is "
            "no rounding of it"
        )


def numbers_to_begin_with(x, quant_max):
    """Some numbers, all finite, and levels above zero."""
    if not x.size:
        raise ShapeError(f"first_step: of 0 numbers there is no step: x is {x.shape}")
    a_count_and_levels("first_step", x.size, quant_max)
    numbers_are_finite("first_step", x)


def a_count_and_levels(function, count, quant_max):
    """A step has one number at least, and one level above zero."""
    if not is_whole(count) or count < 1:
        raise ShapeError(
            f"{function}: of {count!r:.60} numbers there is no step: count is 1 or more"
        )
    if not is_whole(quant_max) or quant_max < 1:
        raise ValueError(f"{function}: quant_max is 1 or more, not {quant_max!r:.60}")
