"""Of even grids: scales and zero points that lie along an array, codes of a format."""

from __future__ import annotations

import numpy as np

from ...arguments import check_axes, check_whole
from ...shapes import ShapeError
from ..number_formats import FloatFormat, format_of, number_format
from .numbers import LARGEST_BLOCK, finite


def scales(function: str, name: str, scale):
    """Refuse a scale that nothing can be divided by."""
    finite(function, **{name: scale})
    if not np.all(scale):
        raise ValueError(f"{function}: {name} holds 0, by which nothing can be divided")


def one_for_each(function, array, shape, axis, block_size, **parameters):
    """Refuse scales and zero points that do not lie along the array.

    Each is one number, or one for each place along `axis`, or, in blocks, of the
    array's shape with as many places along `axis` as there are blocks.
    """
    check_whole(function, most=LARGEST_BLOCK, block_size=block_size)
    for name, parameter in parameters.items():
        if parameter is None or parameter.size == 1:
            continue
        check_axes(function, "axis", axis, array, shape)
        if block_size:
            right = list(shape)
            right[axis] = -(-shape[axis] // block_size)
        else:
            right = [shape[axis]]
        if parameter.shape != tuple(right):
            each = f"blocks of {block_size} along" if block_size else "places of"
            raise ShapeError(
                f"{function}: {name} is {parameter.shape}, but {array} {shape} has "
                f"{tuple(right)} {each} axis {axis}"
            )


def zero_point_of(function, name, zero_point, known):
    """Refuse a zero point that is no code of the format, stored as its codes are."""
    if zero_point is None:
        return
    stored_as(function, name, zero_point, known)
    if isinstance(known, FloatFormat) and zero_point.any():
        raise ValueError(
            f"{function}: {name} must be 0: {known.name} has no other zero"
        )


def stored_as(function, name, codes, known):
    """Refuse codes of another dtype than the format's, or that it does not have."""
    if codes.dtype.newbyteorder("=") != known.storage:
        raise ValueError(
            f"{function}: {name} holds {codes.dtype}, but a code of {known.name} is "
            f"stored as {known.storage}"
        )
    low, high = known.low, known.high
    if isinstance(known, FloatFormat):
        low, high = 0, 2**known.bits - 1
    if codes.size and not (low <= codes.min() and codes.max() <= high):
        raise ValueError(
            f"{function}: {name} holds codes from {codes.min()} to {codes.max()}, but "
            f"{known.name} has {low} to {high}"
        )


def codes_can_be_had(
    function, x, y_scale, y_zero_point, axis, block_size, output_dtype
):
    """Refuse to quantise by scales and zero points that do not fit, or what is none of
    a format's numbers."""
    saying = "y_zero_point" if output_dtype is None else "output_dtype"
    known = format_of(y_zero_point, output_dtype, f"{function}: {saying}")
    scales(function, "y_scale", y_scale)
    zero_point_of(function, "y_zero_point", y_zero_point, known)
    lying = {"y_scale": y_scale, "y_zero_point": y_zero_point}
    one_for_each(function, "x", x.shape, axis, block_size, **lying)
    if not isinstance(known, FloatFormat):
        finite(function, x=x)
    elif known.bits == 4 and np.isnan(x).any():
        raise ValueError(
            f"{function}: x holds NaN, which no code of {known.name} stands for"
        )


def codes_can_be_read(function, x, x_scale, x_zero_point, axis, block_size, dtype):
    """Refuse codes that are none of the format, and what does not lie along them."""
    known = None if dtype is None else number_format(dtype, f"{function}: dtype")
    scales(function, "x_scale", x_scale)
    if known is not None:
        stored_as(function, "x", x, known)
    if x_zero_point is not None:
        known = known or number_format(x.dtype.name, f"{function}: x")
        zero_point_of(function, "x_zero_point", x_zero_point, known)
    lying = {"x_scale": x_scale, "x_zero_point": x_zero_point}
    one_for_each(function, "x", x.shape, axis, block_size, **lying)
