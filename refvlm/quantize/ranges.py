r"""From a range of numbers to a grid: how long a step is, and which code is 0.

An affine grid spans the range from end to end; a symmetric one spans as much on either
side of 0, whose code is then always the same. Both keep 0 itself on the grid, because a
padding, a missing token and a pruned weight are zeros that should stay zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import demands
from .number_formats import FloatFormat, integer_format, number_format


class Grid(NamedTuple):
    """The length of a step, and the code that stands for 0."""

    scale: np.ndarray
    zero_point: np.ndarray


def affine_parameters(low, high, dtype="uint8") -> Grid:
    r"""The even grid that spans a range:
    $s = (\max - \min) / (q_{\max} - q_{\min})$ and
    $z = q_{\min} - \operatorname{round}(\min / s)$.

    low and high are numbers or arrays of one shape, one range for each channel or
    block; a range that leaves 0 out is extended to it. The scale is of their dtype. It
    is never 0: the grid of nothing but zeros has steps of 1, and one that is narrower
    than the dtype can divide has its smallest normal number.

    Source: [Cortes] 9.5; [Jacob2018] 2.1. Oracle: torch.ao's MinMaxObserver, onnx
    DynamicQuantizeLinear.

    >>> affine_parameters(-20.0, 82.0)
    Grid(scale=array(0.4), zero_point=array(50, dtype=uint8))
    """
    known = integer_format(dtype, "affine_parameters: dtype")
    dtype, low, high = _floats("affine_parameters", low=low, high=high)
    if np.any(low > high):
        raise ValueError("affine_parameters: low is above high: give the smaller first")
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    # Halves, because the range itself may overflow where its ends do not.
    scale = _step(high / 2 - low / 2, (known.high - known.low) / 2, dtype)
    zero_point = np.rint(known.low - low / scale)
    zero_point = np.clip(zero_point, known.low, known.high).astype(known.storage)
    return Grid(scale, np.asarray(zero_point))


def symmetric_parameters(largest, dtype="int8") -> Grid:
    r"""The grid that reaches equally far on both sides of 0: $s = \max|x| / q_{\max}$.

    0 is the code 0, or the one above the middle where codes have no sign (128 in
    uint8). The lowest code, which has no partner on the other side, is never used.
    Floats of eight and four bits are such grids as well.

    largest is a number or an array, one for each channel or block.

    Source: [MicroVLM-V] 8. Oracle: torch.fake_quantize_per_channel_affine.

    >>> symmetric_parameters(3.5, "int4")
    Grid(scale=array(0.5), zero_point=array(0, dtype=int8))
    """
    known = number_format(dtype, "symmetric_parameters: dtype")
    dtype, largest = _floats("symmetric_parameters", largest=largest)
    if np.any(largest < 0):
        raise ValueError("symmetric_parameters: largest is below 0: take the size, |x|")
    middle = 0 if isinstance(known, FloatFormat) else (known.low + known.high + 1) // 2
    scale = _step(largest, known.high - middle, dtype)
    return Grid(scale, np.full(scale.shape, middle, known.storage))


def _step(span, count, dtype):
    """span / count, at least the smallest normal number of a dtype; of no span, 1."""
    step = np.maximum(span / count, np.finfo(dtype).tiny)
    return np.asarray(np.where(span == 0, 1, step).astype(dtype))


def _floats(function, **ends):
    """The dtype of the ends of ranges, and they, of one shape, in single at least."""
    for name, end in ends.items():
        if np.asarray(end).dtype.kind not in "iuf":
            raise ValueError(
                f"{function}: {name} must be a number, or an array of them"
            )
    dtype = np.result_type(*ends.values())
    dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    demands.finite(function, **ends)
    wide = np.result_type(dtype, np.float32)
    return dtype, *np.broadcast_arrays(
        *[np.asarray(end, wide) for end in ends.values()]
    )
