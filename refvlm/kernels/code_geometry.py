"""Where zero points and scales lie along codes, and how filters walk, in ONNX's words.

The definitions in `quantize` and their kernels are both written in these words.
"""

from __future__ import annotations

import numpy as np

from .windows import Geometry, geometry


def centered(codes, zero, dtype=np.float32):
    """Codes without their zero point, in a dtype that has room for them."""
    return np.subtract(codes, zero, dtype=dtype)


def one_number(number):
    """The number alone, whatever axes of 1 it has; 0 where there is none."""
    return np.zeros((), np.int8) if number is None else number.reshape(())


def along(numbers, shape, axis, block_size=0):
    """One number, or one for each entry's place, or block of places, along an axis of
    an array of that shape."""
    if numbers.size == 1:
        return one_number(numbers)
    if block_size:
        return np.take(numbers, np.arange(shape[axis]) // block_size, axis)
    lying = [1] * len(shape)
    lying[axis] = -1
    return numbers.reshape(lying)


def per_column(number):
    """One number, or one for each column."""
    is_one = number is None or number.size == 1
    return one_number(number) if is_one else number


def per_row(number):
    """One number, or a column of them: one for each row of a matrix."""
    number = per_column(number)
    return number[:, None] if number.ndim == 1 else number


def per_filter(number, axes):
    """One number, or one for each filter, with so many axes behind it."""
    number = per_column(number)
    return number.reshape(-1, *[1] * axes) if number.ndim else number


def walk_of(name, x, w, auto_pad, dilations, pads, strides) -> Geometry:
    """How w (c_out, c_group, *kernel) walks over x (n, c_in, *size), in ONNX's words.

    pads lists what is added before each axis, and then what behind each. "SAME_UPPER"
    and "SAME_LOWER" add as much as gives a result for every stride begun; an odd one
    goes behind or before.
    """
    size, kernel = x.shape[2:], w.shape[2:]
    strides = strides or (1,) * len(size)
    dilations = dilations or (1,) * len(size)
    pads = list(pads or (0,) * 2 * len(size))
    if auto_pad.startswith("SAME"):
        total = [
            max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            for n, k, s, d in zip(size, kernel, strides, dilations)
        ]
        less, more = [p // 2 for p in total], [p - p // 2 for p in total]
        pads = less + more if auto_pad == "SAME_UPPER" else more + less
    padding = tuple(zip(pads[: len(size)], pads[len(size) :]))
    return geometry(size, kernel, tuple(strides), padding, tuple(dilations), name=name)
