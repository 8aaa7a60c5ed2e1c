"""Of products of codes: operands of 8 bits, zero points and scales beside them."""

from __future__ import annotations

import math

import numpy as np

from ...arguments import check_whole, is_whole
from ...kernels.code_geometry import walk_of
from ...shapes import ShapeError

EIGHT_BITS = (np.int8, np.uint8)
LARGEST_STEP, LARGEST_PADDED = 2**24, 2**31
AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def a_product(function, a, b, a_zero_point, b_zero_point):
    """Codes of 8 bits that can be multiplied, and a zero point for each row of a and
    each column of b, or one for all."""
    _codes(function, a=a, b=b)
    for name, matrix in {"a": a, "b": b}.items():
        if not matrix.ndim:
            raise ShapeError(f"{function}: {name} is one number: multiply by it")
    rows, columns = a.shape[-1], b.shape[-2 if b.ndim > 1 else 0]
    if rows != columns:
        raise ShapeError(
            f"{function}: the rows of a {a.shape} have {rows} codes, but the columns "
            f"of b {b.shape} {columns}"
        )
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(
            f"{function}: the matrices of a {a.shape} and b {b.shape} do not pair"
        ) from None
    _zero_point(function, "a", a_zero_point, a, _shapes_per_row(a))
    _zero_point(function, "b", b_zero_point, b, _shapes_per_column(b))


def a_requantized_product(
    function, a, a_scale, b, b_scale, y_scale, y_zero_point, a_zero_point, b_zero_point
):
    """The same, scales in the same places, and what the result is stored as."""
    a_product(function, a, b, a_zero_point, b_zero_point)
    _scale(function, "a_scale", a_scale, _shapes_per_row(a))
    _scale(function, "b_scale", b_scale, _shapes_per_column(b))
    _result(function, y_scale, y_zero_point)
    _multiplier(function, a_scale, b_scale, y_scale)


def a_convolution(
    function,
    x,
    w,
    x_zero_point,
    w_zero_point,
    auto_pad,
    dilations,
    group,
    kernel_shape,
    pads,
    strides,
):
    """Codes of 8 bits, a window that fits, and one zero point for x, and one for each
    filter of w, or one for all."""
    _codes(function, x=x, w=w)
    if x.ndim < 3 or x.ndim != w.ndim:
        raise ShapeError(
            f"{function}: x is (n, c_in, *size) and w (c_out, c_group, *kernel), of as "
            f"many axes, not {x.shape} and {w.shape}"
        )
    check_whole(function, least=1, group=group)
    if not len(w) or len(w) % group or w.shape[1] * group != x.shape[1]:
        raise ShapeError(
            f"{function}: w {w.shape} in {group} groups reads {w.shape[1] * group} "
            f"channels and makes {len(w)}, but x {x.shape} has {x.shape[1]}"
        )
    _walk(function, x, w, auto_pad, dilations, kernel_shape, pads, strides)
    _zero_point(function, "x", x_zero_point, x, ())
    _zero_point(function, "w", w_zero_point, w, ((len(w),),))


def a_requantized_convolution(
    function,
    x,
    x_scale,
    x_zero_point,
    w,
    w_scale,
    w_zero_point,
    y_scale,
    y_zero_point,
    b,
    auto_pad,
    dilations,
    group,
    kernel_shape,
    pads,
    strides,
):
    """The same, scales in the same places, a bias of int32 for each filter, and what
    the result is stored as."""
    walk = auto_pad, dilations, group, kernel_shape, pads, strides
    a_convolution(function, x, w, x_zero_point, w_zero_point, *walk)
    _scale(function, "x_scale", x_scale, ())
    _scale(function, "w_scale", w_scale, ((len(w),),))
    _result(function, y_scale, y_zero_point)
    _multiplier(function, x_scale, w_scale, y_scale)
    if b is not None and (b.dtype != np.int32 or b.shape != (len(w),)):
        raise ValueError(
            f"{function}: b is int32, ({len(w)},), in steps of x_scale * w_scale, not "
            f"{b.dtype}, {b.shape}"
        )


def _shapes_per_row(matrix):
    """The shapes that hold one number for each row."""
    each = (*matrix.shape[:-1], 1)
    return (each, each[-2:-1]) if matrix.ndim > 1 else ()


def _shapes_per_column(matrix):
    """The shapes that hold one number for each column."""
    each = (*matrix.shape[:-2], 1, matrix.shape[-1])
    return (each, each[-1:]) if matrix.ndim > 1 else ()


def _codes(function, **operands):
    for name, codes in operands.items():
        if codes.dtype not in EIGHT_BITS:
            raise ValueError(
                f"{function}: {name} holds {codes.dtype}, but needs int8 or uint8, "
                "which also store codes of fewer bits"
            )


def _zero_point(function, name, zero_point, codes, shapes):
    if zero_point is None:
        return
    if zero_point.dtype != codes.dtype:
        raise ValueError(
            f"{function}: {name}_zero_point is {zero_point.dtype}, but {name} is "
            f"{codes.dtype}: a zero point is one of the codes"
        )
    _places(function, f"{name}_zero_point", zero_point, shapes)


def _scale(function, name, scale, shapes):
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError(f"{function}: {name} must be above 0, and finite: {scale!r}")
    _places(function, name, scale, shapes)


def _places(function, name, numbers, shapes):
    """One number for all, or as many as there are rows, columns or filters."""
    if numbers.size != 1 and numbers.shape not in shapes:
        known = ", ".join(["one number", *map(str, shapes)])
        raise ShapeError(f"{function}: {name} {numbers.shape} is not one of: {known}")


def _result(function, y_scale, y_zero_point):
    _scale(function, "y_scale", y_scale, ())
    if y_zero_point.dtype not in EIGHT_BITS:
        raise ValueError(
            f"{function}: y_zero_point says what y is stored as, int8 or uint8, not "
            f"{y_zero_point.dtype}"
        )
    _places(function, "y_zero_point", y_zero_point, ())


def _multiplier(function, one, other, y_scale):
    with np.errstate(all="ignore"):
        least = np.float32(one.min()) * np.float32(other.min()) / np.float32(y_scale)
        most = np.float32(one.max()) * np.float32(other.max()) / np.float32(y_scale)
    if not (np.all(least > 0) and np.all(np.isfinite(most))):
        raise ValueError(
            f"{function}: the product of both scales over y_scale is no float32"
        )


def _walk(function, x, w, auto_pad, dilations, kernel_shape, pads, strides):
    axes = w.ndim - 2
    if auto_pad not in AUTO_PADS:
        known = ", ".join(AUTO_PADS)
        raise ValueError(f"{function}: auto_pad is {auto_pad!r}, not one of {known}")
    if auto_pad != "NOTSET" and pads is not None:
        raise ValueError(f"{function}: give pads, or auto_pad {auto_pad!r}, not both")
    _several(function, "dilations", dilations, axes)
    _several(function, "strides", strides, axes)
    _several(function, "pads", pads, 2 * axes, least=0)
    _several(function, "kernel_shape", kernel_shape, axes)
    if kernel_shape is not None and tuple(kernel_shape) != w.shape[2:]:
        raise ValueError(
            f"{function}: kernel_shape {kernel_shape} is not that of w, {w.shape[2:]}"
        )
    walk = walk_of(function, x, w, auto_pad, dilations, pads, strides)
    room = [n + sum(p) for n, p in zip(walk.size, walk.padding)]
    padded = x.shape[0] * x.shape[1] * math.prod(room)
    if padded > max(LARGEST_PADDED, x.size):
        raise ValueError(
            f"{function}: pads make {padded} codes of x {x.shape}, more than "
            f"{LARGEST_PADDED}"
        )


def _several(function, name, numbers, count, least=1):
    if numbers is None:
        return
    are_whole = isinstance(numbers, (tuple, list)) and all(map(is_whole, numbers))
    within = are_whole and all(least <= n <= LARGEST_STEP for n in numbers)
    if not within or len(numbers) != count:
        raise ValueError(
            f"{function}: {name} lists {count} whole numbers of at least {least} and "
            f"at most {LARGEST_STEP}, not {numbers!r:.60}"
        )
